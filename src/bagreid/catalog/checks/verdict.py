"""What a check says: ok, note or bad, with the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from bagreid.catalog.findings import FIRST

Status = Literal["ok", "note", "bad"]
"""`note`: odd, but known to be harmless, or a matter of taste."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check found.

    Attributes:
        key: A name for programs, `subject.what`; it stays the same over versions.
        what: What was counted, as the table shows it.
        status: How it turned out.
        here: How many there are.
        expected: How many there should be; None where any number is fine.
        published: How many SYSU-30k has; None where nothing is published.
        says: One sentence for people; empty where the numbers say it all.
        examples: The first ten offenders.
        remedy: What to do; empty where there is nothing to do.
    """

    key: str
    what: str
    status: Status
    here: int
    expected: int | None = None
    published: int | None = None
    says: str = ""
    examples: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def subject(self) -> str:
        """What it is about: the key's first part."""
        return self.key.partition(".")[0]

    @property
    def difference(self) -> int | None:
        """Too many (above 0) or too few; None where any number is fine."""
        return None if self.expected is None else self.here - self.expected


def none_of(
    key: str,
    what: str,
    count: int,
    *,
    says: str,
    examples: Iterable[str] = (),
    remedy: str = "",
    otherwise: Status = "bad",
) -> Verdict:
    """Judges what should not be there at all.

    Args:
        key: See `Verdict`.
        what: See `Verdict`.
        count: How many there are.
        says: The sentence, should there be any.
        examples: Some of them.
        remedy: What to do then.
        otherwise: The status then.

    Returns:
        The verdict.
    """
    if not count:
        return Verdict(key=key, what=what, status="ok", here=0, expected=0)
    return Verdict(
        key=key,
        what=what,
        status=otherwise,
        here=count,
        expected=0,
        says=says,
        examples=tuple(islice(examples, FIRST)),
        remedy=remedy,
    )


def all_of(
    key: str,
    what: str,
    here: int,
    expected: int,
    *,
    says: str,
    examples: Iterable[str] = (),
    remedy: str = "",
    otherwise: Status = "bad",
) -> Verdict:
    """Judges what should be there in full.

    Args:
        key: See `Verdict`.
        what: See `Verdict`.
        here: How many there are.
        expected: How many there should be.
        says: The sentence, should the numbers differ.
        examples: Some of what is missing or too much.
        remedy: What to do then.
        otherwise: The status then.

    Returns:
        The verdict.
    """
    right = here == expected
    return Verdict(
        key=key,
        what=what,
        status="ok" if right else otherwise,
        here=here,
        expected=expected,
        says="" if right else says,
        examples=() if right else tuple(islice(examples, FIRST)),
        remedy="" if right else remedy,
    )


def ranges(numbers: Iterable[int]) -> list[str]:
    """Writes numbers as people do: neighbours together.

    Args:
        numbers: Ascending.

    Returns:
        Such as `["3", "7-12"]`.
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in runs]


def plural(count: int, word: str, many: str = "") -> str:
    """A number with its noun.

    Args:
        count: How many.
        word: The noun for one.
        many: The noun for several; the first with an s where it is empty.

    Returns:
        Such as `1 bag` or `1,200 bags`.
    """
    return f"{count:,} {word if count == 1 else many or word + 's'}"
