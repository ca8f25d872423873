"""The files of a run's log, written by a thread of their own: no step waits for a disk.

TensorBoard's own writer is not used: it has a thread, too, which dies of a full disk with a
traceback on the screen, and it checks every number by itself. Here one record holds all numbers of
a line.
"""

from __future__ import annotations

import itertools
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import orjson
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from bagreid.contracts import BagreidError

REMEDY = "Make room on the disk, then continue by --resume-from auto"
_BLOCK = 1 << 20
_numbers = itertools.count()


class _Line(NamedTuple):
    kind: str
    step: int
    time: float
    entry: dict[str, Any]


class LogFiles:
    """``log.jsonl`` and ``tensorboard/`` of a work dir.

    Args:
        work_dir: Made where it is missing.
        done_steps: Lines of later steps are dropped: they are about to be written again.

    Raises:
        BagreidError: The files cannot be opened.
    """

    def __init__(self, work_dir: Path, done_steps: int) -> None:
        self._path = work_dir / "log.jsonl"
        self._failure: Exception | None = None
        self._queue: queue.SimpleQueue[_Line | threading.Event | None] = queue.SimpleQueue()
        try:
            (work_dir / "tensorboard").mkdir(parents=True, exist_ok=True)
            drop_later_lines(self._path, done_steps)
            self._lines = _WholeEntries(self._path)
            self._board = _Board(work_dir / "tensorboard", done_steps)
        except OSError as error:
            raise self._explained(error) from error
        self._thread = threading.Thread(target=self._work, name="bagreid log", daemon=True)
        self._thread.start()

    def put(self, kind: str, step: int, entry: dict[str, Any]) -> None:
        """Hands a line over to the thread; ``entry`` is not to be changed afterwards.

        Raises:
            BagreidError: An earlier line could not be written.
        """
        self._raise()
        self._queue.put(_Line(kind, step, time.time(), entry))

    def flush(self) -> None:
        """Waits until every line is in the files.

        Raises:
            BagreidError: A line could not be written.
        """
        written = threading.Event()
        self._queue.put(written)
        written.wait()
        self._raise()

    def close(self) -> None:
        """Writes what is left and closes the files.

        Raises:
            BagreidError: A line could not be written.
        """
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def _work(self) -> None:
        waiting: list[_Line | threading.Event | None] = []
        while None not in waiting:
            waiting = list(self._taken())
            if self._failure is None:
                self._try(self._write, [item for item in waiting if isinstance(item, _Line)])
            if None in waiting:
                self._try(self._lines.close)
                self._try(self._board.close)
            for item in waiting:
                if isinstance(item, threading.Event):
                    item.set()

    def _try(self, work: Callable[..., None], *arguments: Any) -> None:
        """Keeps the first error, to be raised where somebody can mend it."""
        try:
            work(*arguments)
        except Exception as error:
            self._failure = self._failure or self._explained(error)

    def _taken(self) -> Iterator[_Line | threading.Event | None]:
        """What waits, at least one thing."""
        yield self._queue.get()
        with suppress(queue.Empty):
            while True:
                yield self._queue.get_nowait()

    def _write(self, lines: list[_Line]) -> None:
        if not lines:
            return
        texts = []
        for kind, step, when, entry in lines:
            line = {"kind": kind, "step": step, "time": when, **entry}
            texts.append(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
        self._lines.append(b"".join(texts))
        self._board.append(lines)

    def _explained(self, error: Exception) -> Exception:
        if not isinstance(error, OSError):
            return error
        return BagreidError(
            f"cannot be written ({error.strerror})", path=error.filename or self._path,
            remedy=REMEDY,
        )  # fmt: skip

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure


class _WholeEntries:
    """A file that grows by whole entries: one that does not fit on the disk is taken back."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._end = self._file.seek(0, os.SEEK_END)

    def append(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(data)

    def close(self) -> None:
        self._file.close()


class _Board:
    """Event files as TensorBoard reads them, one record a line of the log."""

    def __init__(self, folder: Path, done_steps: int) -> None:
        unique = f"{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.{next(_numbers):04}"
        self._file = _WholeEntries(folder / f"events.out.tfevents.{unique}")
        # what an earlier part of the run has told of this step and later ones is no longer shown
        first, again = done_steps + 1, SessionLog(status=SessionLog.START)
        for event in (
            Event(wall_time=time.time(), step=first, file_version="brain.Event:2"),
            Event(wall_time=time.time(), step=first, session_log=again),
        ):
            self._file.append(_record(event))

    def append(self, lines: list[_Line]) -> None:
        records = []
        for kind, step, when, entry in lines:
            numbers = flatten(entry)
            numbers.pop("epoch", None)
            values = [
                Summary.Value(tag=f"{kind}/{name}", simple_value=value)
                for name, value in numbers.items()
            ]
            if values:
                records.append(Event(wall_time=when, step=step, summary=Summary(value=values)))
        self._file.append(b"".join(map(_record, records)))

    def close(self) -> None:
        self._file.close()


def _record(event: Event) -> bytes:
    collected = _Collected()
    RecordWriter(collected).write(event.SerializeToString())
    return collected.data


class _Collected:
    """Takes what a record writer writes to a file."""

    data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def flatten(entry: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a nested entry under ``outer/inner`` names."""
    flat: dict[str, float] = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, int | float | np.number) and not isinstance(value, bool):
            flat[prefix + key] = float(value)
    return flat


def drop_later_lines(path: Path, done_steps: int) -> None:
    """Cuts a log behind the last line of the steps done: what comes later is done again.

    The file is read from its end, and only as far as it is cut. A new run begins an empty log.

    Args:
        path: The log; nothing happens where there is none.
        done_steps: The last step to keep.

    Raises:
        OSError: The file cannot be read or cut.
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = 0 if done_steps == 0 else _end_of_kept(file, done_steps)
        file.truncate(end)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":  # all of the line was written but this
                file.write(b"\n")


def _end_of_kept(file: BinaryIO, done_steps: int) -> int:
    """Where the last line of the steps done ends; 0 where there is none."""
    at, rest = file.seek(0, os.SEEK_END), b""
    while at:
        start = max(0, at - _BLOCK)
        file.seek(start)
        block = file.read(at - start) + rest
        first = block.find(b"\n") + 1 if start else 0
        if first == 0 and start:  # one line longer than a block
            at, rest = start, block
            continue
        end = len(block)
        for line in reversed(block[first:].splitlines(keepends=True)):
            if _is_kept(line, done_steps):
                return start + end
            end -= len(line)
        at, rest = start, block[:first]
    return 0


def _is_kept(line: bytes, done_steps: int) -> bool:
    try:
        return bool(orjson.loads(line)["step"] <= done_steps)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False  # the line that was being written when the run was killed
