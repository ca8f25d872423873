"""What `catalog_scale.py` measures in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import make_pictures
from processes import Weight, heaviest, memory, run_workers
from scale_archive import TRAIN, fabricate, make_plan
from torch.utils.data import Dataset

from bagreid.catalog import Catalog, open_catalog
from bagreid.contracts import BagBatch
from bagreid.data.config import AugmentConfig
from bagreid.data.datasets import BagDataset
from bagreid.plan import BatchPlan
from bagreid.plan.config import PlanKind

BATCHES = 4
"""Batches of each of two epochs that can be decoded."""

_PICTURES = 256
_STEPS = 200
_REPEATS = 7


def make_archive(root: Path, cache: Path) -> dict[str, Any]:
    """Makes the archive with its catalog.

    Args:
        root: Where the archive goes.
        cache: Where the catalog goes.

    Returns:
        Its rows, and the bytes of all files of the catalog and of its table of images.
    """
    directory = fabricate(root, cache, make_pictures(_PICTURES), BATCHES)
    sizes = {path.name: path.stat().st_size for path in directory.iterdir()}
    catalog = open_catalog(root, cache=cache)
    assert catalog.directory == directory, "the fabricated catalog is not the one that is opened"
    rows = len(catalog)
    return {
        "rows": rows,
        "train_rows": TRAIN,
        "bytes": sum(sizes.values()),
        "bytes_an_image": sum(sizes.values()) / rows,
        "files": sizes,
    }


def plan_times(root: Path, cache: Path, kind: PlanKind) -> dict[str, float]:
    """Seconds to make a plan and to start epochs; milliseconds to plan batches."""
    catalog = open_catalog(root, cache=cache)
    folder_size = catalog.folder_stop - catalog.folder_start
    bags = catalog.bags
    begun = time.perf_counter()
    plan = make_plan(folder_size, bags, kind)
    made = time.perf_counter() - begun
    starts = [_seconds(plan.prepare, epoch) for epoch in range(_REPEATS)]
    # Of several goes at each step the best is what planning takes; the rest is the machine's.
    spent = np.array(
        [[_seconds(plan.batch, 0, step) for step in range(_STEPS)] for _ in range(_REPEATS)]
    )
    best = spent[1:].min(axis=0) * 1e3
    return {
        "make_s": made,
        "epoch_start_s": float(np.median(starts)),
        "epoch_start_slowest_s": max(starts),
        "batch_ms": float(np.median(best)),
        "batch_slowest_ms": float(best.max()),
        "batch_mean_of_all_ms": float(spent[1:].mean() * 1e3),
    }


def _seconds(work: Callable[..., object], *arguments: int) -> float:
    begun = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begun


def list_cost(root: Path, cache: Path) -> dict[str, float]:
    """What names of folders and bags take, which are Python lists: megabytes and milliseconds."""
    catalog = open_catalog(root, cache=cache)
    before, begun = memory(), time.perf_counter()
    held = catalog.folder_names, catalog.bags
    spent = time.perf_counter() - begun
    assert len(held) == 2
    return {"own": memory()["own"] - before["own"], "ms": spent * 1e3}


class Watched(Dataset[Any]):
    """A training set that also weighs the process it lives in.

    Args:
        catalog: The archive's.
        plan: Which images form which batch.
    """

    def __init__(self, catalog: Catalog, plan: BatchPlan) -> None:
        self._catalog = catalog
        self._plan = plan
        self._batches = BagDataset(catalog, plan, AugmentConfig(), seed=0)

    def __getitem__(self, task: tuple[int, int] | str) -> BagBatch | Weight:
        if isinstance(task, tuple):
            return self._batches[(*task, 0)]
        if task == "plan":
            for epoch, step in np.ndindex(2, _STEPS):
                self._catalog.places(self._plan.batch(epoch, step).rows)
        return memory()


def bag_workers(
    root: Path, cache: Path, kind: PlanKind, method: str, workers: int
) -> dict[str, Weight]:
    """Weighs the workers of a real loader that holds catalog and plan.

    Args:
        root: The archive.
        cache: Its catalogs.
        kind: Of the plan.
        method: How workers start: `fork` or `spawn`.
        workers: How many, all alive at once.

    Returns:
        The heaviest worker: after planning batches of two epochs and looking their images up;
        when it has also decoded some batches; the heaviest moment while it decoded, the batch in
        its hands included. And this process at the end.
    """
    torch.set_num_threads(1)
    catalog = open_catalog(root, cache=cache)
    plan = make_plan(catalog.folder_stop - catalog.folder_start, catalog.bags, kind)
    plan.prepare(0)
    batches = [(epoch, step) for epoch in (0, 1) for step in range(BATCHES)]
    # Weighed some times over: the other worker may only just have started.
    tasks = ["plan"] * workers + ["weigh"] * 4 * workers + batches + ["weigh"] * 4 * workers
    run = run_workers(Watched(catalog, plan), tasks, method, workers)
    return {
        "planned": heaviest(run.items[4 * workers : 5 * workers]),
        "decoded": heaviest(run.items[-workers:]),
        "peak": run.peak,
        "main": memory(),
    }
