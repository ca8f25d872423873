"""Images whose split, person and camera are known, as the columns of a catalog.

Shape letters: M images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from bagreid.catalog.members import SPLITS
from bagreid.catalog.names import split_paths
from bagreid.catalog.pieces import Oddities, Piece
from bagreid.catalog.trees import LooseFolder
from bagreid.contracts import BagreidError, IntArray, Split


class Known(NamedTuple):
    """An image and what is known of it."""

    name: str
    """Its path below the root."""
    size: int
    """Bytes."""
    pid: int
    camera: int


def place(
    images: Sequence[Known],
    split: Split,
    first: int,
    odd: Oddities,
    unreadable: Sequence[BagreidError] = (),
) -> LooseFolder:
    """Makes columns of images; train images are sorted by person and name.

    Args:
        images: The images of one split (or some of them).
        split: Which.
        first: Number of the first of them among all loose files.
        odd: What else was found beside them.
        unreadable: Files that could not be looked at.

    Returns:
        The images, of which each person's train images are one folder, called by its number.
    """
    if split == "train":
        images = sorted(images, key=lambda image: (image.pid, image.name.rpartition("/")[2]))
    names = pa.array([image.name for image in images], pa.large_string())
    pid = np.array([image.pid for image in images], np.int32)
    people: IntArray = np.zeros(0, np.int64)
    if split == "train":
        people, inverse = np.unique(pid, return_inverse=True)
        pid = inverse.astype(np.int32)
    piece = Piece(
        block=np.arange(first, first + len(images), dtype=np.uint32),
        size=np.array([image.size for image in images], np.uint32),
        split=np.full(len(images), SPLITS.index(split), np.int8),
        group=pid,
        camera=np.array([0 if split == "train" else image.camera for image in images], np.int16),
        key=split_paths(names).keys(),
        folders=tuple(map(str, people.tolist())),
        long_block=np.zeros(0, np.uint32),
        long_name=pa.array([], pa.large_string()),
        odd=odd,
    )
    return LooseFolder(names, piece, tuple(unreadable))
