"""Whole batches of pixels, made one by one from a plan or from a list of rows.

A batch's pixels are written where the caller wants them: into memory shared by processes, or into
their own. A dataset holds the catalog (memory-mapped columns), the plan (the tables of an epoch)
and nothing that grows with the number of images, so a worker's own memory stays flat.

Shape letters: N images, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bagreid.contracts import BagBatch, BagreidError, ImageRef, IntArray, PlannedBatch
from bagreid.data.augment import resize_into
from bagreid.data.config import AugmentConfig
from bagreid.data.decode import BrokenImage, decode_jpeg
from bagreid.data.draws import draw_views


class ImageStore(Protocol):
    """Where bytes come from; the catalog is one."""

    def read_many(self, rows: Sequence[int]) -> list[memoryview]:
        """The bytes of some images."""

    def ref(self, row: int) -> ImageRef:
        """Where they lie."""


class Plan(Protocol):
    """Which images form which batch; see `bagreid.plan.BatchPlan`."""

    steps_per_epoch: int

    def batch(
        self,
        epoch: int,
        step: int,
        rank: int = 0,
        world_size: int = 1,
        part: int = 0,
        parts: int = 1,
    ) -> PlannedBatch:
        """Plans one rank's share of one batch, or of a part of it."""

    def prepare(self, epoch: int) -> None:
        """Draws the tables of an epoch ahead of their use."""

    def bag_rows(self, bag: int) -> IntArray:
        """All rows of a bag, ascending."""


@dataclass(frozen=True, slots=True)
class ViewBatch:
    """A batch of test images.

    Attributes:
        images: ``(N, 3, H, W)`` uint8, resized, its channels last in memory; zeros for a broken
            image.
        rows: ``(N,)`` int64 catalog rows.
        broken: The rows among them whose image is broken.
    """

    images: Tensor
    rows: Tensor
    broken: tuple[int, ...]


def decode_whole(
    store: ImageStore, rows: Sequence[int], quarantine: frozenset[int]
) -> Iterator[Tensor | None]:
    """Decodes images; those known to be broken, or that turn out to be, are None.

    All are read first: a disk that is asked for many is faster, and reads in a row take a fifth of
    what reads between decodings do, for what they need stays in the processor's cache.
    """
    hopeful = [row for row in rows if row not in quarantine]
    files = iter(store.read_many(hopeful))
    for row in rows:
        try:
            yield None if row in quarantine else decode_jpeg(next(files))
        except BrokenImage:
            yield None


def pixels(images: int, size: tuple[int, int], memory: Tensor | None = None) -> Tensor:
    """Room for the pixels of a batch.

    Args:
        images: How many.
        size: Their height and width.
        memory: uint8, where to find it; new memory where None, or where that is too small.

    Returns:
        ``(images, 3, height, width)`` uint8, channels last in memory.
    """
    shape = images, *size, 3
    if memory is None or len(memory) < math.prod(shape):
        memory = torch.empty(math.prod(shape), dtype=torch.uint8)
    return memory[: math.prod(shape)].view(shape).permute(0, 3, 1, 2)


class BagDataset(Dataset[BagBatch]):
    """Makes the training batch of any (epoch, step, part).

    Args:
        store: The catalog.
        plan: Which images form which batch.
        augment: What is done to them.
        seed: The run's seed.
        rank: Which share of each batch.
        world_size: Into how many shares a batch is dealt.
        parts: Into how many parts a batch is cut before.
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
        parts: int = 1,
        quarantine: Collection[int] = (),
    ) -> None:
        self._store = store
        self._plan = plan
        self._augment = augment
        self._seed = seed
        self._share = (rank, world_size)
        self._parts = parts
        self._quarantine = frozenset(quarantine)

    def __getitem__(self, index: tuple[int, int, int]) -> BagBatch:
        return self.make(index)

    def batch_bytes(self, index: tuple[int, int, int]) -> int:
        """Bytes that the pixels of a batch take, at most: its first part is the largest."""
        images = len(self._plan.batch(*index[:2], *self._share, 0, self._parts).rows)
        return images * 3 * math.prod(self._augment.canvas)

    def room(self, images: int, memory: Tensor | None = None) -> Tensor:
        """Room for so many images, as `pixels` gives it."""
        return pixels(images, self._augment.canvas, memory)

    def make(self, index: tuple[int, int, int], memory: Tensor | None = None) -> BagBatch:
        """Makes a batch.

        Args:
            index: Epoch, step and part of the step's batch.
            memory: uint8, where its pixels shall lie; see `pixels`.

        Returns:
            The batch.

        Raises:
            BagreidError: If no image of a bag can be decoded.
        """
        epoch, step, part = index
        planned = self._plan.batch(epoch, step, *self._share, part, self._parts)
        room = self.room(len(planned.rows), memory)
        shown = planned.rows.copy()
        images = decode_whole(self._store, planned.rows.tolist(), self._quarantine)
        for place, image in enumerate(images):
            if image is None:
                row, bag = int(planned.rows[place]), int(planned.bags[place])
                image, shown[place] = self._stand_in(row, bag)
            resize_into(image, room[place], self._augment)
        return BagBatch(
            images=room,
            rows=torch.from_numpy(shown),
            groups=torch.from_numpy(planned.groups),
            bags=torch.from_numpy(planned.bags),
            views=draw_views(self._augment, self._seed, epoch, planned.keys),
            replaced=tuple(planned.rows[shown != planned.rows].tolist()),
        )

    def _stand_in(self, row: int, bag: int) -> tuple[Tensor, int]:
        """Decodes the next image of a bag that can be; with its row."""
        rows = self._plan.bag_rows(bag)
        here = int(np.searchsorted(rows, row))
        for other in (*rows[here + 1 :].tolist(), *rows[:here].tolist()):
            (image,) = decode_whole(self._store, [other], self._quarantine)
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
        self._size = augment.test_size or (augment.height, augment.width)
        self._quarantine = frozenset(quarantine)

    def __getitem__(self, index: int) -> ViewBatch:
        return self.make(index)

    def batch_bytes(self, index: int) -> int:  # noqa: ARG002 - all batches but the last are as large
        """Bytes that the pixels of a batch take, at most."""
        return min(len(self._rows), self._batch_size) * 3 * math.prod(self._size)

    def room(self, images: int, memory: Tensor | None = None) -> Tensor:
        """Room for so many images, as `pixels` gives it."""
        return pixels(images, self._size, memory)

    def make(self, index: int, memory: Tensor | None = None) -> ViewBatch:
        """Makes a batch.

        Args:
            index: Its number.
            memory: uint8, where its pixels shall lie; see `pixels`.

        Returns:
            The batch.
        """
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        room = self.room(len(rows), memory)
        broken = []
        for place, image in enumerate(decode_whole(self._store, rows.tolist(), self._quarantine)):
            if image is None:
                room[place] = 0
                broken.append(int(rows[place]))
            else:
                resize_into(image, room[place], self._augment)
        return ViewBatch(room, torch.from_numpy(rows.copy()), tuple(broken))
