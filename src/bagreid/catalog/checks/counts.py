"""What is counted, beside the published numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bagreid.catalog.checks.verdict import Verdict
from bagreid.catalog.protocol import count_protocol
from bagreid.catalog.published import PUBLISHED
from bagreid.catalog.survey import Survey


def check(survey: Survey, full: bool) -> Iterator[Verdict]:
    """Counts; a difference is bad where the archive should be the whole of SYSU-30k.

    Args:
        survey: The archive.
        full: Whether it should be.

    Yields:
        A verdict for each published number.
    """
    here = _count(survey)
    tars = bool(survey.tars)
    for name, published in PUBLISHED.items():
        if name.endswith("tars") and not tars:
            continue
        differs = full and here[name] != published
        nameless = differs and name == "identities" and _visible() <= here[name] < published
        yield Verdict(
            key=f"counts.{name.replace(' ', '_')}",
            what=name,
            status="note" if nameless else "bad" if differs else "ok",
            here=here[name],
            expected=published if full else None,
            published=published,
            says=_says(here[name], published, nameless) if differs else "",
            remedy="" if nameless or not differs else "See the other checks for what is missing",
        )


def _visible() -> int:
    """People that a name stands for: those of the bags and those of the queries."""
    return PUBLISHED["bag identities"] + PUBLISHED["query identities"]


def _says(here: int, published: int, nameless: bool) -> str:
    if nameless:
        return "people of whom only distractors are taken have no number to count them by"
    return f"{here:,} and not the {published:,} published"


def _count(survey: Survey) -> dict[str, int]:
    members = survey.members
    query, gallery = survey.split("query"), survey.split("gallery")
    q, g = slice(query.start, query.stop), slice(gallery.start, gallery.stop)
    protocol = count_protocol(
        members.group[q].astype(np.int64),
        members.camera[q].astype(np.int64),
        members.group[g].astype(np.int64),
        members.camera[g].astype(np.int64),
    )
    labels = np.unique(survey.bags.label)
    tested = members.group[query.start :]
    sides = [tar.side for tar in survey.tars]
    return {
        "images": len(members),
        "train images": len(survey.split("train")),
        "query images": protocol.queries,
        "gallery images": protocol.gallery,
        "identities": len(np.union1d(labels, tested[tested >= 0])),
        "train folders": len(survey.folder_names),
        "bag identities": len(labels),
        "bags": len(survey.bags),
        "train tars": sides.count("train"),
        "test tars": sides.count("test"),
        "query identities": protocol.query_identities,
        "matches": protocol.matches,
    }
