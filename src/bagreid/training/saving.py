"""Saving while training goes on: a copy at once, the writing in a thread of its own."""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, Self

import numpy as np

from bagreid.training.checkpoint import checkpoint_path, list_checkpoints, step_of, write_checkpoint
from bagreid.training.durable import make_folder
from bagreid.training.retention import (
    Best,
    forget_best,
    read_best,
    remove_others,
    remove_partial,
    write_best,
)
from bagreid.training.snapshot import Snapshot, Snapshots


class CheckpointWriter:
    """Writes the checkpoints of a run, one at a time, and keeps the last few and the best.

    A save holds the caller up for a copy of its state, which lies in memory that is used again
    from save to save (as much as a checkpoint is long). The rest is done in a thread; what goes
    wrong there is raised once, by the next call of `save`, `poll` or `finish`. A program that ends
    meanwhile ends when the file is whole.

    At any moment the folder holds the checkpoints from before a save or from after it.

    It may be used as a context manager, which waits at its end for the save under way.

    Args:
        folder: Where they go; the first save makes it. One writer at a time may have it: what an
            earlier one left unfinished, the first save removes.
        keep: How many of the newest stay.
        describe: What the run is, kept in every file: ``config``, ``identities`` (a list or an
            array), ``code``, ``world``.
    """

    def __init__(self, folder: Path, *, keep: int, describe: dict[str, Any]) -> None:
        assert keep >= 1, "at least the newest stays"
        assert {"config", "identities"} <= describe.keys() <= {
            "config", "identities", "code", "world",
        }, "what a checkpoint tells of its run"  # fmt: skip
        self.folder, self._keep = folder, keep
        # as an array they are copied in no time
        identities = np.asarray(describe["identities"], np.int64)
        self._describe = describe | {"identities": identities}
        self._is_ready = False
        self._snapshots = Snapshots()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        # guards what follows, and that no two remove files at once
        self._lock = threading.Lock()
        self._best = read_best(folder)
        self._candidate: Best | None = None
        self._writing: int | None = None
        atexit.register(_tell_what_nobody_asked, weakref.ref(self))

    def save(self, step: int, state: dict[str, Any], *, best: float | None = None) -> Path:
        """Copies the state and begins to write it; a save under way is waited for.

        Args:
            step: Steps done.
            state: Nested dicts, lists and tuples of tensors, arrays and plain values. All of it
                may be changed as soon as this returns. Tensors of a GPU must be changed on the
                stream that is current here, or later.
            best: How good this state is (higher is better), where that is known already.

        Returns:
            The file that will be there; `finish` waits until it is.

        Raises:
            BagreidError: The save before this one failed, or the folder cannot be used; this one
                was not begun.
            TypeError: The state holds something that cannot be saved.
        """
        self.finish()
        if not self._is_ready:
            make_folder(self.folder)
            remove_partial(self.folder)
            self._is_ready = True
        snapshot = self._snapshots.take({**self._describe, "step": step, "state": state})
        with self._lock:
            self._writing = step
            self._candidate = None if best is None else Best(step, best)
        self._thread = threading.Thread(
            target=self._work, args=(step, snapshot), name=f"checkpoint-{step}", daemon=False
        )
        self._thread.start()
        return checkpoint_path(self.folder, step)

    def poll(self) -> None:
        """Raises what went wrong in the thread, if it has ended; never waits.

        Raises:
            BagreidError: The last save failed, for example because the disk is full.
        """
        if not self.is_writing:
            self.finish()

    @property
    def is_writing(self) -> bool:
        """Whether a save is under way."""
        return self._thread is not None and self._thread.is_alive()

    def finish(self) -> None:
        """Waits until the save under way is done.

        Raises:
            BagreidError: It failed.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Waits; raises what went wrong, unless something else has gone wrong before."""
        if error is None:
            self.finish()
        elif self._thread is not None:
            self._thread.join()

    def note_score(self, step: int, score: float) -> bool:
        """Tells how good the state of a step is, so that the best one is kept.

        Args:
            step: The step; its checkpoint must be there or be under way.
            score: Higher is better.

        Returns:
            Whether it is the best so far, and so is kept beside the newest.

        Raises:
            BagreidError: The record of the best cannot be written.
        """
        new = Best(step, score)
        with self._lock:
            if self._writing == step:
                self._candidate = new
                return new.beats(self._best)
            if not checkpoint_path(self.folder, step).exists() or not new.beats(self._best):
                return False
            write_best(self.folder, new)
            self._best = new
            if self._writing is None:
                remove_others(self.folder, step_of(self._newest()), self._keep, new)
            return True

    def _newest(self) -> Path:
        return list_checkpoints(self.folder)[-1]

    def _work(self, step: int, snapshot: Snapshot) -> None:
        try:
            write_checkpoint(checkpoint_path(self.folder, step), snapshot)
            with self._lock:
                self._settle(step)
        except BaseException as error:
            self._error = error
        finally:
            with self._lock:
                self._writing = self._candidate = None

    def _settle(self, step: int) -> None:
        """Removes what is not needed any more, now that the new file is on the disk."""
        new = self._candidate
        if self._best is not None and self._best.step >= step:
            # of a run that this one replaces, or of this step as it was
            self._best = None
        if new is not None and new.beats(self._best):
            self._best = new
            write_best(self.folder, new)
        elif self._best is None:
            forget_best(self.folder)
        remove_others(self.folder, step, self._keep, self._best)
        self._writing = self._candidate = None


def _tell_what_nobody_asked(writer: weakref.ref[CheckpointWriter]) -> None:
    """Says at the end of a program that its last save failed, where nobody has heard of it."""
    ended = writer()
    if ended is not None and ended._error is not None:
        print(f"the last checkpoint was not saved: {ended._error}", file=sys.stderr)
