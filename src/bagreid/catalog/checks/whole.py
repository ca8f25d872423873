"""Whether an archive is meant to be the whole of its set, however little of it arrived."""

from __future__ import annotations

import numpy as np

from bagreid.catalog.checks.folders import distinct_numbers
from bagreid.catalog.published import PUBLISHED, is_full_labelled
from bagreid.catalog.survey import Survey

_MOST = 0.5
"""This share of a published number cannot be there by chance."""


def why_whole(survey: Survey) -> str | None:
    """Looks for a sign that a download of SYSU-30k was begun.

    A cut or incomplete download still has lists and a bag file of full length, high folder
    numbers, or test people numbered as in the release (behind the train folders). Synthetic
    archives of that size give themselves away by their truth, which SYSU-30k has not. Of a
    strongly labelled set the people in its train images tell.

    Args:
        survey: The archive.

    Returns:
        The sign, as a clause; None where there is none.
    """
    if survey.labelled is not None:
        people = len(survey.identities)
        full = is_full_labelled(survey.labelled, people)
        return f"it has {people:,} people in its train images" if full else None
    if survey.layout is not None and survey.layout.truth_file is not None:
        return None
    folders = PUBLISHED["train folders"]
    lines = {finding.split: finding.lines for finding in survey.findings.lists}
    signs = [
        ("it has {:,} train folders", len(survey.folder_names), folders),
        ("its folders' numbers reach {:,}", _last(survey.folder_names), folders),
        ("it has {:,} gallery images", len(survey.split("gallery")), PUBLISHED["gallery images"]),
        ("its bag file has {:,} bags", len(survey.bags), PUBLISHED["bags"]),
        ("its train list has {:,} names", lines.get("train", 0), PUBLISHED["train images"]),
        ("its gallery list has {:,} names", lines.get("gallery", 0), PUBLISHED["gallery images"]),
        ("its queries' people are numbered from {:,} on", _first_query(survey), folders),
    ]
    for clause, here, published in signs:
        if here >= _MOST * published:
            return clause.format(here)
    return None


def _last(names: list[str]) -> int:
    numbers = distinct_numbers(names)
    return int(numbers[-1]) if len(numbers) else 0


def _first_query(survey: Survey) -> int:
    rows = survey.split("query")
    pid = survey.members.group[rows.start : rows.stop]
    return int(np.min(pid, initial=2**31 - 1)) if len(pid) else 0
