"""Processes that make batches for the one that uses them, each over a pipe of its own.

A worker that dies closes its pipe, so that whoever waits for its next batch learns of it there and
then: no signal handler throws an error into the middle of a step, and no lock that it held stops
the others. Likewise a worker whose training process is gone, however it went, finds its pipe closed
when it asks for the next piece of work, and ends.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import torch

from bagreid.contracts import BagreidError

_Made = TypeVar("_Made")

AHEAD = 2
"""Batches that a worker is ahead."""

_MEANINGS = {
    "SIGKILL": "so the system does where memory runs out",
    "SIGBUS": "a file that it was reading became shorter, or its disk failed",
    "SIGSEGV": "an image crashed the decoder, or memory is faulty",
}


class WorkerDiedError(BagreidError):
    """A worker process ended before its work was done; a new loader may go on at the same step."""


class Workers(Generic[_Made]):
    """Some processes, each of which does every so many-th piece of work.

    They are forked, so that what they need is not sent, and daemons of this process.

    Args:
        do: Makes something of a piece of work. Signals sent to the whole process group (Ctrl-C, a
            scheduler's notice) do not interrupt it: the training process answers those.
        count: How many processes.

    Raises:
        BagreidError: If they cannot be started.
    """

    def __init__(self, do: Callable[[Any], _Made], count: int) -> None:
        self._all: list[tuple[BaseProcess, Connection]] = []
        self._owner = os.getpid()
        # Before multiprocessing would ask the workers to end, which they do not listen to.
        atexit.register(self.end)
        context = multiprocessing.get_context("fork")
        for number in range(count):
            try:
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_work, args=(do, theirs, ours), name=f"loader-{number}", daemon=True
                )
                process.start()
            except OSError as error:
                self.end()
                raise BagreidError(
                    f"worker {number + 1} of {count} could not be started: {error.strerror}",
                    remedy="Use fewer workers",
                ) from error
            theirs.close()
            self._all.append((process, ours))

    def make(self, works: Iterable[Any]) -> Iterator[_Made]:
        """Has all the work done.

        Args:
            works: Small and picklable; each is taken when a worker is about to be free for it.

        Yields:
            What comes of each, in order.

        Raises:
            WorkerDiedError: If a worker died that had to do the next piece.
            BagreidError: If `do` raised one.
            RuntimeError: If it raised anything else; the message is its traceback.
        """
        coming = iter(works)
        asked = 0
        for _ in range(AHEAD * len(self._all)):
            asked += self._ask(asked, coming)
        done = 0
        while done < asked:
            made = self._receive(*self._all[done % len(self._all)])
            done += 1
            asked += self._ask(asked, coming)
            yield made

    def end(self) -> None:
        """Ends all of them, whatever they are at; they hold nothing worth keeping."""
        atexit.unregister(self.end)
        if self._owner != os.getpid():
            return  # a copy of them in a forked process, which they are no children of
        for process, pipe in self._all:
            process.kill()
            pipe.close()
        for process, _ in self._all:
            process.join()
        self._all = []

    def _ask(self, number: int, coming: Iterator[Any]) -> bool:
        """Sends the next piece of work to the worker whose turn it is; False: there is none."""
        for work in coming:
            # Where it is dead, that is told when its turn comes.
            with suppress(OSError):
                self._all[number % len(self._all)][1].send(work)
            return True
        return False

    def _receive(self, process: BaseProcess, pipe: Connection) -> _Made:
        try:
            made: _Made | Exception = pipe.recv()
        except (EOFError, OSError) as error:
            process.join()
            raise _death(process) from error
        if isinstance(made, Exception):
            raise made
        return made


def _death(process: BaseProcess) -> WorkerDiedError:
    code = process.exitcode or 0
    if code < 0:
        name = signal.Signals(-code).name
        how = f"was ended by {name}"
        if name in _MEANINGS:
            how += f": {_MEANINGS[name]}"
    else:
        how = f"ended by itself with exit code {code}"
    return WorkerDiedError(
        f"process {process.pid}, which loaded images, {how}",
        remedy="Use fewer workers, or give the job more memory",
    )


def _work(do: Callable[[Any], Any], pipe: Connection, parents: Connection) -> None:
    parents.close()  # or the pipe would not close with the parent
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # What the parent does at a child's end must not happen here.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    torch.set_num_threads(1)  # more would not survive the fork, and the cores are taken
    try:
        while True:
            work = pipe.recv()
            made: Any
            try:
                made = do(work)
            except BagreidError as error:
                made = error
            except Exception:  # raised again where somebody can answer it
                made = RuntimeError(f"a loader worker failed:\n{traceback.format_exc()}")
            pipe.send(made)
    except (EOFError, OSError):
        return  # the training process is gone
