"""From an archive to a smaller one, tar to tar."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bagreid.catalog.hold import hold_archive
from bagreid.catalog.members import BuildProgress
from bagreid.catalog.remote import local_root
from bagreid.catalog.scanning import scan_tars
from bagreid.catalog.store import cache_directory
from bagreid.data.shrinking.broken import known_broken, quarantine_broken
from bagreid.data.shrinking.config import ShrinkConfig
from bagreid.data.shrinking.job import Job, present_state
from bagreid.data.shrinking.journal import Note, Standing
from bagreid.data.shrinking.plan import Pair, ShrinkPlan, make_plan
from bagreid.data.shrinking.pool import shrink_in_order
from bagreid.data.shrinking.reading import KnownBroken, Piece, open_tar, read_pieces
from bagreid.data.shrinking.record import (
    check_same,
    describe,
    locked,
    read_record,
    write_record,
)
from bagreid.data.shrinking.report import write_notes
from bagreid.data.shrinking.tally import Tally
from bagreid.files import write_beside
from bagreid.shards import scan_tar
from bagreid.shards.source import State

ShrinkProgress = Callable[[Tally], None]
"""Called with what is done so far, of all tars together."""

Begin = Callable[[Tally, int], ShrinkProgress]
"""Called when the scan is over, with what earlier runs did and the bytes of all tars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShrinkSummary:
    """What was done.

    Attributes:
        plan: What was read and written.
        tallies: The counts of each tar, in the plan's order.
        earlier: What of it earlier runs did.
        broken: The first broken images.
        left_out: The first members left out.
        notes: The file that lists all of both; None where there is nothing to list.
        quarantined: What became of the quarantine lists, as a sentence; empty where nothing did.
    """

    plan: ShrinkPlan
    tallies: tuple[Tally, ...]
    earlier: Tally
    broken: tuple[Note, ...]
    left_out: tuple[Note, ...]
    notes: Path | None
    quarantined: str

    @property
    def out(self) -> Path:
        """What the user named for the new archive."""
        return self.plan.out

    @property
    def total(self) -> Tally:
        """The counts of all tars together."""
        return sum(self.tallies, Tally())


def shrink_archive(
    source: Path | str,
    out: Path,
    config: ShrinkConfig,
    *,
    workers: int,
    cache: Path | None = None,
    scanning: BuildProgress | None = None,
    begin: Begin | None = None,
) -> ShrinkSummary:
    """Writes an archive again with smaller images; goes on where an earlier run was stopped.

    Args:
        source: An archive's folder (or the URL of one), or a single tar. It is opened for reading
            only.
        out: Where the new one goes.
        config: Size and quality.
        workers: Processes that shrink; 0: this one does. The bytes are the same whatever their
            number.
        cache: Folder for catalogs, where finished scans and the list of broken images are.
        scanning: Told how far the scan is that comes first.
        begin: Told when the scan is over; gives what is told how far the shrinking is.

    Returns:
        Counts, and what is to be reported.

    Raises:
        BagreidError: If the source is damaged (nothing is written then) or changes, or the place
            cannot be written.
    """
    plan = make_plan(local_root(source, cache=cache), out)
    now = describe(plan, config)
    record = read_record(plan)
    if record is None:
        record = now | {"behind_end": _scan(plan, cache, scanning)}
    with locked(plan):
        before = read_record(plan)
        if before is None:
            write_record(plan, record)
        else:
            check_same(before, now, plan)
            record = before
        for pair in plan.copies:
            _copy(pair, tuple(record["files"][pair.name]))
        jobs = [_job(plan, pair, record) for pair in plan.tars]
        starts = [job.standing() for job in jobs]
        known = known_broken(plan, cache)
        tallies = _shrink(jobs, starts, config, workers, known, begin)
        notes, broken, left_out = write_notes(plan.folder, jobs)
        quarantined = quarantine_broken(plan, jobs, cache)
    return ShrinkSummary(
        plan=plan,
        tallies=tuple(tallies),
        earlier=sum((start.tally for start in starts), Tally()),
        broken=broken,
        left_out=left_out,
        notes=notes,
        quarantined=quarantined,
    )


def _scan(plan: ShrinkPlan, cache: Path | None, progress: BuildProgress | None) -> dict[str, int]:
    """Makes sure that all tars are whole; for each, how many bytes lie behind its end."""
    if plan.layout is None:
        (pair,) = plan.tars
        size = present_state(pair.source)[0]

        def tell(members: int, passed: int) -> None:
            if progress is not None:
                progress(pair.source, members, passed, size)

        return {pair.name: scan_tar(pair.source, progress=tell).bytes_after_end}
    directory = cache_directory(plan.layout.root, cache)
    with hold_archive(directory) as hold:
        pieces = scan_tars(plan.layout, directory, hold, workers=None, progress=progress)
    for piece in pieces:
        if piece.damage is not None:
            raise piece.damage
    return {
        pair.name: piece.odd.bytes_after_end for pair, piece in zip(plan.tars, pieces, strict=True)
    }


def _copy(pair: Pair, state: State) -> None:
    """Copies a file with its time of change, by which a later run knows that it is there."""
    if pair.target.is_file():
        there = pair.target.stat()
        if (there.st_size, there.st_mtime_ns) == state:
            return
    remedy = "Make room, then run the same command again"
    with open_tar(pair.source) as old, write_beside(pair.target, remedy=remedy) as new:
        shutil.copyfileobj(old, new, 1 << 20)
        new.flush()
        os.utime(new.fileno(), ns=(int(state[1]), int(state[1])))


def _job(plan: ShrinkPlan, pair: Pair, record: dict[str, Any]) -> Job:
    size, change, _ = record["tars"][pair.name]
    return Job(
        name=pair.name,
        source=pair.source,
        state=(size, change),
        behind_end=record["behind_end"][pair.name],
        target=pair.target,
        journal=plan.folder / "tars" / f"{pair.name}.jsonl",
    )


def _shrink(
    jobs: Sequence[Job],
    starts: Sequence[Standing],
    config: ShrinkConfig,
    workers: int,
    known: KnownBroken,
    begin: Begin | None,
) -> list[Tally]:
    """Shrinks what is not yet done; the tally of each tar."""
    from bagreid.data.shrinking.writing import TarOutput

    tallies = [start.tally for start in starts]
    tell = begin(sum(tallies, Tally()), sum(job.size for job in jobs)) if begin else None

    def pieces() -> Iterator[Piece]:
        for number, (job, start) in enumerate(zip(jobs, starts, strict=True)):
            if not start.whole:
                yield from read_pieces(number, job.source, start.tally.read, known)

    with closing(shrink_in_order(pieces(), Piece.images, config, workers)) as results:
        for number, results_of_tar in groupby(results, lambda result: result[0].tar):
            with TarOutput(jobs[number], starts[number]) as output:
                for piece, verdicts in results_of_tar:
                    output.write(piece, verdicts)
                    tallies[number] = output.tally
                    if tell is not None:
                        tell(sum(tallies, Tally()))
    return tallies
