"""Many processes at one task: what one of them finds reaches all, above all that it failed.

Processes that work apart for hours cannot meet in collectives, which wait for the slowest. They
write to the small store that they met through instead, and look there after every batch.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from bagreid.contracts import BagreidError
from bagreid.evaluation.blocks import Progress
from bagreid.world import World

LOOK_EVERY = 0.1
"""Seconds between two looks of a process that waits for others."""

SILENCE = 1800.0
"""Seconds without a batch of any process after which those that wait give up: one was killed
without anybody noticing, for what ends by itself says so, and torchrun ends all after one."""

_VOICE_SECONDS = 5.0

_boards = itertools.count()


class FailedElsewhereError(BagreidError):
    """Another process failed; it says so itself."""


def _store(name: str) -> Any:
    """A part of the small store that the processes met through; any of them may ask any time."""
    parts: Any = dist.distributed_c10d
    return parts.PrefixStore(f"bagreid/{name}", parts._get_default_store())


class Board:
    """What processes tell each other while each works on its own part.

    Args:
        world: Who computes with whom; every rank must make one at the same point.
        done: Images done before.
        total: Images in all.
        progress: Told of the images of all processes; the first one's is used.
    """

    def __init__(self, world: World, done: int, total: int, progress: Progress | None) -> None:
        self._world, self._before, self._total = world, done, total
        self._progress = progress if world.is_main else None
        self._number = next(_boards)
        self._store: Any = None
        self._mine = 0
        if world.size > 1:
            self._store = _store(f"board/{self._number}")
        self._show(0)

    def advance(self, images: int) -> None:
        """Notes that this process is done with so many more.

        Raises:
            BagreidError: Another process failed.
        """
        self._mine += images
        if self._store is None:
            self._show(self._mine)
            return
        with _store_is_there():
            self._show(int(self._store.add("done", images)))
            self._check()

    def _show(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._before + done, self._total)

    def _check(self) -> None:
        if not self._store.add("failed", 0):
            return
        for rank in range(self._world.size):
            if rank != self._world.rank and self._store.check([f"why/{rank}"]):
                why = self._store.get(f"why/{rank}").decode()
                raise FailedElsewhereError(f"process {rank} of {self._world.size} stopped: {why}")

    @contextmanager
    def work(self) -> Iterator[None]:
        """Holds the work of this process; on leaving it waits for all others.

        Raises:
            BagreidError: Another process failed, or nothing is heard of it any more.
        """
        try:
            yield
        except BaseException as error:
            self._tell(error)
            raise
        if self._store is not None:
            with _store_is_there():
                self._store.add("finished", 1)
                self._wait()

    def _tell(self, error: BaseException) -> None:
        """Tells the others why this process stops, if that was not another's failure."""
        if self._store is None or isinstance(error, FailedElsewhereError):
            return
        if isinstance(error, BagreidError):
            why = str(error)
        elif isinstance(error, KeyboardInterrupt):
            why = "it was interrupted; the same command goes on from the last whole batch"
        else:
            why = f"{type(error).__name__}: {error}"
        with suppress(RuntimeError):  # the store may have gone with the first process
            self._store.set(f"why/{self._world.rank}", why)
            self._store.add("failed", 1)

    def _wait(self) -> None:
        before, since = -1, time.monotonic()
        while True:
            self._check()
            finished, done = self._store.add("finished", 0), self._store.add("done", 0)
            self._show(done)
            if finished == self._world.size:
                return
            if finished + done != before:
                before, since = finished + done, time.monotonic()
            if time.monotonic() - since > SILENCE:
                raise BagreidError(
                    f"nothing was heard of {self._world.size - finished} of {self._world.size} "
                    f"processes for {SILENCE / 60:.0f} minutes",
                    remedy="Start the same command again: it goes on from the last whole batch",
                )
            time.sleep(LOOK_EVERY)


@contextmanager
def _store_is_there() -> Iterator[None]:
    """Where torchrun keeps no store the first process does, and takes it along when it goes."""
    try:
        yield
    except RuntimeError as error:
        raise FailedElsewhereError("the first process is gone") from error


@contextmanager
def one_voice(world: World, prog: str) -> Iterator[None]:
    """Lets one process say what all of them raise.

    Args:
        world: Who computes with whom.
        prog: How the program is called in messages.

    Raises:
        BagreidError: What was raised, where a process is alone.
        SystemExit: With code 2, after the first of many processes said what is wrong.
    """
    try:
        yield
    except BagreidError as error:
        if world.size == 1:
            raise
        store = _store("voice")
        if world.is_main or not _heard(store):
            print(f"{prog}: {error}", file=sys.stderr, flush=True)
        if world.is_main:
            _let_hear(store, world.size - 1)
        raise SystemExit(2) from None


def _heard(store: Any) -> bool:
    """Whether the first process spoke; it may take a moment to notice."""
    try:
        store.wait(["said"], timedelta(seconds=_VOICE_SECONDS))
        store.add("heard", 1)
    except RuntimeError:  # too late, or the store went with the first process
        return False
    return True


def _let_hear(store: Any, others: int) -> None:
    """Keeps the store, which may live in this process, until the others have looked."""
    store.set("said", "")
    until = time.monotonic() + _VOICE_SECONDS
    while store.add("heard", 0) < others and time.monotonic() < until:
        time.sleep(LOOK_EVERY)
