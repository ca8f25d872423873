"""Where in a step a process is: one place that the watchdog, the profile and the log look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

IDLE = "between steps"

ORDER = (
    *("log", "save", "validate", IDLE),  # after a step is counted, before the next
    *("load", "copy", "augment", "forward", "teacher", "targets", "loss"),
    *("backward", "update", "note"),
)
"""The phases in the order in which they come between two counts of a step."""

Observer = Callable[[str], AbstractContextManager[object]]
"""Asked for a context at the beginning of each phase, with the phase's name."""


def order_of(name: str) -> int:
    """Number of a phase in their order; one that is not known counts as between steps."""
    return ORDER.index(name if name in ORDER else IDLE)


class Phases:
    """The phase that the main thread is in; other threads may read it at any time.

    Attributes:
        step: Steps done.
        name: The phase's name.
        since: When it began, by `time.monotonic`.
        done: Phases entered or left so far: it stands still only where the process does.
    """

    def __init__(self) -> None:
        self.step = 0
        self.name = IDLE
        self.since = time.monotonic()
        self.done = 0
        self._observers: list[Observer] = []

    def watch(self, observer: Observer, *, first: bool = False) -> None:
        """Lets somebody look on at every later phase.

        Args:
            observer: Asked at the beginning of each.
            first: Ask it before all others, whose clocks then do not count what it does.
        """
        self._observers.insert(0 if first else len(self._observers), observer)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Marks what happens inside as a phase; an inner phase ends with the outer one going on."""
        before = self.name
        self._enter(name)
        try:
            with ExitStack() as looking:
                for observer in self._observers:
                    looking.enter_context(observer(name))
                yield
        finally:
            self._enter(before)

    def _enter(self, name: str) -> None:
        self.name, self.since = name, time.monotonic()
        self.done += 1
