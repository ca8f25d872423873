"""Identities and cameras as whole numbers, the same on both sides.

Shape letters: Q queries, G gallery images.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bagreid.contracts import DISTRACTOR_PID, JUNK_PID, BagreidError, IntArray, printable
from bagreid.evaluation.inputs.columns import Column

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_HALF_NUMBER = re.compile(r"[+-]?[0-9]+\.[0-9]*", re.ASCII)
_MISSING = {"nan", "NaN", "None", "null", "<NA>"}
"""How tables spell what is missing. With `_HALF_NUMBER`, what a column of numbers turns into on
its way through floating point: as names, 1.0 and 1 would be two people and -1.0 no junk."""
_SPECIAL = {str(JUNK_PID), str(DISTRACTOR_PID)}
Check = Callable[[IntArray, Column], None]


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """What both sides' values are as numbers.

    Attributes:
        query: ``(Q,)`` int64.
        gallery: ``(G,)`` int64.
        texts: What each number stood for, from 0 on; None where they were numbers.
    """

    query: IntArray
    gallery: IntArray
    texts: tuple[str, ...] | None = None

    def label(self, number: int) -> str:
        """What a number stood for."""
        return str(number) if self.texts is None else printable(self.texts[number])


def number_identities(query: Column, gallery: Column) -> Numbered:
    """Numbers for identities.

    Whole numbers are kept, in digits or not: −1 is junk, −1000 a distractor, other negative ones
    are refused. All else are names: numbered in sorted order over both sides, none of them junk.

    Args:
        query: The queries' identities.
        gallery: The gallery's.

    Returns:
        The numbers.

    Raises:
        BagreidError: When a number is negative without a meaning, a name is empty, or names stand
            beside numbers.
    """
    numbered = _number(query, gallery)
    if numbered.texts is None:
        for numbers, column in ((numbered.query, query), (numbered.gallery, gallery)):
            _check_negative(numbers, column)
    elif special := _SPECIAL.intersection(numbered.texts):
        spelled = min(special)
        column = query if spelled in query.values else gallery
        raise BagreidError(
            f"holds {spelled} among identities that are names",
            path=column.path,
            position=column.place(column.values.index(spelled)),  # type: ignore[union-attr]
            remedy=f"Junk ({JUNK_PID}) and distractors ({DISTRACTOR_PID}) go with whole numbers "
            "only: number the people, or give every distractor a name of its own",
        )
    return numbered


def number_cameras(query: Column, gallery: Column) -> Numbered:
    """Numbers for cameras: whole numbers are kept, all else are names, as for identities.

    Args:
        query: The queries' cameras.
        gallery: The gallery's.

    Returns:
        The numbers.

    Raises:
        BagreidError: When a name is empty, or one side has numbers and the other names.
    """
    return _number(query, gallery)


def _number(query: Column, gallery: Column) -> Numbered:
    as_numbers = [_numbers(column) for column in (query, gallery)]
    if as_numbers[0] is not None and as_numbers[1] is not None:
        return Numbered(as_numbers[0], as_numbers[1])
    for column in (query, gallery):
        if not isinstance(column.values, tuple):
            other = gallery if column is query else query
            raise BagreidError(
                f"holds whole numbers, where {other.path} has text that is none",
                path=column.path,
                position=column.key,
                remedy="Spell both sides alike",
            )
        _check_names(column.values, column)
    texts, number = np.unique(np.array([*query.values, *gallery.values]), return_inverse=True)
    number = number.astype(np.int64)
    return Numbered(number[: len(query)], number[len(query) :], tuple(texts.tolist()))


def _numbers(column: Column) -> IntArray | None:
    """The values as numbers; None where one of them is none."""
    if not isinstance(column.values, tuple):
        return column.values
    if not all(map(_NUMBER.fullmatch, column.values)):
        return None
    return np.array([int(text) for text in column.values], dtype=np.int64)


def _check_names(names: tuple[str, ...], column: Column) -> None:
    for row, name in enumerate(names):
        if name and name not in _MISSING and not _HALF_NUMBER.fullmatch(name):
            continue
        raise BagreidError(
            f"holds {name}, which is neither a whole number nor a name" if name else "is empty",
            path=column.path,
            position=column.place(row),
            remedy="Every image needs an identity and a camera, as whole numbers or names",
        )


def _check_negative(pids: IntArray, column: Column) -> None:
    odd = np.flatnonzero((pids < 0) & (pids != JUNK_PID) & (pids != DISTRACTOR_PID))
    if odd.size:
        raise BagreidError(
            f"{odd.size:,} images have a negative identity: {pids[odd[0]]}",
            path=column.path,
            position=column.place(int(odd[0])),
            remedy=f"Negative identities are {JUNK_PID} (junk, left out) and "
            f"{DISTRACTOR_PID} (a distractor, always wrong)",
        )
