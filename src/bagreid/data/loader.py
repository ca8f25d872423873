"""From a plan to batches in its order: every worker process makes whole batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from bagreid.contracts import BagBatch, IntArray
from bagreid.data.config import AugmentConfig
from bagreid.data.datasets import BagDataset, ImageStore, Plan, ViewBatch, ViewDataset
from bagreid.data.slots import Slots
from bagreid.data.workers import AHEAD, WorkerDiedError, Workers

__all__ = ["WorkerDiedError", "bag_loader", "test_loader"]

_Batch = TypeVar("_Batch")
_Made = TypeVar("_Made", covariant=True)


def _steps(
    epoch: int, start_step: int, epochs: int, steps_per_epoch: int, parts: int
) -> Iterator[tuple[int, int, int]]:
    """Epoch, step and part, from a step to the end of the last epoch."""
    first, stop = epoch * steps_per_epoch + start_step, (epoch + epochs) * steps_per_epoch
    for number in range(first, stop):
        for part in range(parts):
            yield (*divmod(number, steps_per_epoch), part)


class _Source(Protocol[_Made]):
    """A dataset whose batches go into given memory: those of `bagreid.data.datasets`."""

    def make(self, index: Any, memory: Tensor | None = None) -> _Made:
        """Makes a batch."""

    def room(self, images: int, memory: Tensor | None = None) -> Tensor:
        """Room for so many images."""

    def batch_bytes(self, index: Any) -> int:
        """Bytes that the pixels of a batch take."""


@dataclass(frozen=True, slots=True)
class _Sent(Generic[_Batch]):
    """A batch on its way from a worker.

    Attributes:
        slot: The slot that the worker was lent.
        images: How many images' pixels lie in it; None: they are in the batch.
        batch: The batch, its tensors as arrays.
    """

    slot: int | None
    images: int | None
    batch: _Batch


@dataclass(frozen=True, slots=True)
class _Making:
    """What a worker does: makes the batch of an index into the slot lent with it."""

    source: _Source[Any]
    slots: Slots

    def __call__(self, ticket: tuple[int | None, Any]) -> _Sent[Any]:
        slot, index = ticket
        memory = None if slot is None else self.slots.write(slot)
        batch = self.source.make(index, memory)
        lent = memory is not None and batch.images.data_ptr() == memory.data_ptr()
        arrays = {
            name: part.numpy() if isinstance(part, Tensor) else part
            for name, part in _parts(batch).items()
        }
        # Channels last, or pickling would put them first.
        arrays["images"] = None if lent else arrays["images"].transpose(0, 2, 3, 1)
        return _Sent(slot, len(batch.images) if lent else None, type(batch)(**arrays))


def _received(sent: _Sent[_Batch], source: _Source[_Batch], slots: Slots) -> _Batch:
    """The batch as it was made."""
    tensors = {
        name: torch.from_numpy(part) if isinstance(part, np.ndarray) else part
        for name, part in _parts(sent.batch).items()
    }
    if sent.slot is not None and sent.images is not None:
        tensors["images"] = source.room(sent.images, slots.take(sent.slot))
    else:
        tensors["images"] = tensors["images"].permute(0, 3, 1, 2)
        if sent.slot is not None:
            slots.give_back(sent.slot)
    return type(sent.batch)(**tensors)


def _parts(batch: Any) -> dict[str, Any]:
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}


def _load(source: _Source[_Batch], indices: Iterable[Any], workers: int) -> Iterator[_Batch]:
    """Makes the batches of a source in order."""
    coming = iter(indices)
    first = list(islice(coming, 1))
    if not first:
        return
    # As many as can be under way, the one in use, and the one about to be.
    slots = Slots(workers * AHEAD + 2, source.batch_bytes(first[0]))
    # Each is lent a slot, if one is free by then.
    tickets = ((slots.lend(), index) for index in chain(first, coming))
    if not workers:
        for slot, index in tickets:
            yield source.make(index, None if slot is None else slots.take(slot))
        return
    pool = Workers(_Making(source, slots), workers)
    try:
        for sent in pool.make(tickets):
            yield _received(sent, source, slots)
    finally:
        pool.end()


def bag_loader(
    store: ImageStore,
    plan: Plan,
    augment: AugmentConfig,
    *,
    seed: int,
    epoch: int,
    start_step: int = 0,
    epochs: int = 1,
    rank: int = 0,
    world_size: int = 1,
    parts: int = 1,
    workers: int = 0,
    quarantine: Collection[int] = (),
) -> Iterator[BagBatch]:
    """Loads the batches of a plan in order; they do not depend on the number of workers.

    A broken image is replaced by the next image of its bag that is whole.

    Args:
        store: The catalog.
        plan: Which images form which batch.
        augment: What is done to them.
        seed: The run's seed.
        epoch: The epoch to begin in.
        start_step: The step of that epoch to begin at.
        epochs: How many epochs to load, the first one included; the workers go on from one to the
            next without a pause.
        rank: Which share of each batch.
        world_size: Into how many shares a batch is dealt.
        parts: Into how many parts a batch is cut before; each step gives so many batches.
        workers: Processes that make batches; 0: this one does.
        quarantine: Rows of images known to be broken; they are not even read.

    Yields:
        The batches.

    Raises:
        BagreidError: If no image of a bag can be decoded.
        WorkerDiedError: If a worker was killed; a new loader can go on at the same step.
        ValueError: If a share of a batch would be empty.
    """
    dataset = BagDataset(
        store,
        plan,
        augment,
        seed=seed,
        rank=rank,
        world_size=world_size,
        parts=parts,
        quarantine=quarantine,
    )
    plan.prepare(epoch)
    steps = _steps(epoch, start_step, epochs, plan.steps_per_epoch, parts)
    yield from _load(dataset, steps, workers)


def test_loader(
    store: ImageStore,
    rows: IntArray,
    augment: AugmentConfig,
    batch_size: int,
    workers: int,
    quarantine: Collection[int] = (),  # noqa: PT028 - this is no test
) -> Iterator[ViewBatch]:
    """Loads test images in the order of their rows.

    Args:
        store: The catalog.
        rows: ``(N,)`` the rows to show.
        augment: Sizes and normalisation.
        batch_size: Images of a batch.
        workers: Processes that make batches; 0: this one does.
        quarantine: Rows of images known to be broken; they are not even read.

    Yields:
        The batches; broken images are zeros, and listed.
    """
    rows = np.asarray(rows, dtype=np.int64)
    dataset = ViewDataset(store, rows, augment, batch_size, quarantine)
    yield from _load(dataset, range(-(-len(rows) // batch_size)), workers)
