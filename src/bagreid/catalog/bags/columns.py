"""Bags of one piece as flat columns, at the least work a bag; a fault is only noticed here."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bagreid.catalog.bags.faults import KEYS, LARGEST, LONGEST
from bagreid.catalog.bags.json_list import Piece
from bagreid.contracts import IntArray

_PATTERN = r"^[^/*?\[]+/\*$"


class Columns(NamedTuple):
    """Bags before duplicates are merged.

    Attributes:
        ids: `(B,)` Arrow large_string, their names.
        id_hash: `(B,)` int64, equal where names are (64 bits: one chance in millions that not so).
        label_count: `(B,)` int64, labels of each.
        labels: int32, one bag's after the other's.
        labels_as_text: How many of them were written as text.
        folder_count: `(B,)` int64, folder patterns of each.
        folders: Arrow dictionary of large_string, one bag's patterns after the other's.
    """

    ids: pa.LargeStringArray
    id_hash: IntArray
    label_count: IntArray
    labels: npt.NDArray[np.int32]
    labels_as_text: int
    folder_count: IntArray
    folders: pa.DictionaryArray


def plain_columns(piece: Piece) -> Columns | None:
    """Makes columns of bags.

    Args:
        piece: Some bags.

    Returns:
        The columns; None where some bag is none.
    """
    bags = piece.values
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
    if not (all(ids) and all(label_lists) and all(folder_lists)):
        return None
    labels = list(chain.from_iterable(label_lists))
    numbers = _numbers(labels)
    folders = _patterns(list(chain.from_iterable(folder_lists)))
    if numbers is None or folders is None:
        return None
    return Columns(
        pa.array(ids, pa.large_string()),
        np.fromiter(map(hash, ids), np.int64, len(bags)),
        np.fromiter(map(len, label_lists), np.int64, len(bags)),
        numbers,
        list(map(type, labels)).count(str),
        np.fromiter(map(len, folder_lists), np.int64, len(bags)),
        folders,
    )


def _numbers(labels: list[Any]) -> npt.NDArray[np.int32] | None:
    kinds = set(map(type, labels))
    if not kinds <= {int, str}:
        return None
    if str in kinds:
        texts = [label for label in labels if type(label) is str]
        digits = all(map(str.isascii, texts)) and all(map(str.isdigit, texts))
        if not digits or max(map(len, texts)) > LONGEST:
            return None
        labels = list(map(int, labels))
    if min(labels, default=0) < 0 or max(labels, default=0) > LARGEST:
        return None
    return np.array(labels, np.int32)


def _patterns(texts: list[Any]) -> pa.DictionaryArray | None:
    if not set(map(type, texts)) <= {str}:
        return None
    folders = pa.array(texts, pa.large_string()).dictionary_encode()
    good = pc.match_substring_regex(folders.dictionary, _PATTERN)
    return folders if pc.all(good, min_count=0).as_py() else None


def keys_may_repeat(piece: Piece) -> bool:
    """Whether a key may stand twice in one bag, of which the parser keeps the last in silence.

    Args:
        piece: Some bags.

    Returns:
        False where that is out of the question.
    """
    if b"\\" in piece.text:  # a key may be spelled with escapes
        return True
    return any(piece.text.count(b'"%b"' % key.encode()) > len(piece.values) for key in KEYS)
