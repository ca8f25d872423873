"""The share of time spent on waiting for images."""

from __future__ import annotations

import time

import pytest

from bagreid.training.phases import Phases
from bagreid.training.waiting import Waiting


def test_only_the_loader_is_waited_for() -> None:
    phases = Phases()
    waiting = Waiting(phases)
    begun = time.monotonic()
    with phases("load"):
        time.sleep(0.03)
    with phases("forward"):
        time.sleep(0.03)
    share, whole = waiting.take(), time.monotonic() - begun
    assert 0.03 / whole <= share * 1.01
    assert share <= (whole - 0.03) / whole * 1.01
    with phases("forward"):
        time.sleep(0.001)
    assert waiting.take() == 0, "each call begins anew"


def test_a_loader_that_fails_was_waited_for_too() -> None:
    phases = Phases()
    waiting = Waiting(phases)
    with pytest.raises(StopIteration), phases("load"):
        next(iter(()))
    assert 0 < waiting.take() <= 1
