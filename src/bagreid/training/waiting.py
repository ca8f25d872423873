"""How much time goes by in waiting for images: the first sign of a loader that is too slow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bagreid.training.phases import Phases


class Waiting:
    """Adds up the time of the phase "load".

    Args:
        phases: Where the run is.
    """

    def __init__(self, phases: Phases) -> None:
        self._waited = 0.0
        self._since = time.monotonic()
        phases.watch(self._look)

    def take(self) -> float:
        """The share of the time since the last call that was waited in; the count starts anew."""
        now = time.monotonic()
        share = self._waited / max(now - self._since, 1e-9)
        self._waited, self._since = 0.0, now
        return min(share, 1.0)

    @contextmanager
    def _look(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            if name == "load":
                self._waited += time.monotonic() - begun
