"""The bag file as flat columns.

Shape letters: B bags, F folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bagreid.catalog.bags.columns import Columns, keys_may_repeat, plain_columns
from bagreid.catalog.bags.faults import KEYS, raise_first_fault
from bagreid.catalog.bags.json_list import PIECE, Piece, read_pieces
from bagreid.contracts import BagreidError, IntArray

MOST_FOLDERS = 1 << 20
"""Distinct folders a bag file may name; SYSU-30k has 28,310."""


@dataclass(frozen=True, slots=True, eq=False)
class BagFile:
    """A bag file as read, before its numbers become indices: flat columns, no object a bag.

    Attributes:
        bag_id: `(B,)` Arrow large_string.
        folder_name: `(F,)` Arrow large_string, the distinct folders, in the order they are met.
        folder_offset: `(B+1,)` int64; bag b covers `folder[folder_offset[b]:folder_offset[b+1]]`.
        folder: int32 places in `folder_name`, none twice inside a bag.
        label_offset: `(B+1,)` int64, likewise for `label`.
        label: int32 identities, ascending, none twice inside a bag.
        duplicate_labels: Numbers merged away.
        duplicate_folders: Folders merged away.
        bags_merged: Bags in which anything was merged.
        repeated_ids: Bags that carry an earlier bag's name.
        labels_as_text: Labels written as strings of digits.
        unknown_keys: Keys beside `KEYS`, ignored.
    """

    bag_id: pa.LargeStringArray
    folder_name: pa.LargeStringArray
    folder_offset: IntArray
    folder: npt.NDArray[np.int32]
    label_offset: IntArray
    label: npt.NDArray[np.int32]
    duplicate_labels: int = 0
    duplicate_folders: int = 0
    bags_merged: int = 0
    repeated_ids: int = 0
    labels_as_text: int = 0
    unknown_keys: int = 0

    def __len__(self) -> int:
        return len(self.bag_id)

    def absent(self, folder_names: Sequence[str]) -> list[str]:
        """Folders that bags name and an archive lacks.

        Args:
            folder_names: The archive's folders.

        Returns:
            Their names, in the order the bag file names them.
        """
        there = pc.is_in(self.folder_name, pa.array(folder_names, pa.large_string()))
        names: list[str] = self.folder_name.filter(pc.invert(there)).to_pylist()
        return names


def read_bag_file(path: Path, *, piece: int = PIECE) -> BagFile:
    """Reads and checks a bag file, some bags at a time.

    Args:
        path: `bag_level_label.json` (or `.txt`): a JSON list of objects with the keys `KEYS`.
        piece: Bytes to read at a time.

    Returns:
        The bags, duplicates merged and counted.

    Raises:
        BagreidError: If the file is no JSON, no list, or an object is not a bag; the message
            names the object (counted from 0), its line and byte, and the key.
    """
    collector = _Collector(path)
    for some in read_pieces(path, "the bag file", size=piece):
        collector.add(some)
        some.values.clear()  # before the next piece is read: the objects are by far the largest
    return collector.bag_file()


class _Collector:
    """The bags of the pieces so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place: dict[str, int] = {}
        self.ids = [pa.array([], pa.large_string())]
        self.id_hash = [np.zeros(0, np.int64)]
        self.folder_count, self.label_count = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        self.folder, self.label = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        self.folders = self.labels = self.merged = self.as_text = self.unknown = 0

    def add(self, piece: Piece) -> None:
        """Takes one piece in, duplicates merged."""
        columns = plain_columns(piece)
        if columns is None or keys_may_repeat(piece):
            raise_first_fault(piece, self.path)
            assert columns is not None, "bags in which no fault is found make columns"
        self._add_columns(columns)
        if len(self.place) > MOST_FOLDERS:
            raise BagreidError(
                f"the bags name more than {MOST_FOLDERS:,} folders",
                path=self.path,
                position=f"up to object {piece.first + len(piece.values) - 1}",
                remedy="Is it the bag file of an archive?",
            )
        self.unknown += sum(map(len, piece.values)) - len(KEYS) * len(piece.values)

    def _add_columns(self, columns: Columns) -> None:
        folder = columns.folders.indices.to_numpy()
        label_count, label_at = _distinct(columns.label_count, columns.labels)
        folder_count, folder_at = _distinct(columns.folder_count, folder)
        merged = (label_count < columns.label_count) | (folder_count < columns.folder_count)
        self.merged += int(merged.sum())
        self.labels += len(columns.labels)
        self.folders += len(folder)
        self.as_text += columns.labels_as_text
        self.ids.append(columns.ids)
        self.id_hash.append(columns.id_hash)
        self.label_count.append(label_count)
        self.label.append(columns.labels[label_at])
        self.folder_count.append(folder_count)
        names = pc.utf8_slice_codeunits(columns.folders.dictionary, 0, -len("/*")).to_pylist()
        place = [self.place.setdefault(name, len(self.place)) for name in names]
        self.folder.append(np.array(place, np.int32)[folder[np.sort(folder_at)]])

    def bag_file(self) -> BagFile:
        """All of it."""
        ids = pa.concat_arrays(self.ids)
        folder, label = np.concatenate(self.folder), np.concatenate(self.label)
        return BagFile(
            bag_id=ids,
            folder_name=pa.array(list(self.place), pa.large_string()),
            folder_offset=_offsets(self.folder_count),
            folder=folder,
            label_offset=_offsets(self.label_count),
            label=label,
            duplicate_labels=self.labels - len(label),
            duplicate_folders=self.folders - len(folder),
            bags_merged=self.merged,
            repeated_ids=len(ids) - len(np.unique(np.concatenate(self.id_hash))),
            labels_as_text=self.as_text,
            unknown_keys=self.unknown,
        )


def _distinct(
    count_B: IntArray, value: npt.NDArray[np.int32]
) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """How many distinct values each bag has, and where each stands first, by bag and value."""
    bag = np.repeat(np.arange(len(count_B)), count_B)
    _, at = np.unique(bag << 32 | value, return_index=True)
    return np.bincount(bag[at], minlength=len(count_B)).astype(np.int64), at


def _offsets(counts: Sequence[IntArray]) -> IntArray:
    return np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))


EMPTY_BAGS = _Collector(Path()).bag_file()
"""What an archive without a bag file has."""
