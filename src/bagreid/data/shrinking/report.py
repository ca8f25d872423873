"""What is to be reported of single members, gathered from the journals."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from bagreid.data.shrinking.job import Job
from bagreid.data.shrinking.journal import Journal, Note
from bagreid.files import write_beside

FILE = "notes.csv"
"""Its name in the folder of the shrinking."""

FIRST = 10
"""How many of a kind are kept for the table."""

_HEADER = ("tar", "byte", "member", "what", "why")


def write_notes(
    folder: Path, jobs: Sequence[Job]
) -> tuple[Path | None, tuple[Note, ...], tuple[Note, ...]]:
    """Writes down every broken image and every member left out.

    Args:
        folder: Where the file goes.
        jobs: The tars, all of them whole.

    Returns:
        The file, or None where there is nothing to list; the first broken images; the first
        members left out.

    Raises:
        BagreidError: If it cannot be written.
    """
    first: dict[str, list[Note]] = {"broken": [], "left out": []}
    path = folder / FILE
    with write_beside(path) as raw:
        file = io.TextIOWrapper(raw, "utf-8", newline="")
        table = csv.writer(file)
        table.writerow(_HEADER)
        for job in jobs:
            for note in Journal(job.journal).notes():
                table.writerow((job.name, note.data, note.member, note.what, note.why))
                if len(first[note.what]) < FIRST:
                    first[note.what].append(note)
        file.flush()
        file.detach()
    if not any(first.values()):
        path.unlink()
        return None, (), ()
    return path, tuple(first["broken"]), tuple(first["left out"])
