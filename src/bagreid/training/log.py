"""The logs of a run: JSON lines, TensorBoard, and a progress line with the time left."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch.utils.tensorboard import SummaryWriter

from bagreid.files import write_beside


def flatten(entry: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a nested entry under ``outer/inner`` names."""
    flat: dict[str, float] = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, int | float | np.number) and not isinstance(value, bool):
            flat[prefix + key] = float(value)
    return flat


class RunLog:
    """Writes what a run has to say; every call is cheap, and nothing is held back.

    Args:
        work_dir: Gets ``log.jsonl`` (appended) and ``tensorboard/``; None writes nothing, as
            ranks other than the first do.
        console: Where people read; None keeps silent.
        total_steps: Steps of the whole run.
        done_steps: Steps that an earlier part of the run has done. Lines of the log that a
            resumed run will write again are dropped.
    """

    def __init__(
        self, work_dir: Path | None, console: Console | None, *, total_steps: int, done_steps: int
    ) -> None:
        self._file: BinaryIO | None = None
        if work_dir is not None:
            work_dir.mkdir(parents=True, exist_ok=True)
            path = work_dir / "log.jsonl"
            _drop_later_lines(path, done_steps)
            self._file = path.open("ab")
            self._board = SummaryWriter(str(work_dir / "tensorboard"), purge_step=done_steps)
        self._console = console
        self._live = console is not None and console.is_terminal
        self._said = 0.0
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[say]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )
        self._task = self._progress.add_task(
            "training", total=total_steps, completed=done_steps, say=""
        )
        self._started, self._first = time.monotonic(), done_steps
        self._total = total_steps

    def __enter__(self) -> RunLog:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
        if self._file is not None:
            self._file.close()
            self._board.close()

    def write(self, kind: str, step: int, **entry: Any) -> None:
        """Writes one line of ``log.jsonl`` and its numbers to TensorBoard."""
        if self._file is None:
            return
        line = {"kind": kind, "step": step, "time": time.time(), **entry}
        self._file.write(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
        self._file.flush()
        for name, value in flatten(entry).items():
            if name != "epoch":
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def advance(self, step: int, say: str | None = None) -> None:
        """Moves the progress line; without a terminal, a plain line now and then."""
        if self._live:
            self._progress.update(self._task, completed=step)
            if say is not None:
                self._progress.update(self._task, say=say)
        elif self._console is not None and say is not None:
            now = time.monotonic()
            if now - self._said > 15 or step >= self._total:
                self._said = now
                rate = (now - self._started) / max(step - self._first, 1)
                left = rate * (self._total - step)
                self._console.print(
                    f"  step {step}/{self._total}  {say}  {left:.0f} s left", highlight=False
                )


def _drop_later_lines(path: Path, done_steps: int) -> None:
    """Keeps the lines up to a step: what comes later is about to be done again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            step = orjson.loads(line)["step"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue  # the line that was being written when the run was killed
        if step <= done_steps:
            kept.append(line)
    with write_beside(path) as file:
        file.writelines(kept)
