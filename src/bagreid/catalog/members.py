"""Images of an archive as plain columns: where each lies and what its path says.

Shape letters: M members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bagreid.catalog.names import Hashes
from bagreid.contracts import IntArray, Split

SPLITS: tuple[Split, ...] = ("train", "query", "gallery")
"""Splits in the order of the catalog's rows; a split's code is its place here."""

BuildProgress = Callable[[Path, int, int, int], None]
"""Called with (file or folder, images in it so far, bytes passed, bytes in all)."""


@dataclass(slots=True)
class Members:
    """Columns of images, all of one length.

    Attributes:
        shard: `(M,)` uint16.
        block: `(M,)` uint32, offset in 512-byte blocks (in a tar), or number of the file (loose).
        size: `(M,)` uint32, bytes.
        split: `(M,)` int8, place in `SPLITS`.
        group: `(M,)` int32, train: number of the folder in `folders`; test: identity.
        camera: `(M,)` int16.
        key: `(M,)` uint64, hash of the last two components of the name.
    """

    shard: npt.NDArray[np.uint16]
    block: npt.NDArray[np.uint32]
    size: npt.NDArray[np.uint32]
    split: npt.NDArray[np.int8]
    group: npt.NDArray[np.int32]
    camera: npt.NDArray[np.int16]
    key: Hashes

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: IntArray) -> Members:
        """Some of the rows.

        Args:
            rows: Which, in which order.

        Returns:
            New columns.
        """
        return Members(*(getattr(self, name)[rows] for name in self.__slots__))

    @classmethod
    def empty(cls) -> Members:
        """No images."""
        return cls(
            np.zeros(0, np.uint16),
            np.zeros(0, np.uint32),
            np.zeros(0, np.uint32),
            np.zeros(0, np.int8),
            np.zeros(0, np.int32),
            np.zeros(0, np.int16),
            np.zeros(0, np.uint64),
        )

    @classmethod
    def join(cls, parts: Sequence[Members]) -> Members:
        """One after another.

        Args:
            parts: At least one of them.

        Returns:
            New columns.
        """
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__slots__))


def canonical_name(name: str, split: Split) -> str:
    """The path of an image as the list files spell it.

    Args:
        name: The name in the tar or on the disk, whatever stands in front.
        split: The image's split.

    Returns:
        `sysu_train_set_all/<folder>/<file>` or `sysu_test_set_all/<split>/<pid>/<file>`.
    """
    tail = "/".join(name.rsplit("/", 2)[-2:])
    return f"sysu_train_set_all/{tail}" if split == "train" else f"sysu_test_set_all/{split}/{tail}"
