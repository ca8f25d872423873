"""The bag file: a JSON list of bags, read into a sparse table.

Shape letters: B bags.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bagreid.catalog.json_list import PIECE, Piece, read_pieces
from bagreid.contracts import BagreidError, IntArray

KEYS = ("BagLabel", "BagID", "BagImages")
"""The keys of one bag in the released file."""

_LARGEST = 2**31 - 1
_PATTERN = r"^[^/*?\[]+/\*$"


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
    return _join([_columns(some, path) for some in read_pieces(path, "the bag file", size=piece)])


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
        f"bag {_shown(bags.bag_id[number].as_py())} names folder "
        f"{_shown(bags.folder_name[int(bags.folder[entry])].as_py())}, which is not in the "
        f"archive ({absent:,} such folder{'' if absent == 1 else 's'}; "
        f"{len(folder_names):,} folders found)",
        path=path,
        position=f"object {number}, key BagImages",
        remedy="Fetch the missing train tar or folder, or the bag file of this very archive",
    )


class _Raw(NamedTuple):
    """Bags of one piece as flat columns, before duplicates are merged."""

    ids: pa.LargeStringArray
    label_count: IntArray
    labels: npt.NDArray[np.int32]
    folder_count: IntArray
    folders: pa.DictionaryArray


class _BadBagError(Exception):
    def __init__(self, why: str, key: str = "", remedy: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.key = f", key {key}" if key else ""
        self.remedy = remedy or (
            'A bag looks like {"BagLabel": [2, 3], "BagID": "bag0000000010", '
            '"BagImages": ["0000000002/*"]}'
        )


def _columns(piece: Piece, path: Path) -> BagFile:
    """The bags of one piece."""
    as_text = 0
    raw = _plain(piece)
    if raw is None:
        as_text = _mend(piece, path)
        raw = _plain(piece, looked_at=True)
        assert raw is not None, "what is no bag was refused"
    ids, label_count, labels, folder_count, folders = raw
    label_offset, label_place = _distinct(label_count, labels)
    folder_offset, folder_place = _distinct(folder_count, folders.indices.to_numpy())
    merged = (np.diff(label_offset) < label_count) | (np.diff(folder_offset) < folder_count)
    found = BagFile(
        bag_id=ids,
        folder_name=pc.utf8_slice_codeunits(folders.dictionary, 0, -len("/*")),
        folder_offset=folder_offset,
        folder=folders.indices.to_numpy()[np.sort(folder_place)],
        label_offset=label_offset,
        label=labels[label_place],
        duplicate_labels=len(labels) - len(label_place),
        duplicate_folders=len(folders) - len(folder_place),
        bags_merged=int(merged.sum()),
        labels_as_text=as_text,
        unknown_keys=sum(map(len, piece.values)) - len(KEYS) * len(piece.values),
    )
    piece.values.clear()  # before the next piece is read: these are by far the largest
    return found


def _plain(piece: Piece, *, looked_at: bool = False) -> _Raw | None:
    """The columns of bags in which nothing is odd, at the least work a bag.

    Args:
        piece: Some bags.
        looked_at: Whether `_mend` has been over them.

    Returns:
        Names, labels and folder patterns; None where some bag needs a closer look.
    """
    bags = piece.values
    if not looked_at and _keys_may_repeat(piece):
        return None
    if not set(map(type, bags)) <= {dict}:
        return None
    try:
        ids = [bag["BagID"] for bag in bags]
        label_lists = [bag["BagLabel"] for bag in bags]
        folder_lists = [bag["BagImages"] for bag in bags]
    except KeyError:
        return None
    if not (set(map(type, ids)) <= {str} and set(map(type, label_lists + folder_lists)) <= {list}):
        return None
    labels = list(chain.from_iterable(label_lists))
    folders = list(chain.from_iterable(folder_lists))
    if not (set(map(type, labels)) <= {int} and set(map(type, folders)) <= {str}):
        return None
    if not (all(ids) and all(label_lists) and all(folder_lists)):
        return None
    if min(labels, default=0) < 0 or max(labels, default=0) > _LARGEST:
        return None
    folder = pa.array(folders, pa.large_string()).dictionary_encode()
    if not pc.all(pc.match_substring_regex(folder.dictionary, _PATTERN), min_count=0).as_py():
        return None
    return _Raw(
        pa.array(ids, pa.large_string()),
        np.fromiter(map(len, label_lists), np.int64, len(bags)),
        np.array(labels, np.int32),
        np.fromiter(map(len, folder_lists), np.int64, len(bags)),
        folder,
    )


def _keys_may_repeat(piece: Piece) -> bool:
    """Whether a key may stand twice in one bag: the parser keeps the last and says nothing."""
    if b"\\" in piece.text:  # a key may be spelled with escapes
        return True
    return any(piece.text.count(b'"%b"' % key.encode()) > len(piece.values) for key in KEYS)


def _mend(piece: Piece, path: Path) -> int:
    """Reads bags one by one: turns labels written as text into numbers, or says what is wrong.

    Returns:
        How many labels were text.
    """
    text = 0
    keys_of = [()] * len(piece.values)
    if _keys_may_repeat(piece):
        keys_of = json.loads(b"[%b]" % piece.text, object_pairs_hook=_keys, parse_int=float)
    for number, (bag, keys) in enumerate(zip(piece.values, keys_of, strict=True)):
        try:
            _check_keys(bag, keys)
            _check_id(bag["BagID"])
            bag["BagLabel"], found = _bag_labels(bag["BagLabel"])
            _check_folders(bag["BagImages"])
        except _BadBagError as error:
            raise BagreidError(
                error.why,
                path=path,
                position=f"{piece.place(number)}{error.key}",
                remedy=error.remedy,
            ) from error
        text += found
    return text


def _keys(pairs: list[tuple[str, Any]]) -> tuple[str, ...]:
    return tuple(key for key, _ in pairs)


def _distinct(
    count_B: IntArray, value: npt.NDArray[np.int32]
) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """The distinct values of each bag: their offsets, and where each stands first, by value."""
    bag = np.repeat(np.arange(len(count_B)), count_B)
    _, place = np.unique(bag << 32 | value, return_index=True)
    return _offsets(np.bincount(bag[place], minlength=len(count_B))), place


def _offsets(count_B: IntArray) -> IntArray:
    offset = np.zeros(len(count_B) + 1, np.int64)
    np.cumsum(count_B, out=offset[1:])
    return offset


def _join(parts: Sequence[BagFile]) -> BagFile:
    """Parts of one file one after another."""
    parts = [EMPTY_BAGS, *parts]
    ids = pa.concat_arrays([part.bag_id for part in parts])
    folders = pa.chunked_array(
        [pa.DictionaryArray.from_arrays(part.folder, part.folder_name) for part in parts]
    )
    folder = folders.unify_dictionaries().combine_chunks()
    return BagFile(
        bag_id=ids,
        folder_name=folder.dictionary,
        folder_offset=_offsets(np.concatenate([np.diff(part.folder_offset) for part in parts])),
        folder=folder.indices.to_numpy(),
        label_offset=_offsets(np.concatenate([np.diff(part.label_offset) for part in parts])),
        label=np.concatenate([part.label for part in parts]),
        duplicate_labels=sum(part.duplicate_labels for part in parts),
        duplicate_folders=sum(part.duplicate_folders for part in parts),
        bags_merged=sum(part.bags_merged for part in parts),
        repeated_ids=len(ids) - len(pc.unique(ids)),
        labels_as_text=sum(part.labels_as_text for part in parts),
        unknown_keys=sum(part.unknown_keys for part in parts),
    )


EMPTY_BAGS = BagFile(
    pa.array([], pa.large_string()),
    pa.array([], pa.large_string()),
    np.zeros(1, np.int64),
    np.zeros(0, np.int32),
    np.zeros(1, np.int64),
    np.zeros(0, np.int32),
)
"""What an archive without a bag file has."""


def _check_keys(bag: Any, keys: Sequence[str]) -> None:
    if not isinstance(bag, dict):
        raise _BadBagError(f"a bag should be an object and is {_kind(bag)}")
    for key in KEYS:
        if key not in bag:
            raise _BadBagError("the key is missing", key)
        if keys.count(key) > 1:
            raise _BadBagError("the key stands twice in one bag", key, "Keep one of the two")


def _check_id(value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise _BadBagError(f"a bag's name should be text and is {_kind(value)}", "BagID")


def _bag_labels(values: Any) -> tuple[list[int], int]:
    if not isinstance(values, list) or not values:
        raise _BadBagError(f"should be a list of identities and is {_kind(values)}", "BagLabel")
    if all(type(value) is int and 0 <= value <= _LARGEST for value in values):
        return values, 0
    numbers = []
    for value in values:
        number = value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            number = int(value)
        if type(number) is not int or not 0 <= number <= _LARGEST:
            raise _BadBagError(f"{_shown(value)} is no identity", "BagLabel")
        numbers.append(number)
    return numbers, sum(isinstance(value, str) for value in values)


def _check_folders(values: Any) -> None:
    if not isinstance(values, list) or not values:
        raise _BadBagError(f"should be a list of patterns and is {_kind(values)}", "BagImages")
    for value in values:
        name = value[:-2] if isinstance(value, str) and value.endswith("/*") else ""
        if not name or "/" in name or "*" in name or "?" in name or "[" in name:
            raise _BadBagError(
                f"{_shown(value)} is no pattern of the form <folder>/*",
                "BagImages",
                "Only whole train folders can be in a bag, such as 0000000002/*",
            )


def _shown(value: Any) -> str:
    """A value as Python spells it, on one line and not too long, however deep it nests."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return short.repr(value)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if value in ([], ""):
        return "empty"
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return kinds.get(type(value), "a number")
