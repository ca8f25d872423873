"""Small bag tables, written the slow and obvious way."""

from __future__ import annotations

import numpy as np

from bagreid.contracts import IntArray
from bagreid.plan import BatchPlan, PlanConfig, make_bag_plan


def released_bags(folders: int) -> list[list[int]]:
    """Three bags a folder: itself, with its neighbours, with theirs; clamped at both ends."""
    bags = []
    for folder in range(folders):
        for reach in (0, 1, 2):
            around = range(folder - reach, folder + reach + 1)
            bags.append(sorted({min(max(0, other), folders - 1) for other in around}))
    return bags


def table(bags: list[list[int]]) -> tuple[IntArray, IntArray]:
    offsets = np.cumsum([0] + [len(bag) for bag in bags])
    return offsets, np.array([folder for bag in bags for folder in bag], dtype=np.int64)


def bag_plan(
    sizes: list[int], bags: list[list[int]], config: PlanConfig, seed: int = 0
) -> BatchPlan:
    stop = np.cumsum(sizes)
    return make_bag_plan(stop - np.array(sizes), stop, table(bags), config, seed)


def rows_of_bag(sizes: list[int], bag: list[int]) -> set[int]:
    return {row for f in bag for row in range(sum(sizes[:f]), sum(sizes[: f + 1]))}


def epoch_groups(plan: BatchPlan, epoch: int, groups: int) -> list[tuple[int, tuple[int, ...]]]:
    """All groups of an epoch in order, as (bag, rows)."""
    found = []
    for step in range(plan.steps_per_epoch):
        batch = plan.batch(epoch, step)
        for group in range(groups):
            here = batch.groups == group
            (bag,) = set(batch.bags[here].tolist())
            found.append((bag, tuple(batch.rows[here].tolist())))
    return found
