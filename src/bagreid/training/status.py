"""The state of a run in one small file: who trains, how far, when last heard of, how it ended.

``WORK_DIR/state.json`` is what `bagreid runs` tells a running run from a killed one by. It is
written beside and renamed, so that it is whole whenever it is read, and never a reason to stop.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import orjson

from bagreid.contracts import BagreidError, printable
from bagreid.files import write_json
from bagreid.training.phases import Phases

SCHEMA = "bagreid.state/1"
FILE_NAME = "state.json"
BEAT_SECONDS = 10.0
"""Seconds between two signs of life."""

End = Literal["finished", "stopped", "failed"]
"""How a run ends by itself: done, asked to stop and saved, or by an error."""


@dataclass(frozen=True, slots=True)
class Process:
    """Which process, so that nobody else's is taken for it.

    Attributes:
        host: Name of its machine.
        pid: Its number, which the system gives to another process one day.
        process_start: When it began, in clock ticks since the machine started; with ``boot`` and
            ``pid`` it belongs to one process only. None where there is no ``/proc``.
        boot: Which start of which machine.
        space: Which numbering of processes: every container has its own.
    """

    host: str
    pid: int
    process_start: int | None
    boot: str | None
    space: str | None


def this_process() -> Process:
    """The process that asks."""
    boot = space = None
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    pid = os.getpid()
    return Process(socket.gethostname(), pid, start_of(pid), boot, space)


def start_of(pid: int) -> int | None:
    """When a process of this machine began, in clock ticks since the machine did.

    Returns:
        None where no such process runs: one that ended and waits for its parent runs no more.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        # the name of the program stands in brackets, and may hold some itself
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def process_at_work(work_dir: Path) -> int | None:
    """The process of this machine that trains in a folder right now.

    Args:
        work_dir: A work dir, or a folder that is not there.

    Returns:
        Its number; None: there is none, or only the process that asks, or it runs elsewhere.
    """
    try:
        told = orjson.loads((work_dir / FILE_NAME).read_bytes())
        if told["state"] != "running":
            return None
        pid = int(told["pid"])
        own = asdict(this_process()) | {"pid": pid, "process_start": start_of(pid)}
        same = all(told[name] == value for name, value in own.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if same and own["process_start"] is not None and pid != os.getpid() else None


class RunStatus:
    """Tells the work dir what becomes of a run; a context, left by the end of the run.

    Leaving it without `end` means: finished, or failed by the exception that passes.

    Args:
        work_dir: Where the file goes; None writes nothing, as ranks other than the first do.
        total_steps: Steps of the whole run.
        epochs: Epochs of the whole run.
        done_steps: Steps that earlier parts of the run have done; their time is added up.
        phases: Where the process is; shown, and looked at for whether it moves.
        processes: How many processes train together.
        command: The words behind ``bagreid`` that started the run; those of this process where
            not given.
        beat_seconds: Seconds between two signs of life.
    """

    def __init__(
        self,
        work_dir: Path | None,
        total_steps: int,
        *,
        epochs: int,
        done_steps: int = 0,
        phases: Phases | None = None,
        processes: int = 1,
        command: Sequence[str] | None = None,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._path = None if work_dir is None else work_dir / FILE_NAME
        self._step, self._epoch = done_steps, 0
        self._phases = phases
        self._beat_seconds = beat_seconds
        self._begun = time.monotonic()
        self._before = 0.0
        if self._path is not None and done_steps:
            self._before = _seconds_of(self._path)
        self._mark, self._moved = -1, time.time()
        self._ended: tuple[End, str | None] | None = None
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="bagreid state", daemon=True)
        self._fixed = asdict(this_process()) | {
            "total_steps": total_steps,
            "epochs": epochs,
            "processes": processes,
            "processes_here": int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            "command": [printable(word) for word in (sys.argv[1:] if command is None else command)],
            "folder": _here(),
            "started": time.time(),
            "first_step": done_steps,
            "beat_seconds": beat_seconds,
        }

    def __enter__(self) -> RunStatus:
        if self._path is not None:
            self._write()
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended is not None:
            return
        if value is None:
            self.end("finished")
        else:
            said = str(value) if isinstance(value, BagreidError) else repr(value)
            self.end("failed", said)

    def at(self, step: int, epoch: int) -> None:
        """Notes how far the run is; nothing is written before the next sign of life.

        Args:
            step: Steps done.
            epoch: The present epoch, from 0.
        """
        self._step, self._epoch = step, epoch

    def end(self, state: End, why: str | None = None) -> None:
        """Writes how the run ended; there are no further signs of life.

        Args:
            state: Finished, stopped (saved when asked to), or failed.
            why: What to tell people about it.
        """
        self._ended = (state, None if why is None else printable(why))
        self._stop.set()
        if self._path is None:
            return
        if self._thread.is_alive():
            self._thread.join(self._beat_seconds)  # no longer: a dead disk must not hold the run
        self._write()

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            self._write()

    def _write(self) -> None:
        """Writes the file; what fails is left out, for the next sign of life may go through."""
        assert self._path is not None
        with self._writing, suppress(BagreidError, OSError):
            write_json(self._path, self._content())

    def _content(self) -> dict[str, Any]:
        now = time.time()
        mark = self._step if self._phases is None else self._phases.done
        if mark != self._mark:
            self._mark, self._moved = mark, now
        state, why = self._ended or ("running", None)
        return {
            "schema": SCHEMA,
            "state": state,
            "why": why,
            "step": self._step,
            "epoch": self._epoch,
            "phase": None if self._phases is None else self._phases.name,
            "moved": self._moved,
            "beat": now,
            "seconds": self._before + time.monotonic() - self._begun,
            **self._fixed,
        }


def _here() -> str | None:
    try:
        return printable(str(Path.cwd()))
    except OSError:  # somebody removed the folder
        return None


def _seconds_of(path: Path) -> float:
    """Time spent on the earlier parts of a run, as far as they have told."""
    try:
        return float(orjson.loads(path.read_bytes())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
