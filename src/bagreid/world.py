"""Rank, world size and device as one plain value, and the few collectives the project needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from bagreid.contracts import BagreidError

_Found = TypeVar("_Found")

PATIENCE = 180.0
"""Minutes that a process waits for the others, who may index an archive or wait for a disk."""


@dataclass(frozen=True, slots=True)
class World:
    """Who this process is among how many.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        local_rank: Number of this process on its machine.
        device: Where this process computes.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes the results."""
        return self.rank == 0


def _pick_device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise BagreidError("no GPU is to be seen here", remedy="Choose device cpu or auto")
    return torch.device("cuda", local_rank) if name == "cuda" else torch.device(name)


@contextmanager
def open_world(device: str = "auto", timeout_minutes: float = PATIENCE) -> Iterator[World]:
    """Joins the processes that torchrun started, or stands alone where it started none.

    Args:
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        timeout_minutes: How long a collective may wait for the other ranks; long enough for one
            rank to index a whole archive or to test on it while the others wait.

    Yields:
        The world; its process group is taken down on leaving.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = _pick_device(device, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if "RANK" not in os.environ:
        yield World(device=chosen)
        return
    dist.init_process_group(
        "nccl" if chosen.type == "cuda" else "gloo", timeout=timedelta(minutes=timeout_minutes)
    )
    try:
        yield World(dist.get_rank(), dist.get_world_size(), local_rank, chosen)
    finally:
        dist.destroy_process_group()


def is_lost_touch(error: Exception) -> bool:
    """Whether a collective failed because another process, or the network to it, is gone."""
    if isinstance(error, dist.DistError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in said for word in ("gloo", "nccl"))


def lost_touch(error: Exception, world: World) -> BagreidError:
    """What to tell people of such a failure."""
    first = str(error).splitlines()[0]
    return BagreidError(
        f"process {world.rank} of {world.size} lost touch with the others ({first})",
        remedy="The process that failed first says why; then go on with --resume-from auto",
    )


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Starts copying a tensor to a device; from page-locked memory, so that nobody waits for it."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def all_sum(values: Tensor, world: World) -> Tensor:
    """Sums a tensor over all ranks; ``(…)`` → ``(…)``, the same on every rank."""
    if world.size > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def all_objects(value: Any, world: World) -> list[Any]:
    """Collects one small picklable object of every rank, in rank order."""
    if world.size == 1:
        return [value]
    gathered: list[Any] = [None] * world.size
    dist.all_gather_object(gathered, value)
    return gathered


def of_main(world: World, action: Callable[[], _Found]) -> _Found:
    """Lets the first process act; all get what it found, or its error.

    Args:
        world: Who computes with whom; every rank must call.
        action: What to do; gives something small that can be pickled.

    Returns:
        What it found.

    Raises:
        BagreidError: That of the first process.
    """
    found: tuple[Any, BagreidError | None] = (None, None)
    if world.is_main:
        try:
            found = action(), None
        except BagreidError as error:
            if world.size == 1:
                raise
            found = None, error
    value, trouble = all_objects(found, world)[0]
    if trouble is not None:
        raise trouble
    result: _Found = value
    return result


def on_all(world: World, action: Callable[[], _Found]) -> _Found:
    """Lets every process act for itself; if one fails, all do.

    Args:
        world: Who computes with whom; every rank must call.
        action: What to do.

    Returns:
        What this process found.

    Raises:
        BagreidError: That of the first process that failed.
    """
    if world.size == 1:
        return action()
    found: list[_Found] = []
    trouble = None
    try:
        found.append(action())
    except BagreidError as error:
        trouble = error
    for each in all_objects(trouble, world):
        if each is not None:
            raise each
    return found[0]


def barrier(world: World) -> None:
    """Waits for every rank."""
    if world.size > 1:
        dist.barrier()


class _GatherRows(torch.autograd.Function):
    """All ranks' rows; the gradient of this rank's rows flows back to it.

    Every rank computes the same loss of the gathered rows, and the average over ranks (DDP's
    reduction) of its gradients must be the gradient of that one loss. A rank therefore gives its
    own rows' gradient back multiplied by the world size.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, world: World, counts: tuple[int, ...]) -> Tensor:
        ctx.world, ctx.counts = world, counts
        most = max(counts)
        mine = rows.contiguous()
        if len(rows) < most:  # collectives want equal shapes
            mine = torch.cat([mine, mine.new_zeros((most - len(rows), *rows.shape[1:]))])
        parts = [torch.empty_like(mine) for _ in range(world.size)]
        dist.all_gather(parts, mine)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        world: World = ctx.world
        mine = torch.split(gradient, ctx.counts)[world.rank]
        return mine * world.size, None, None


def gather_rows(rows: Tensor, world: World, counts: Sequence[int] | None = None) -> Tensor:
    """Concatenates every rank's rows in rank order, differentiably.

    Meant for a loss that every rank then computes identically under DDP; see `_GatherRows`.

    Args:
        rows: ``(N, …)``, this rank's.
        world: Who computes with whom.
        counts: N of each rank; None: all have as many.

    Returns:
        ``(sum of N, …)``, the same on every rank.
    """
    if world.size == 1:
        return rows
    counts = (len(rows),) * world.size if counts is None else tuple(counts)
    gathered: Tensor = _GatherRows.apply(rows, world, counts)
    return gathered
