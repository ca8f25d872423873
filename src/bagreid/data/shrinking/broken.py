"""Broken images: those known before are not tried again, those met are made known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bagreid.catalog import Catalog, open_catalog, quarantine
from bagreid.catalog.store import cache_directory
from bagreid.contracts import BagreidError
from bagreid.data.shrinking.job import Job
from bagreid.data.shrinking.journal import Journal
from bagreid.data.shrinking.plan import ShrinkPlan
from bagreid.data.shrinking.reading import KnownBroken, tail

_VERB = "shrink"


def known_broken(plan: ShrinkPlan, cache: Path | None) -> KnownBroken:
    """The images on the archive's quarantine list.

    Args:
        plan: What is read.
        cache: Folder for catalogs.

    Returns:
        Their names and bytes; nothing of a single tar, which has no list.

    Raises:
        BagreidError: If the list cannot be read.
    """
    if plan.layout is None:
        return {}
    listed = quarantine.load(cache_directory(plan.layout.root, cache))
    return {
        (tail(entry.image), entry.size): (entry.crc32, entry.reason) for entry in listed.entries
    }


def quarantine_broken(plan: ShrinkPlan, jobs: Sequence[Job], cache: Path | None) -> str:
    """Puts broken images on the quarantine lists of the old archive and of the new one.

    A list speaks of the images of a catalog, so both are indexed, unless they are already.

    Args:
        plan: What was read and written.
        jobs: The tars, all of them whole.
        cache: Folder for catalogs.

    Returns:
        What became of the lists, as a sentence; empty where there is nothing to put on them.
    """
    if plan.layout is None or not any(_broken(job) for job in jobs):
        return ""
    try:
        old = open_catalog(plan.layout.root, cache=cache)
        listed = quarantine.add(old, dict(_rows(old, jobs)), found_by=_VERB)
        new = open_catalog(plan.out, cache=cache)
        same = {row: entry.reason for row, entry in listed.matches(new).items()}
        quarantine.add(new, same, found_by=_VERB)
    except BagreidError as error:
        return f"No quarantine list was written: {error}"
    return "The broken ones are on the quarantine lists of both archives."


def _broken(job: Job) -> dict[int, str]:
    """First byte of the data → reason, of a tar's broken images."""
    return {note.data: note.why for note in Journal(job.journal).notes() if note.what == "broken"}


def _rows(catalog: Catalog, jobs: Sequence[Job]) -> Iterator[tuple[int, str]]:
    """Rows of broken images; one that the catalog does not hold (a second copy) has none."""
    shards = {Path(path): number for number, path in enumerate(catalog.shards)}
    for job in jobs:
        broken = _broken(job)
        rows = np.flatnonzero(catalog.shard == shards[job.source])
        offsets = catalog.offset[rows]
        for at in np.flatnonzero(np.isin(offsets, list(broken))).tolist():
            yield int(rows[at]), broken[int(offsets[at])]
