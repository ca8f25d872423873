"""The truth of a synthetic archive against its images."""

from __future__ import annotations

from collections.abc import Iterator

from bagreid.catalog.checks.places import told
from bagreid.catalog.checks.verdict import Verdict, none_of, plural
from bagreid.catalog.survey import Survey

_REMEDY = "Take the truth.csv that was written with this very archive, or remove it"


def check(survey: Survey, full: bool) -> Iterator[Verdict]:  # noqa: ARG001 - SYSU-30k has none
    """Judges the truth.

    Args:
        survey: The archive.
        full: Of no meaning here, for no truth was released.

    Yields:
        Verdicts; none where there is no truth.
    """
    if survey.layout is None or survey.layout.truth_file is None:
        return
    problem, findings = survey.truth_problem, survey.findings
    yield none_of(
        "truth.readable",
        "truth that cannot be read",
        int(problem is not None),
        says=told(survey, problem) if problem else "",
        remedy=_REMEDY,
    )
    if problem is not None:
        return
    yield none_of(
        "truth.absent",
        "lines of the truth without image",
        findings.truth_absent,
        says=f"{plural(findings.truth_absent, 'line')} without an image in the archive",
        remedy=_REMEDY,
    )
    yield none_of(
        "truth.missing",
        "train images without truth",
        findings.truth_missing,
        says=f"the truth is silent about {plural(findings.truth_missing, 'train image')}",
        remedy=_REMEDY,
    )
