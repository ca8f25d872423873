"""What a contender's own process is asked: to index, to open, to read, to be weighed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import psutil
import torch
from archive_setup import Setup
from contenders import BATCH, CONTENDERS, Bagreid, Contender, PythonTarfile
from processes import Weight, heaviest, memory

_SKIPPED = 4
"""Batches for each worker before the clock starts."""

_Result = TypeVar("_Result")

_contender: Contender | None = None


def begin(name: str, setup: Setup) -> None:
    """Called first in the process.

    Args:
        name: Of the contender.
        setup: What it reads.
    """
    global _contender
    torch.set_num_threads(1)
    _contender = CONTENDERS[name](setup)


def _here() -> Contender:
    assert _contender is not None, "begin() comes first"
    return _contender


def index() -> float:
    """Seconds to index, on one core."""
    return _seconds(lambda: _on_one_core(_here().index))


def open_() -> float:
    """Seconds to open."""
    return _seconds(_here().open)


def scan(part: int) -> tuple[int, float, float]:
    """Members of one tar, and the seconds (of the clock, of the processor) to find them."""
    contender = _here()
    assert isinstance(contender, Bagreid | PythonTarfile)
    begun, used = time.perf_counter(), time.process_time()
    found = _on_one_core(lambda: contender.scan(part))
    return found, time.perf_counter() - begun, time.process_time() - used


def rate(what: str, workers: int, seconds: float, seed: int) -> float:
    """Images a second, once the workers run."""
    stream = iter(_here().loader(what, workers, seed))
    for _ in range(_SKIPPED * max(1, workers)):
        next(stream)
    images, spent, begun = 0, 0.0, time.perf_counter()
    for batch in stream:
        images += batch if isinstance(batch, int) else len(batch)
        spent = time.perf_counter() - begun
        if spent >= seconds:
            break
    return images / spent


def weigh(name: str, setup: Setup, workers: int) -> dict[str, Weight]:
    """Memory of a fresh process that opened the archive, and of its workers.

    Every worker looks up every image first, as an epoch does; then they read a fifth of the images.

    Args:
        name: Of the contender.
        setup: What it reads.
        workers: How many.

    Returns:
        The process, and its heaviest worker.
    """
    begin(name, setup)
    contender = _here()
    contender.open()
    loader = contender.loader("bytes", workers, 0)
    loader.worker_init_fn = _look_at_all
    stream = iter(loader)
    for _ in range(contender.images // 5 // BATCH["bytes"]):
        next(stream)
    children = psutil.Process().children()
    return {"main": memory(), "worker": heaviest([memory(child.pid) for child in children])}


def _look_at_all(worker: int) -> None:  # noqa: ARG001
    torch.set_num_threads(1)
    _here().look_at_all()


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _on_one_core(work: Callable[[], _Result]) -> _Result:
    """Does something while this process, and those that it starts, may use one core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(before)])
    try:
        return work()
    finally:
        os.sched_setaffinity(0, before)
