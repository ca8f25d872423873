"""Images of an archive as plain columns: where each lies and what its path says.

Shape letters: M members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    def columns(self) -> list[npt.NDArray[Any]]:
        """All columns, in the order of the attributes."""
        return [getattr(self, name) for name in self.__slots__]

    def take(self, rows: IntArray) -> Members:
        """Some of the rows.

        Args:
            rows: Which, in which order.

        Returns:
            New columns.
        """
        return Members(*(column[rows] for column in self.columns()))

    def keep(self, stay: npt.NDArray[np.bool_]) -> None:
        """Drops the other rows, one column after another.

        Args:
            stay: `(M,)` bool.
        """
        for name in self.__slots__:
            setattr(self, name, getattr(self, name)[stay])

    def reorder(self, order: IntArray) -> None:
        """Puts the rows into another order, one column after another.

        Args:
            order: `(M,)` for each place the row that comes there.
        """
        for name in self.__slots__:
            setattr(self, name, getattr(self, name)[order])

    @classmethod
    def room(cls, length: int) -> Members:
        """Columns yet to be filled.

        Args:
            length: M.

        Returns:
            Columns of any content.
        """
        return cls(
            np.empty(length, np.uint16),
            np.empty(length, np.uint32),
            np.empty(length, np.uint32),
            np.empty(length, np.int8),
            np.empty(length, np.int32),
            np.empty(length, np.int16),
            np.empty(length, np.uint64),
        )

    @classmethod
    def empty(cls) -> Members:
        """No images."""
        return cls.room(0)


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
