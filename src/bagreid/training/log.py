"""What a run has to say: lines in files and on the screen, none of which holds up a step."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from bagreid.contracts import BagreidError
from bagreid.training.log_files import LogFiles
from bagreid.training.progress import Progress


class RunLog:
    """The log of a run; every call but `flush` is cheap, and leaving the context writes the rest.

    Args:
        work_dir: Gets ``log.jsonl`` (appended) and ``tensorboard/``; None writes nothing, as
            ranks other than the first do.
        console: Where people read; None keeps silent.
        total_steps: Steps of the whole run.
        done_steps: Steps that an earlier part of the run has done. Lines of the log that a
            resumed run will write again are dropped.
        epochs: Epochs of the whole run.

    Raises:
        BagreidError: The files cannot be opened.
    """

    def __init__(
        self,
        work_dir: Path | None,
        console: Console | None,
        *,
        total_steps: int,
        done_steps: int,
        epochs: int,
    ) -> None:
        self._files = None if work_dir is None else LogFiles(work_dir, done_steps)
        self._progress = Progress(
            console, total_steps=total_steps, done_steps=done_steps, epochs=epochs
        )

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
        if self._files is None:
            return
        try:
            self._files.close()
        except BagreidError:
            if value is None:  # else what ends the run already says more
                raise

    def write(self, kind: str, step: int, **entry: Any) -> None:
        """Writes one line of ``log.jsonl`` and its numbers to TensorBoard, soon.

        Args:
            kind: What the line tells of.
            step: Steps done.
            **entry: Plain values, NumPy numbers, and dictionaries of them; not to be changed
                afterwards.

        Raises:
            BagreidError: An earlier line could not be written, as on a full disk.
        """
        if self._files is not None:
            self._files.put(kind, step, entry)

    def step(self, step: int, **entry: Any) -> None:
        """Writes a line of kind ``step``, and shows its numbers on the screen.

        Args:
            step: Steps done.
            **entry: ``epoch`` from 0, ``loss`` by term with its ``total``, ``images_per_second``,
                ``pseudo_label_accuracy``, ``pseudo_label_change``, ``waited`` (share of the time
                spent on waiting for images), and of the whole run ``skipped`` steps and
                ``replaced`` images; whatever else is written and not shown.

        Raises:
            BagreidError: An earlier line could not be written, as on a full disk.
        """
        self.write("step", step, **entry)
        self._progress.take(entry)
        self._progress.advance(step)

    def advance(self, step: int) -> None:
        """Moves the line on the screen on to a step that has no line in the log."""
        self._progress.advance(step)

    def flush(self) -> None:
        """Waits until all lines are in the files.

        Raises:
            BagreidError: A line could not be written.
        """
        if self._files is not None:
            self._files.flush()
