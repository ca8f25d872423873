"""From a plan to batches in its order: every worker process makes whole batches."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bagreid.contracts import BagBatch, BagreidError, IntArray
from bagreid.data.config import AugmentConfig
from bagreid.data.datasets import BagDataset, ImageStore, Plan, ViewBatch, ViewDataset
from bagreid.data.slots import Slots

_Batch = TypeVar("_Batch")
_Made = TypeVar("_Made", covariant=True)

_PREFETCH = 2
"""Batches that a worker is ahead."""


class _Steps:
    """The (epoch, step) pairs from a start to the end of the last epoch."""

    def __init__(self, epoch: int, start_step: int, epochs: int, steps_per_epoch: int) -> None:
        self._first = epoch * steps_per_epoch + start_step
        self._stop = (epoch + epochs) * steps_per_epoch
        self._steps_per_epoch = steps_per_epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for number in range(self._first, self._stop):
            yield divmod(number, self._steps_per_epoch)


class _Source(Protocol[_Made]):
    """A dataset whose batches go into given memory: those of `bagreid.data.datasets`."""

    def make(self, index: Any, memory: Tensor | None = None) -> _Made:
        """Makes a batch."""

    def views(self, images: int, memory: Tensor | None = None) -> Tensor:
        """Room for so many images."""

    def batch_bytes(self, index: Any) -> int:
        """Bytes that the pixels of a batch take."""


@dataclass(frozen=True, slots=True)
class _Sent(Generic[_Batch]):
    """A batch on its way from a worker.

    Attributes:
        slot: The slot that the worker was lent.
        images: How many images' pixels lie in it; None: they are in the batch.
        batch: The batch, its tensors as arrays, for torch would send each in a file of its own. Or
            why there is none: torch would bury our error in a worker's traceback.
    """

    slot: int | None
    images: int | None
    batch: _Batch | BagreidError


class _Worker(Dataset[_Sent[Any]]):
    """What a worker does: makes the batch of an index into the slot lent with it."""

    def __init__(self, source: _Source[Any], slots: Slots) -> None:
        self._source = source
        self._slots = slots

    def __getitem__(self, ticket: tuple[int | None, Any]) -> _Sent[Any]:
        slot, index = ticket
        memory = None if slot is None else self._slots.write(slot)
        try:
            batch = self._source.make(index, memory)
        except BagreidError as error:
            return _Sent(slot, None, error)
        parts = _parts(batch)
        arrays = {
            name: part.numpy() if isinstance(part, Tensor) and name != "images" else part
            for name, part in parts.items()
        }
        if memory is None or batch.images.data_ptr() != memory.data_ptr():
            return _Sent(slot, None, type(batch)(**arrays))
        return _Sent(slot, len(batch.images), type(batch)(**arrays | {"images": None}))


def _received(sent: _Sent[_Batch], source: _Source[_Batch], slots: Slots) -> _Batch:
    """The batch as it was made."""
    if sent.slot is not None and sent.images is None:
        slots.give_back(sent.slot)
    if isinstance(sent.batch, BagreidError):
        raise sent.batch
    tensors = {
        name: torch.from_numpy(part) if isinstance(part, np.ndarray) else part
        for name, part in _parts(sent.batch).items()
    }
    if sent.slot is not None and sent.images is not None:
        tensors["images"] = source.views(sent.images, slots.take(sent.slot))
    return type(sent.batch)(**tensors)


def _parts(batch: Any) -> dict[str, Any]:
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}


class _Tickets:
    """The indices in order, each with a slot if one is free when a worker is sent for it."""

    def __init__(self, indices: Iterable[Any], slots: Slots) -> None:
        self._indices = indices
        self._slots = slots

    def __iter__(self) -> Iterator[tuple[int | None, Any]]:
        for index in self._indices:
            yield self._slots.lend(), index


def _as_made(batch: _Batch) -> _Batch:
    return batch


def _leave_signals_to_the_parent(worker: int) -> None:  # noqa: ARG001
    """Signals to the whole group (Ctrl-C, a scheduler's notice) must not kill workers.

    The training process answers them: it finishes its step, saves, and ends its workers itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _load(source: _Source[_Batch], indices: Iterable[Any], workers: int) -> Iterator[_Batch]:
    """Makes the batches of a source in order; torch gives each worker process one thread."""
    coming = iter(indices)
    first = list(islice(coming, 1))
    if not first:
        return
    # As many as can be under way, the one in use, and the one about to be.
    slots = Slots(workers * _PREFETCH + 2, source.batch_bytes(first[0]))
    if not workers:
        for index in chain(first, coming):
            slot = slots.lend()
            yield source.make(index, None if slot is None else slots.take(slot))
        return
    loader = DataLoader(
        _Worker(source, slots),
        batch_size=None,
        sampler=_Tickets(chain(first, coming), slots),
        num_workers=workers,
        prefetch_factor=_PREFETCH,
        collate_fn=_as_made,
        worker_init_fn=_leave_signals_to_the_parent,
        multiprocessing_context="fork",  # by which the slots are shared
        # Its own generator, or starting the workers would advance the global one.
        generator=torch.Generator(),
    )
    for sent in loader:
        yield _received(sent, source, slots)


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
        workers: Processes that make batches; 0: this one does.
        quarantine: Rows of images known to be broken; they are not even read.

    Yields:
        The batches.

    Raises:
        BagreidError: If no image of a bag can be decoded.
    """
    dataset = BagDataset(
        store,
        plan,
        augment,
        seed=seed,
        rank=rank,
        world_size=world_size,
        quarantine=quarantine,
    )
    plan.prepare(epoch)
    steps = _Steps(epoch, start_step, epochs, plan.steps_per_epoch)
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
