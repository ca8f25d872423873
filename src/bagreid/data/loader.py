"""From a plan to batches in its order: every worker process makes whole batches."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bagreid.contracts import BagBatch, BagreidError, IntArray
from bagreid.data.config import AugmentConfig
from bagreid.data.datasets import BagDataset, ImageStore, Plan, ViewBatch, ViewDataset

_Batch = TypeVar("_Batch")


class _Steps:
    """The (epoch, step) pairs from a start to the end of the last epoch."""

    def __init__(self, epoch: int, start_step: int, epochs: int, steps_per_epoch: int) -> None:
        self._first = epoch * steps_per_epoch + start_step
        self._stop = (epoch + epochs) * steps_per_epoch
        self._steps_per_epoch = steps_per_epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for number in range(self._first, self._stop):
            yield divmod(number, self._steps_per_epoch)


class _OwnErrorsAsItems(Dataset[Any]):
    """Hands our own errors over as items: torch would bury them in a worker's traceback."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __getitem__(self, index: Any) -> Any:
        try:
            return self._dataset[index]
        except BagreidError as error:
            return error


def _as_made(batch: _Batch) -> _Batch:
    return batch


def _leave_signals_to_the_parent(worker: int) -> None:  # noqa: ARG001
    """Signals to the whole group (Ctrl-C, a scheduler's notice) must not kill workers.

    The training process answers them: it finishes its step, saves, and ends its workers itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _load(dataset: Dataset[_Batch], indices: Iterable[Any], workers: int) -> Iterator[_Batch]:
    """Makes the items of a dataset in order; torch gives each worker process one thread."""
    loader = DataLoader(
        _OwnErrorsAsItems(dataset),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        collate_fn=_as_made,
        worker_init_fn=_leave_signals_to_the_parent,
        # Its own generator, or starting the workers would advance the global one.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, BagreidError):
            raise batch
        yield batch


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
