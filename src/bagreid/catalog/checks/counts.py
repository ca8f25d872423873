"""What is counted, beside the published numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bagreid.catalog.checks.verdict import Status, Verdict
from bagreid.catalog.protocol import count_protocol
from bagreid.catalog.published import PUBLISHED, Count, count_parts
from bagreid.catalog.survey import Survey

_VISIBLE = PUBLISHED["bag identities"] + PUBLISHED["query identities"]
"""People that a name stands for: those of the bags and those of the queries."""


def check(survey: Survey, full: bool) -> Iterator[Verdict]:
    """Counts; a difference is bad where the archive should be the whole of SYSU-30k.

    Args:
        survey: The archive.
        full: Whether it should be, or of a labelled set the whole of that.

    Yields:
        A verdict for each published number.
    """
    for count in _count(survey):
        if count.published is not None:
            status = _status(count, survey.labelled is None) if full else "ok"
            yield Verdict(
                key=f"counts.{count.name.replace(' ', '_')}",
                what=count.name,
                status=status,
                here=count.here,
                expected=count.published if full else None,
                published=count.published,
                says="people seen on distractors only have no number to count them by"
                if status == "note"
                else "",
            )


def _status(count: Count, sysu30k: bool) -> Status:
    if count.here == count.published:
        return "ok"
    nameless = count.name == "identities" and _VISIBLE <= count.here < PUBLISHED["identities"]
    return "note" if sysu30k and nameless else "bad"


def _count(survey: Survey) -> list[Count]:
    members = survey.members
    query, gallery = survey.split("query"), survey.split("gallery")
    q, g = slice(query.start, query.stop), slice(gallery.start, gallery.stop)
    return count_parts(
        train=len(survey.split("train")),
        protocol=count_protocol(
            members.group[q].astype(np.int64),
            members.camera[q].astype(np.int64),
            members.group[g].astype(np.int64),
            members.camera[g].astype(np.int64),
        ),
        tested=members.group[query.start :],
        folders=len(survey.folder_names),
        labels=np.unique(survey.bags.label),
        bags=len(survey.bags),
        sides=[tar.side for tar in survey.tars],
        labelled=survey.labelled,
    )
