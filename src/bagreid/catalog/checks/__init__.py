"""What a careful person would check of an archive: one file a subject, each a pure function.

A check takes a `Survey` and whether the archive should be the whole of SYSU-30k, and yields
verdicts; it opens no file but to look up the names of examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bagreid.catalog.checks import (
    bags,
    counts,
    folders,
    images,
    labelled,
    lists,
    protocol,
    tars,
    truth,
)
from bagreid.catalog.checks.verdict import Status, Verdict, all_of, none_of, plural
from bagreid.catalog.checks.whole import why_whole
from bagreid.catalog.survey import Survey

__all__ = [
    "CHECKS",
    "Status",
    "Verdict",
    "all_of",
    "check_archive",
    "none_of",
    "plural",
    "why_whole",
]

CHECKS: tuple[Callable[[Survey, bool], Iterator[Verdict]], ...] = (
    tars.check,
    images.check,
    folders.check,
    lists.check,
    bags.check,
    protocol.check,
    truth.check,
    counts.check,
)
"""In the order of the table."""

LABELLED_CHECKS: tuple[Callable[[Survey, bool], Iterator[Verdict]], ...] = (
    labelled.check_images,
    labelled.check_lists,
    labelled.check_bags,
    labelled.check_test,
    counts.check,
)
"""Those of strongly labelled sets, which have no tars and no bag file, and other names."""


def check_archive(survey: Survey, *, full: bool) -> list[Verdict]:
    """Runs every check.

    Args:
        survey: The archive.
        full: Whether it should be the whole of SYSU-30k, or of the labelled set that it is.

    Returns:
        All verdicts, by subject.
    """
    checks = CHECKS if survey.labelled is None else LABELLED_CHECKS
    return [verdict for check in checks for verdict in check(survey, full)]
