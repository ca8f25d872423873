"""Places in an archive, as people know them: relative to its root."""

from __future__ import annotations

from pathlib import Path

from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.survey import Survey
from bagreid.contracts import BagreidError


def place(survey: Survey, path: Path | None) -> str:
    """A file of the archive.

    Args:
        survey: The archive.
        path: The file; None stands for the whole archive.

    Returns:
        Its path below the root, where it lies there.
    """
    return str(survey.root) if path is None else relative(path, survey.root)


def told(survey: Survey, problem: BagreidError) -> str:
    """A problem without its remedy, for there is one for all of a kind.

    Args:
        survey: The archive.
        problem: What is wrong with one of its files.

    Returns:
        Place and message.
    """
    position = f", {problem.position}" if problem.position else ""
    return f"{place(survey, problem.path)}{position}: {problem.message}"
