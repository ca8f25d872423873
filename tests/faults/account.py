"""What was done to the runs, and what became of them."""

from __future__ import annotations

import time
from collections import Counter


class Account:
    """Counts what happened."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.begun = time.monotonic()

    def note(self, fault: str, outcome: str, times: int = 1) -> None:
        """Something was done to a run, and this became of it."""
        self.counts[fault, outcome] += times

    def rows(self) -> list[dict[str, object]]:
        """The account as plain values."""
        return [
            {"fault": fault, "outcome": outcome, "times": times}
            for (fault, outcome), times in sorted(self.counts.items())
        ]
