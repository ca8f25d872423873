"""List files against the images, both ways."""

from __future__ import annotations

from collections.abc import Iterator

from bagreid.catalog.checks.places import told
from bagreid.catalog.checks.verdict import Verdict, none_of, plural
from bagreid.catalog.findings import ListFinding
from bagreid.catalog.members import SPLITS
from bagreid.catalog.survey import Survey

_FETCH = "Fetch the list again, or the tar that the images lie in"


def check(survey: Survey, full: bool) -> Iterator[Verdict]:
    """Judges the lists.

    Args:
        survey: The archive.
        full: Whether it should be the whole of SYSU-30k.

    Yields:
        Verdicts.
    """
    listed = survey.layout.lists if survey.layout else {}
    absent = [split for split in SPLITS if split not in listed]
    yield none_of(
        "lists.files",
        "list files missing",
        len(absent),
        says=f"there is no list of {' and no list of '.join(absent)} images",
        remedy="Put train.txt, query.txt and gallery.txt at the root or into meta/; without "
        "a list, rows follow the archive's own order",
        otherwise="bad" if full else "note",
    )
    yield none_of(
        "lists.readable",
        "lists that cannot be read",
        len(survey.list_problems),
        says="a list is no list of paths",
        examples=(told(survey, problem) for problem in survey.list_problems),
        remedy=_FETCH,
    )
    for finding in survey.findings.lists:
        yield from both_ways(finding)


def both_ways(finding: ListFinding) -> Iterator[Verdict]:
    """Judges one list against the images, both ways.

    Args:
        finding: What was found.

    Yields:
        Verdicts.
    """
    split, file = finding.split, finding.file
    yield none_of(
        f"lists.{split}.absent",
        f"{split} list: names without image",
        finding.absent,
        says=f"{file} names {plural(finding.absent, 'image')} that the archive lacks, of "
        f"{finding.lines:,} lines",
        examples=finding.first_absent,
        remedy=_FETCH,
    )
    yield none_of(
        f"lists.{split}.unlisted",
        f"{split} images not in the list",
        finding.unlisted,
        says=f"{file} leaves out {plural(finding.unlisted, 'image')} of the archive",
        examples=finding.first_unlisted,
        remedy=_FETCH,
    )
    yield none_of(
        f"lists.{split}.repeated",
        f"{split} list: lines repeated",
        finding.repeated,
        says=f"{plural(finding.repeated, 'line')} of {file} like an earlier one; each image counts "
        "once",
        otherwise="note",
    )
