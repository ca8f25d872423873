"""Bags as indices: of the catalog's folders and of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bagreid.catalog.bags.faults import shown
from bagreid.catalog.bags.file import BagFile
from bagreid.contracts import BagreidError, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class BagTable:
    """Bags, sparse both ways: bag → folders and bag → identities.

    Attributes:
        bag_id: `B` names of bags.
        folder_offset: `(B+1,)` int64; bag b covers `folder[folder_offset[b]:folder_offset[b+1]]`.
        folder: int64 folder indices of the catalog, ascending inside a bag, none twice.
        label_offset: `(B+1,)` int64, likewise for `label`.
        label: int64 class indices (places in the catalog's identities), ascending, none twice.
    """

    bag_id: list[str]
    folder_offset: IntArray
    folder: IntArray
    label_offset: IntArray
    label: IntArray

    def __len__(self) -> int:
        return len(self.bag_id)

    def folders(self, bag: int) -> IntArray:
        """Folder indices of one bag.

        Args:
            bag: Row of the table.

        Returns:
            Ascending int64 indices.
        """
        return self.folder[self.folder_offset[bag] : self.folder_offset[bag + 1]]

    def labels(self, bag: int) -> IntArray:
        """Class indices of one bag.

        Args:
            bag: Row of the table.

        Returns:
            Ascending int64 indices.
        """
        return self.label[self.label_offset[bag] : self.label_offset[bag + 1]]


def make_bag_table(
    bags: BagFile, folder_names: Sequence[str], path: Path | None
) -> tuple[BagTable, IntArray]:
    """Turns folder names and identities into indices.

    Args:
        bags: A bag file as read.
        folder_names: The catalog's folders; an index is a place in it.
        path: The bag file, for the error.

    Returns:
        The table; and `(C,)` int64 the distinct identities, ascending.

    Raises:
        BagreidError: If a bag names a folder that the archive does not have.
    """
    place = pc.index_in(bags.folder_name, pa.array(folder_names, pa.large_string()))
    place_F = pc.fill_null(place, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    folder = place_F[bags.folder]
    if (folder < 0).any():
        raise _absent_folder(bags, int((folder < 0).argmax()), folder_names, path)
    identities = np.unique(bags.label)
    table = BagTable(
        bag_id=bags.bag_id.to_pylist(),
        folder_offset=bags.folder_offset,
        folder=_sorted_inside(folder, bags.folder_offset),
        label_offset=bags.label_offset,
        label=np.searchsorted(identities, bags.label).astype(np.int64),
    )
    return table, identities.astype(np.int64)


def _sorted_inside(value: IntArray, offset: IntArray) -> IntArray:
    """Sorts the values of each bag; they are below 2³²."""
    bag = np.repeat(np.arange(len(offset) - 1), np.diff(offset))
    return np.sort(bag << 32 | value) & (2**32 - 1)


def _absent_folder(
    bags: BagFile, entry: int, folder_names: Sequence[str], path: Path | None
) -> BagreidError:
    number = int(np.searchsorted(bags.folder_offset, entry, "right")) - 1
    absent = len(bags.absent(folder_names))
    return BagreidError(
        f"bag {shown(bags.bag_id[number].as_py())} names folder "
        f"{shown(bags.folder_name[int(bags.folder[entry])].as_py())}, which is not in the "
        f"archive ({absent:,} such folder{'' if absent == 1 else 's'}; "
        f"{len(folder_names):,} folders found)",
        path=path,
        position=f"object {number}, key BagImages",
        remedy="Fetch the missing train tar or folder, or the bag file of this very archive",
    )
