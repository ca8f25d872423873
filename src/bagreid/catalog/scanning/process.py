"""One process that scans tars: it is told which, says how far it is, and leaves files.

It ends when nobody listens any more, so that none outlives a killed build.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from bagreid.catalog.pieces import Piece, empty_piece, tar_piece
from bagreid.catalog.scanning.pieces_on_disk import piece_name, write_piece
from bagreid.contracts import BagreidError
from bagreid.shards import open_source, survey_tar
from bagreid.shards.scanner import ScanProgress

_EVERY = 0.1
"""Seconds between two words about the progress of a scan."""


@dataclass(frozen=True, slots=True)
class Job:
    """A tar to scan.

    Attributes:
        number: Which of the archive's tars.
        path: The tar, or the pointer to it.
        name: The same, relative to the archive.
        side: What it should hold by its place.
        folder: Where finished scans are kept.
        token: Marks the unfinished files of this build.
        bytes: Its size.
        piece: The name under which its scan will be kept, if it does not change meanwhile.
    """

    number: int
    path: Path
    name: str
    side: str
    folder: Path
    token: str
    bytes: int
    piece: str


@dataclass(frozen=True, slots=True)
class Step:
    """How far a scan is: members read and bytes passed."""

    number: int
    members: int
    passed: int


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a scan: the name of the file, or why there is none."""

    number: int
    piece: str | None
    error: BagreidError | None


def scan(job: Job, tell: ScanProgress) -> Done:
    """Scans a tar and keeps the scan.

    Args:
        job: Which tar.
        tell: Told now and then how far the scan is.

    Returns:
        Where the scan lies. A tar that is damaged has one all the same; one that cannot be read
        at all has none.
    """
    try:
        with closing(open_source(job.path)) as source:
            # Named by what was read, in case the tar was exchanged after the job was written.
            name = piece_name(job.name, job.side, source)
            if not (job.folder / name).exists():  # else another build was faster
                index = survey_tar(job.path, source=source, progress=tell)
                write_piece(job.folder / name, tar_piece(index, job.side), job.token)
    except BagreidError as error:
        return Done(job.number, None, error)
    return Done(job.number, name, None)


def scan_for_once(job: Job) -> Piece:
    """Scans a tar whose scan cannot be kept.

    Args:
        job: Which tar.

    Returns:
        The scan, without images where the tar cannot be read.
    """
    try:
        return tar_piece(survey_tar(job.path), job.side)
    except BagreidError as error:
        return empty_piece(error)


def serve(connection: Connection) -> None:
    """Scans one tar after another until the other end of the connection closes.

    Args:
        connection: Gives jobs; takes steps, and the end of each.
    """
    # Ctrl-C reaches the whole group; the process that asked for the scans ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError), connection:
        while True:
            job: Job = connection.recv()
            connection.send(scan(job, seldom(_teller(connection, job))))


def _teller(connection: Connection, job: Job) -> ScanProgress:
    return lambda members, passed: connection.send(Step(job.number, members, passed))


def seldom(tell: Callable[[int, int], None]) -> ScanProgress:
    """Passes on only as much as somebody can read.

    Args:
        tell: Takes members and bytes.

    Returns:
        The same, which passes over what comes too soon after the last.
    """
    last = 0.0

    def told(members: int, passed: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            tell(members, passed)

    return told
