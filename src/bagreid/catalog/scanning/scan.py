"""Which tars must be scanned, by how many processes, and what all of them hold."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bagreid.catalog.hold import PARTIAL, Hold, remove
from bagreid.catalog.layouts import Layout
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.members import BuildProgress
from bagreid.catalog.pieces import Piece, empty_piece
from bagreid.catalog.scanning.pieces_on_disk import piece_name, read_piece
from bagreid.catalog.scanning.pool import scan_side_by_side
from bagreid.catalog.scanning.process import Done, Job, Step, scan, scan_for_once, seldom
from bagreid.contracts import BagreidError
from bagreid.shards import open_source
from bagreid.shards.scanner import ScanProgress

SCANS = "scans"
"""Folder of finished scans in an archive's cache folder."""

_WORTH_A_PROCESS = 1 << 30
"""Bytes of tars from which on starting processes pays: one starts in the time of scanning 1 GB."""


@dataclass(slots=True)
class _Progress:
    """Tells of all tars in the words of `BuildProgress`."""

    layout: Layout
    bytes: list[int]
    told: BuildProgress | None

    def __call__(self, step: Step) -> None:
        if self.told is not None:
            path = self.layout.tars[step.number].path
            self.told(path, step.members, step.passed, self.bytes[step.number])


def scan_tars(
    layout: Layout,
    directory: Path,
    hold: Hold,
    *,
    workers: int | None,
    progress: BuildProgress | None,
) -> list[Piece]:
    """Finds out what each tar of an archive holds; finished scans are not done again.

    Args:
        layout: Where the tars lie.
        directory: The archive's cache folder; where it cannot be written, nothing is kept.
        hold: The share of this builder in it.
        workers: How many tars are scanned at once; None takes one a core where it pays.
        progress: Told how far it is.

    Returns:
        One piece a tar, in the order of the layout.

    Raises:
        BagreidError: If a scanning process dies or the disk is full.
    """
    token = secrets.token_hex(8)
    with _folder(directory) as folder:
        try:
            return _scan(layout, folder, hold, token, workers, progress)
        finally:
            for partial in folder.glob(f"*.{token}{PARTIAL}"):
                remove(partial)


@contextmanager
def _folder(directory: Path) -> Iterator[Path]:
    folder = directory / SCANS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        with tempfile.TemporaryDirectory(prefix="bagreid-scans-") as elsewhere:
            yield Path(elsewhere)
    else:
        yield folder


def _scan(
    layout: Layout,
    folder: Path,
    hold: Hold,
    token: str,
    workers: int | None,
    progress: BuildProgress | None,
) -> list[Piece]:
    jobs, pieces = _look(layout, folder, token)
    tell = _Progress(layout, [0] * len(layout.tars), progress)
    for number, job in jobs.items():
        tell.bytes[number] = job.bytes
        known = pieces.get(number)
        tell(Step(number, 0, 0) if known is None else Step(number, len(known), job.bytes))
    to_do = [job for number, job in jobs.items() if number not in pieces]
    names = {number: job.piece for number, job in jobs.items() if number in pieces}
    with closing(_run(to_do, _processes(to_do, workers), tell)) as ends:
        for done in ends:
            job = jobs[done.number]
            piece = _outcome(done, job)
            pieces[done.number] = piece
            names[done.number] = done.piece or job.piece
            tell(Step(done.number, len(piece), job.bytes))
    wanted = set(names.values())
    with hold.alone() as alone:
        for path in folder.iterdir() if alone else ():
            if path.name not in wanted:
                remove(path)
    return [pieces[number] for number in range(len(layout.tars))]


def _look(layout: Layout, folder: Path, token: str) -> tuple[dict[int, Job], dict[int, Piece]]:
    """A job for each tar that can be opened; and the pieces that are known already."""
    jobs: dict[int, Job] = {}
    pieces: dict[int, Piece] = {}
    for number, tar in enumerate(layout.tars):
        name = relative(tar.path, layout.root)
        try:
            with closing(open_source(tar.path)) as source:
                kept = piece_name(name, tar.side, source)
                size = source.size
        except BagreidError as error:
            pieces[number] = empty_piece(error)
            continue
        jobs[number] = Job(number, tar.path, name, tar.side, folder, token, size, kept)
        piece = read_piece(folder / kept, tar.path)
        if piece is not None:
            pieces[number] = piece
        else:
            remove(folder / kept)
    return jobs, pieces


def _processes(jobs: Sequence[Job], workers: int | None) -> int:
    if multiprocessing.current_process().daemon:
        return 1  # such a process may have no children
    if workers is not None:
        return min(workers, len(jobs))
    if sum(job.bytes for job in jobs) < _WORTH_A_PROCESS:
        return 1
    return min(len(os.sched_getaffinity(0)), len(jobs))


def _run(jobs: Sequence[Job], processes: int, tell: _Progress) -> Generator[Done, None, None]:
    if processes > 1:
        yield from scan_side_by_side(jobs, processes, tell)
        return
    for job in jobs:
        yield scan(job, seldom(_teller(job, tell)))


def _teller(job: Job, tell: _Progress) -> ScanProgress:
    return lambda members, passed: tell(Step(job.number, members, passed))


def _outcome(done: Done, job: Job) -> Piece:
    if done.piece is None:
        return empty_piece(done.error)
    # Who asks for everything anew may have removed what was kept a moment ago.
    piece = read_piece(job.folder / done.piece, job.path)
    return scan_for_once(job) if piece is None else piece
