"""The bag file: a JSON list of bags, read into a sparse table.

Shape letters: B bags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bagreid.contracts import BagreidError, IntArray

KEYS = ("BagLabel", "BagID", "BagImages")
"""The keys of one bag in the released file."""

_LARGEST = 2**31 - 1


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
    """A bag file as read, before its numbers become indices.

    Attributes:
        bag_id: `B` names.
        folder: For each bag its distinct folder names, in the order of the file.
        label: For each bag its distinct identities, ascending.
        duplicate_labels: Numbers merged away.
        duplicate_folders: Folders merged away.
        bags_merged: Bags in which anything was merged.
        repeated_ids: Bags that carry an earlier bag's name.
        labels_as_text: Labels written as strings of digits.
        unknown_keys: Keys beside `KEYS`, ignored.
    """

    bag_id: list[str]
    folder: list[list[str]]
    label: list[list[int]]
    duplicate_labels: int
    duplicate_folders: int
    bags_merged: int
    repeated_ids: int
    labels_as_text: int
    unknown_keys: int


EMPTY_BAGS = BagFile([], [], [], 0, 0, 0, 0, 0, 0)
"""What an archive without a bag file has."""


def read_bag_file(path: Path) -> BagFile:
    """Reads and checks a bag file.

    Args:
        path: `bag_level_label.json` (or `.txt`): a JSON list of objects with the keys `KEYS`.

    Returns:
        The bags, duplicates merged and counted.

    Raises:
        BagreidError: If the file is no JSON, no list, or an object is not a bag; the message
            names the object (counted from 0) and the key.
    """
    bags = _load(path)
    ids: list[str] = []
    folders: list[list[str]] = []
    labels: list[list[int]] = []
    as_text = unknown = duplicate_labels = duplicate_folders = merged = 0
    for number, bag in enumerate(bags):
        try:
            unknown += _check_keys(bag)
            ids.append(_bag_id(bag["BagID"]))
            numbers, text = _bag_labels(bag["BagLabel"])
            names = _bag_folders(bag["BagImages"])
        except _BadBagError as error:
            raise BagreidError(
                error.why, path=path, position=f"object {number}{error.key}", remedy=error.remedy
            ) from error
        labels.append(sorted(set(numbers)))
        folders.append(list(dict.fromkeys(names)))
        as_text += text
        extra = len(numbers) - len(labels[-1]), len(names) - len(folders[-1])
        duplicate_labels += extra[0]
        duplicate_folders += extra[1]
        merged += any(extra)
    return BagFile(
        bag_id=ids,
        folder=folders,
        label=labels,
        duplicate_labels=duplicate_labels,
        duplicate_folders=duplicate_folders,
        bags_merged=merged,
        repeated_ids=len(ids) - len(set(ids)),
        labels_as_text=as_text,
        unknown_keys=unknown,
    )


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
    place = {name: index for index, name in enumerate(folder_names)}
    identities = np.array(sorted({n for numbers in bags.label for n in numbers}), np.int64)
    folder: list[int] = []
    folder_offset = [0]
    for number, names in enumerate(bags.folder):
        for name in names:
            if name not in place:
                raise _absent_folder(bags, name, number, place, path)
        folder.extend(sorted(place[name] for name in names))
        folder_offset.append(len(folder))
    flat = np.array([n for numbers in bags.label for n in numbers], np.int64)
    label_offset = np.zeros(len(bags.label) + 1, np.int64)
    np.cumsum([len(numbers) for numbers in bags.label], out=label_offset[1:])
    table = BagTable(
        bag_id=bags.bag_id,
        folder_offset=np.array(folder_offset, np.int64),
        folder=np.array(folder, np.int64),
        label_offset=label_offset,
        label=np.searchsorted(identities, flat).astype(np.int64),
    )
    return table, identities


def _absent_folder(
    bags: BagFile, name: str, number: int, place: dict[str, int], path: Path | None
) -> BagreidError:
    absent = {n for names in bags.folder for n in names if n not in place}
    return BagreidError(
        f"bag '{bags.bag_id[number]}' names folder '{name}', which is not in the archive "
        f"({len(absent):,} such folder{'' if len(absent) == 1 else 's'}; "
        f"{len(place):,} folders found)",
        path=path,
        position=f"object {number}, key BagImages",
        remedy="Fetch the missing train tar or folder, or the bag file of this very archive",
    )


class _BadBagError(Exception):
    def __init__(self, why: str, key: str = "", remedy: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.key = f", key {key}" if key else ""
        self.remedy = remedy or (
            'A bag looks like {"BagLabel": [2, 3], "BagID": "bag0000000010", '
            '"BagImages": ["0000000002/*"]}'
        )


def _load(path: Path) -> list[Any]:
    try:
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise BagreidError(f"cannot be read ({error.strerror})", path=path) from error
    try:
        bags = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BagreidError(
            f"the bag file is not JSON ({error.msg})",
            path=path,
            position=f"line {error.lineno}, column {error.colno}",
            remedy="If the download was cut, fetch it again",
        ) from error
    if not isinstance(bags, list):
        raise BagreidError(
            f"the bag file holds {_kind(bags)} and not a list of bags",
            path=path,
            position="line 1",
            remedy="Put the bags between [ and ]",
        )
    return bags


def _check_keys(bag: Any) -> int:
    if not isinstance(bag, dict):
        raise _BadBagError(f"a bag should be an object and is {_kind(bag)}")
    for key in KEYS:
        if key not in bag:
            raise _BadBagError("the key is missing", key)
    return len(bag) - len(KEYS)


def _bag_id(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _BadBagError(f"a bag's name should be text and is {_kind(value)}", "BagID")
    return value


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


def _bag_folders(values: Any) -> list[str]:
    if not isinstance(values, list) or not values:
        raise _BadBagError(f"should be a list of patterns and is {_kind(values)}", "BagImages")
    names = []
    for value in values:
        name = value[:-2] if isinstance(value, str) and value.endswith("/*") else ""
        if not name or "/" in name or "*" in name or "?" in name or "[" in name:
            raise _BadBagError(
                f"{_shown(value)} is no pattern of the form <folder>/*",
                "BagImages",
                "Only whole train folders can be in a bag, such as 0000000002/*",
            )
        names.append(name)
    return names


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if value in ([], ""):
        return "empty"
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return kinds.get(type(value), "a number")
