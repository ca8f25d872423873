"""The new tar: written beside its place, noted in its journal, renamed when it is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import BinaryIO

from bagreid.contracts import BagreidError
from bagreid.data.shrinking.job import Job
from bagreid.data.shrinking.journal import Journal, Note, Standing
from bagreid.data.shrinking.reading import Part, Piece, open_tar, read_data
from bagreid.data.shrinking.tally import FATES, Tally
from bagreid.data.shrinking.verdict import Verdict
from bagreid.shards.header import BLOCK
from bagreid.shards.rewrite import GLOBAL, resized, tail_size

PACE = 2.0
"""Seconds between two lines of the journal: so much work at most is done twice after a kill."""

_COPIED_AT_ONCE = 4 << 20


class TarOutput:
    """Writes one new tar, from where an earlier run left it.

    Leaving the `with` block after an error notes what is written so far, unless the disk itself
    is the trouble.

    Args:
        job: The tar.
        start: How far it has come.
    """

    def __init__(self, job: Job, start: Standing) -> None:
        self.tally = start.tally
        self._job = job
        self._journal = Journal(job.journal)
        self._notes: list[Note] = []
        self._noted = time.monotonic()
        self._file: BinaryIO | None = None

    def __enter__(self) -> TarOutput:
        with self._in_plain_words():
            self._job.partial.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._job.partial.open("ab", buffering=0)
            self._file.truncate(self.tally.written)
        return self

    def write(self, piece: Piece, verdicts: list[Verdict]) -> None:
        """Appends a piece; after the last one the new tar stands in its place.

        Args:
            piece: Members that follow those written so far.
            verdicts: What came out for its images.

        Raises:
            BagreidError: If the disk is full, or the source changed.
        """
        tally, notes = replace(self.tally), list[Note]()
        verdict = iter(verdicts)
        waiting: list[bytes] = []
        with self._in_plain_words():
            for part in piece.parts:
                found = next(verdict) if part.image else None
                _count(part, found, tally, notes)
                if part.member.unsafe:
                    continue
                waiting += _head_and_data(part, found)
                if part.data is None:
                    tally.written += self._put(waiting) + self._copy(part)
                    waiting = []
            tally.written += self._put(waiting)
            tally.read = piece.stop
            self.tally = tally
            self._notes += notes
            if piece.last:
                self._finish()
            elif time.monotonic() - self._noted >= PACE:
                self._note_down(Standing(self.tally))

    def _finish(self) -> None:
        job = self._job
        tally = replace(self.tally, read=job.size, behind_end=job.behind_end)
        there = 0 if job.behind_end else job.size
        tally.written += self._put([bytes(tail_size(tally.written, self.tally.read, there))])
        self._note_down(Standing(tally, whole=True))
        job.partial.replace(job.target)
        self.tally = tally
        self.close()

    def _note_down(self, standing: Standing) -> None:
        assert self._file is not None
        os.fdatasync(self._file)
        self._job.check_unchanged()
        self._journal.append(standing, self._notes)
        self._notes = []
        self._noted = time.monotonic()

    def _put(self, chunks: list[bytes]) -> int:
        """Writes all of it; returns how many bytes that were."""
        assert self._file is not None
        rest = memoryview(b"".join(chunks))
        size = len(rest)
        while rest:
            rest = rest[self._file.write(rest) :]
        return size

    def _copy(self, part: Part) -> int:
        """Copies data that no piece holds, padding and all; returns how many bytes that were."""
        member, path = part.member, self._job.source
        with open_tar(path) as file:
            for done in range(0, member.size, _COPIED_AT_ONCE):
                size = min(_COPIED_AT_ONCE, member.size - done)
                self._put([read_data(file, member, done, size, path)])
        padding = -member.size % BLOCK
        self._put([bytes(padding)])
        return member.size + padding

    @contextmanager
    def _in_plain_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.close()
            raise BagreidError(
                f"cannot be written ({error.strerror})",
                path=self._job.partial,
                remedy="Make room (or see to the disk), then run the same command again: it goes "
                "on from here",
            ) from error

    def close(self) -> None:
        """Closes the files; nothing more is noted."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._journal.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(OSError, BagreidError):  # the error on its way says more
                self._note_down(Standing(self.tally))
            self.close()


def _head_and_data(part: Part, found: Verdict | None) -> list[bytes]:
    """The bytes of a member in the new tar; only the head of one that is copied later."""
    member = part.member
    if part.data is None:
        return [member.head]
    if found is not None and found.fate == "shrunk":
        data = found.data
        return [resized(member, len(data)), data, bytes(-len(data) % BLOCK)]
    return [member.head, part.data, bytes(-len(part.data) % BLOCK)]


def _count(part: Part, found: Verdict | None, tally: Tally, notes: list[Note]) -> None:
    member = part.member
    if member.unsafe:
        tally.unsafe += 1
        why = "its name leads out of the folder of unpacking"
        notes.append(Note(member.name, member.data, "left out", why))
        return
    if found is None and not part.known:
        tally.others += member.kind != GLOBAL
        return
    fate, reason = (found.fate, found.reason) if found else ("broken", part.known)
    field = FATES[fate]
    setattr(tally, field, getattr(tally, field) + 1)
    if fate == "broken":
        notes.append(Note(member.name, member.data, "broken", reason))
