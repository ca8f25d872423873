"""Fresh processes to measure in, and what a process weighs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import psutil
from torch.utils.data import DataLoader, Dataset

Weight = dict[str, float]
"""Megabytes by name, as `memory` tells them."""

_Result = TypeVar("_Result")


def own_process(
    initializer: Callable[..., object] | None = None, *arguments: Any, threads: int = 1
) -> ProcessPoolExecutor:
    """A pool of one new process; it may start processes itself.

    Args:
        initializer: Called in it first.
        *arguments: What `initializer` is called with.
        threads: Its threads for arithmetic.

    Returns:
        The pool: to be used in a `with`, or shut down.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    return ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=initializer, initargs=arguments
    )


def in_own_process(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Calls a function of a module in a new process.

    Args:
        function: What to call.
        *arguments: With what.

    Returns:
        What it returns.
    """
    with own_process() as pool:
        return pool.submit(function, *arguments).result()


def memory(process: int | None = None) -> Weight:
    """What a process takes, in megabytes (10⁶ bytes).

    Args:
        process: Its number; None: this one.

    Returns:
        `uss`: pages that no other process maps, those of mapped files included; `own`: of these
        the ones that are no copy of a file, which only the process's end gives back; `pss`: each
        page divided by the number of processes that map it; `rss`: all.
    """
    parts = psutil.Process(process).memory_maps()
    private = sum(part.private_clean + part.private_dirty for part in parts)
    # A clean page of a mapped file is the system's to drop at any time.
    clean = sum(part.private_clean for part in parts if part.path.startswith("/"))
    return {
        "uss": private / 1e6,
        "own": (private - clean) / 1e6,
        "pss": sum(part.pss for part in parts) / 1e6,
        "rss": sum(part.rss for part in parts) / 1e6,
    }


def unmapped(process: int) -> float:
    """Megabytes (10⁶ bytes) that a process holds in memory, beside pages of mapped files.

    Pages shared with other processes are not counted either, for files in /dev/shm are such.
    """
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the system does not tell a process's own memory")


def heaviest(weights: Sequence[Weight]) -> Weight:
    """The largest of each figure."""
    return {name: max(weight[name] for weight in weights) for name in weights[0]}


class Bare(Dataset[Weight]):
    """Holds nothing and weighs the process that it lives in."""

    def __getitem__(self, task: str) -> Weight:
        return memory()


@dataclass(frozen=True, slots=True)
class Run:
    """What workers gave.

    Attributes:
        items: Their items that are weights, in order.
        peak: The heaviest that a worker was seen while it worked.
    """

    items: list[Weight]
    peak: Weight


def run_workers(dataset: Dataset[Any], tasks: Sequence[Any], method: str, workers: int) -> Run:
    """Lets the workers of a loader make the items of a dataset, and weighs them meanwhile.

    Args:
        dataset: Makes an item of a task.
        tasks: In turns one for each worker.
        method: How workers start: `fork` or `spawn`.
        workers: How many.

    Returns:
        The items that are weights; others are let go.
    """
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=tasks,
        num_workers=workers,
        multiprocessing_context=method,
        collate_fn=_as_made,
    )
    done, seen = threading.Event(), [memory()]
    seen.clear()
    watcher = threading.Thread(target=_watch, args=(done, seen))
    items: list[Weight] = []
    watcher.start()
    try:
        items.extend(item for item in loader if isinstance(item, dict))
    finally:
        done.set()
        watcher.join()
    return Run(items, heaviest(seen))


def bare_workers(method: str, workers: int) -> Weight:
    """The heaviest worker of a loader that holds nothing, in a process that imported torch only."""
    tasks = ["weigh"] * (4 * workers)
    return heaviest(run_workers(Bare(), tasks, method, workers).items[-workers:])


def _watch(done: threading.Event, seen: list[Weight]) -> None:
    """Weighs the children of this process that are busy, ten times a second."""
    while not done.wait(0.1):
        for child in psutil.Process().children():
            try:
                seen.append(memory(child.pid))
            except psutil.Error:
                continue  # it ended meanwhile


def _as_made(item: Any) -> Any:
    return item
