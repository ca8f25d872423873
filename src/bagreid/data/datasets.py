"""Whole batches of pixels, made one by one from a plan or from a list of rows.

A dataset holds the catalog (memory-mapped columns), the plan (the tables of an epoch) and nothing
that grows with the number of images, so a worker's own memory stays flat.

Shape letters: N images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bagreid.contracts import BagBatch, BagreidError, ImageRef, IntArray, PlannedBatch
from bagreid.data.augment import draw, normalise, resize, write_train_view
from bagreid.data.config import AugmentConfig
from bagreid.data.decode import BrokenImage, decode_jpeg


class ImageStore(Protocol):
    """Where bytes come from; the catalog is one."""

    def read(self, row: int) -> memoryview:
        """The bytes of an image."""

    def ref(self, row: int) -> ImageRef:
        """Where they lie."""


class Plan(Protocol):
    """Which images form which batch; see `bagreid.plan.BatchPlan`."""

    steps_per_epoch: int

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> PlannedBatch:
        """Plans one rank's share of one batch."""

    def prepare(self, epoch: int) -> None:
        """Draws the tables of an epoch ahead of their use."""

    def bag_rows(self, bag: int) -> IntArray:
        """All rows of a bag, ascending."""


class ViewBatch(NamedTuple):
    """A batch of test images.

    Attributes:
        images: ``(N, 3, H, W)`` float32, normalised; zeros for a broken image.
        rows: ``(N,)`` int64 catalog rows.
        broken: The rows among them whose image is broken.
    """

    images: Tensor
    rows: Tensor
    broken: tuple[int, ...]


def decode_whole(store: ImageStore, row: int, quarantine: frozenset[int]) -> Tensor | None:
    """Decodes an image unless it is known to be broken, or turns out to be."""
    if row in quarantine:
        return None
    try:
        return decode_jpeg(store.read(row))
    except BrokenImage:
        return None


class BagDataset(Dataset[BagBatch]):
    """Makes the training batch of any (epoch, step).

    Args:
        store: The catalog.
        plan: Which images form which batch.
        augment: What is done to them.
        seed: The run's seed.
        rank: Which share of each batch.
        world_size: Into how many shares a batch is dealt.
        quarantine: Rows of images known to be broken; they are not even read.
    """

    def __init__(
        self,
        store: ImageStore,
        plan: Plan,
        augment: AugmentConfig,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        quarantine: Collection[int] = (),
    ) -> None:
        self._store = store
        self._plan = plan
        self._augment = augment
        self._seed = seed
        self._share = (rank, world_size)
        self._quarantine = frozenset(quarantine)

    def __getitem__(self, index: tuple[int, int]) -> BagBatch:
        epoch, step = index
        planned = self._plan.batch(epoch, step, *self._share)
        config = self._augment
        views = torch.empty(len(planned.rows), 3, config.height, config.width)
        shown = planned.rows.copy()
        for place, draws in enumerate(draw(self._seed, epoch, planned.keys)):
            row, bag = int(planned.rows[place]), int(planned.bags[place])
            image, shown[place] = self._image_of_bag(row, bag)
            write_train_view(image, views[place], config, draws)
        return BagBatch(
            images=normalise(views, config),
            rows=torch.from_numpy(shown),
            groups=torch.from_numpy(planned.groups),
            bags=torch.from_numpy(planned.bags),
            replaced=tuple(planned.rows[shown != planned.rows].tolist()),
        )

    def _image_of_bag(self, row: int, bag: int) -> tuple[Tensor, int]:
        """Decodes an image, or the next one of its bag that can be; with its row."""
        image = decode_whole(self._store, row, self._quarantine)
        if image is not None:
            return image, row
        rows = self._plan.bag_rows(bag)
        here = int(np.searchsorted(rows, row))
        for other in (*rows[here + 1 :].tolist(), *rows[:here].tolist()):
            image = decode_whole(self._store, other, self._quarantine)
            if image is not None:
                return image, other
        raise BagreidError(
            f"not one of the {len(rows)} images of bag {bag} can be decoded",
            path=self._store.ref(row).path,
            remedy="Check the archive and fetch the file again",
        )


class ViewDataset(Dataset[ViewBatch]):
    """Makes the test batch of any number.

    Args:
        store: The catalog.
        rows: ``(N,)`` the rows to show, in this order.
        augment: Sizes and normalisation.
        batch_size: Images of a batch.
        quarantine: Rows of images known to be broken; they are not even read.
    """

    def __init__(
        self,
        store: ImageStore,
        rows: IntArray,
        augment: AugmentConfig,
        batch_size: int,
        quarantine: Collection[int] = (),
    ) -> None:
        self._store = store
        self._rows = rows
        self._augment = augment
        self._batch_size = batch_size
        self._quarantine = frozenset(quarantine)

    def __getitem__(self, index: int) -> ViewBatch:
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        size = self._augment.test_size or (self._augment.height, self._augment.width)
        views = torch.empty(len(rows), 3, *size)
        broken = []
        for place, row in enumerate(rows.tolist()):
            image = decode_whole(self._store, row, self._quarantine)
            if image is None:
                broken.append(place)
            else:
                views[place] = resize(image, size, self._augment)
        normalise(views, self._augment)
        views[broken] = 0
        return ViewBatch(views, torch.from_numpy(rows.copy()), tuple(rows[broken].tolist()))
