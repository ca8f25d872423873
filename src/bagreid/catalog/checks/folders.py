"""Train folders: are all there, by their numbers?

Shape letters: N folders with a number for a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bagreid.catalog.checks.verdict import Verdict, all_of, none_of, plural, ranges
from bagreid.catalog.published import PUBLISHED
from bagreid.catalog.survey import Survey
from bagreid.contracts import IntArray

_LONGEST = 18
"""Digits of a number that surely fits 64 bits."""


def check(survey: Survey, full: bool) -> Iterator[Verdict]:
    """Judges the train folders.

    Args:
        survey: The archive.
        full: Whether it should be the whole of SYSU-30k.

    Yields:
        Verdicts.
    """
    names = survey.folder_names
    there = distinct_numbers(names)
    named = distinct_numbers(survey.bags.folder_name.to_pylist())
    if not names and not len(named) and not full:
        return
    if full:
        wanted = np.arange(1, PUBLISHED["train folders"] + 1)
        beyond = np.setdiff1d(there, wanted)
    else:
        wanted = np.union1d(there, named)
    missing = np.setdiff1d(wanted, there)
    yield all_of(
        "folders.numbers",
        "train folders, by number",
        len(there) if not full else len(there) - len(beyond),
        len(wanted),
        says=f"{plural(len(missing), 'folder')} missing, which "
        f"{'SYSU-30k has' if full else 'the bag file names'}: {some(missing)}",
        remedy="Fetch the train tar they lie in; folders are packed in the order of their numbers",
    )
    if full:
        yield none_of(
            "folders.beyond",
            "folders beyond 28,310",
            len(beyond),
            says=f"SYSU-30k has folders 1 to 28,310 and no others; here are {some(beyond)}",
            remedy="Remove what does not belong to the archive",
        )
    else:
        yield _gaps(wanted[(wanted >= there.min(initial=0)) & (wanted <= there.max(initial=0))])
    yield _names(names, len(there), full)


def _gaps(wanted: IntArray) -> Verdict:
    """Numbers that nothing speaks of, between others: a subset, or a loss nobody can prove."""
    jump = np.diff(wanted)
    left_out = int((jump - 1).sum())
    holes = [(int(wanted[at]) + 1, int(wanted[at + 1]) - 1) for at in np.flatnonzero(jump > 1)]
    return none_of(
        "folders.gaps",
        "numbers left out between folders",
        left_out,
        says="the folders' numbers leave gaps, and no bag names those either",
        examples=(f"{a}-{b}" if a < b else str(a) for a, b in holes),
        remedy="Nothing to do if the archive was made so",
        otherwise="note",
    )


def _names(names: Sequence[str], distinct: int, full: bool) -> Verdict:
    odd = [name for name in names if number_of(name) is None]
    again = len(names) - len(odd) - distinct
    spelled = [name for name in names if number_of(name) is not None and len(name) != 10]
    says = ", ".join(
        part
        for count, part in (
            (len(odd), f"{plural(len(odd), 'folder name')} without a plain number"),
            (again, f"{plural(again, 'number')} twice, spelled differently"),
            (len(spelled), f"{plural(len(spelled), 'number')} not of ten digits"),
        )
        if count
    )
    return none_of(
        "folders.names",
        "odd folder names",
        len({*odd, *spelled}) or again,
        says=says,
        examples=[*odd, *spelled],
        remedy="Train folders are named by ten digits, such as 0000000001: name them back if they "
        "were renamed",
        otherwise="bad" if full or again else "note",
    )


def number_of(name: str) -> int | None:
    """The number that a folder's name is.

    Args:
        name: The name.

    Returns:
        The number; None where the name is anything else.
    """
    plain = name.isascii() and name.isdigit() and len(name) <= _LONGEST
    return int(name) if plain else None


def distinct_numbers(names: Iterable[str]) -> IntArray:
    """The numbers among folder names.

    Args:
        names: The names.

    Returns:
        `(N,)` int64, ascending, none twice.
    """
    found = {number for name in names if (number := number_of(name)) is not None}
    return np.array(sorted(found), np.int64)


def some(numbers: IntArray) -> str:
    """A few of many numbers, for a sentence.

    Args:
        numbers: Ascending.

    Returns:
        At most ten runs, and how many numbers there are beside.
    """
    shown = ranges(numbers.tolist())
    more = ", ..." if len(shown) > 10 else ""
    return ", ".join(shown[:10]) + more
