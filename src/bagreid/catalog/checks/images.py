"""Images as members: none twice, none in no known place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bagreid.catalog.checks.places import place, told
from bagreid.catalog.checks.verdict import Verdict, none_of, plural
from bagreid.catalog.survey import Survey
from bagreid.catalog.survey.images import BAD_NAME


def check(survey: Survey, full: bool) -> Iterator[Verdict]:  # noqa: ARG001 - holds for any archive
    """Judges what lies in tars and folders.

    Args:
        survey: The archive.
        full: Of no meaning here.

    Yields:
        Verdicts.
    """
    findings = survey.findings
    twice = findings.duplicate_images
    yield none_of(
        "images.duplicates",
        "images found twice",
        twice,
        says=f"{plural(twice, 'image')} found again, in the same file or in another: the first "
        "place counts",
        examples=_lost(survey),
        remedy="If a train tar was downloaded twice under two names, remove one",
    )
    yield none_of(
        "images.unplaced",
        "images in no known folder",
        findings.unplaced,
        says=f"{plural(findings.unplaced, 'image')} neither in a train folder nor under query/ or "
        "gallery/, and left out",
        examples=findings.first_unplaced,
        remedy="Move them where they belong, or fetch the tar again",
    )
    # Bad test names have a check of their own.
    unreadable = [
        problem for problem in survey.image_problems if BAD_NAME not in str(problem.message)
    ]
    yield none_of(
        "images.unreadable",
        "files that cannot be taken up",
        len(unreadable),
        says="a file cannot be read, or is too large for a catalog",
        examples=(told(survey, problem) for problem in unreadable),
        remedy="Remove a broken link or put the file back; split a tar of over 2 TiB",
    )
    yield none_of(
        "images.others",
        "files that are no JPEG by name",
        findings.not_images,
        says=f"{plural(findings.not_images, 'file')} left out",
        otherwise="note",
    )


def _lost(survey: Survey) -> Iterator[str]:
    """How many images each tar has that an earlier place has too."""
    kept = np.bincount(survey.members.shard, minlength=len(survey.tars))
    for shard, tar in enumerate(survey.tars):
        if tar.images > kept[shard]:
            lost = tar.images - int(kept[shard])
            yield f"{place(survey, tar.path)}: {lost:,} of its {tar.images:,}"
