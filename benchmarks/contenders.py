"""Ways to read an archive, each behind the same few calls.

A contender lives in a process of its own. Whatever it reads is decoded and resized by the same
functions of torchvision; bagreid's go through its own loader of test images, checks included.
The libraries are imported where they are used: a process is weighed with its own one only.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from archive_setup import Setup
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional
from typing_extensions import override

from bagreid.catalog import open_catalog
from bagreid.contracts import IntArray
from bagreid.data.config import AugmentConfig
from bagreid.data.loader import test_loader
from bagreid.data.synthetic.layout import TRAIN
from bagreid.shards import scan_tar

SIZE = (256, 128)
"""Height and width that images are resized to."""

BATCH = {"bytes": 256, "pixels": 64}
"""Images of a batch."""

SHUFFLE_BUFFER = 1_000
"""Images that webdataset draws from."""

_EPOCH = 1_000_000
"""Random images that our loader is asked for: more than can be timed."""

Image = bytes | memoryview

_AUGMENT = AugmentConfig(height=SIZE[0], width=SIZE[1])


def to_pixels(data: Image) -> Tensor:
    """Decodes a JPEG and resizes it, bicubic on bytes: `(3, 256, 128)` uint8."""
    image = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
    resized: Tensor = functional.resize(
        image, list(SIZE), interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    return resized


class Contender(ABC):
    """One way to read.

    Args:
        setup: What is read.

    Attributes:
        images: How many images it reads: all, or a part.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.images = setup.images

    def index(self) -> None:
        """Makes from the archive what `open` needs; from nothing each time."""
        raise NotImplementedError

    @abstractmethod
    def open(self) -> None:
        """Gets ready to read, from what `index` left."""

    def read(self, number: int) -> Image:
        """The bytes of one image."""
        raise NotImplementedError

    def pixels(self, data: Image) -> Tensor:
        """What becomes of its bytes."""
        return to_pixels(data)

    def batch(self, images: list[Tensor]) -> Any:
        """What a worker hands over."""
        return default_collate(images)

    def look_at_all(self) -> None:
        """Looks every image up, as an epoch does, without reading it."""
        return  # some have nothing to look up

    def loader(self, what: str, workers: int, seed: int) -> Any:
        """Reads random images in batches: their bytes only, or their pixels.

        Args:
            what: `bytes` or `pixels`.
            workers: Processes that read.
            seed: Of the order.

        Returns:
            Batches, for ever or for an epoch: how many images' bytes were read, or pixels.
        """
        order = RandomOrder(self.images, BATCH[what], seed)
        return as_they_come(RandomReads(self, what), workers, sampler=order)


@dataclass(frozen=True, slots=True)
class RandomOrder:
    """Numbers of random images, batch after batch, without end.

    Attributes:
        images: How many images there are.
        size: Of a batch.
        seed: Of the order.
    """

    images: int
    size: int
    seed: int

    def __iter__(self) -> Iterator[IntArray]:
        rng = np.random.Generator(np.random.Philox(key=self.seed))
        while True:
            yield rng.integers(self.images, size=self.size)


class RandomReads(Dataset[Any]):
    """Batches of a contender that can read any image at any time."""

    def __init__(self, contender: Contender, what: str) -> None:
        self._contender = contender
        self._what = what

    def __getitem__(self, numbers: IntArray) -> Any:
        found = (self._contender.read(number) for number in numbers.tolist())
        if self._what == "bytes":
            return sum(count_bytes(data) for data in found)
        return self._contender.batch([self._contender.pixels(data) for data in found])


def count_bytes(data: Image) -> int:
    """Looks at all bytes of an image; counts it."""
    return int(len(bytes(data)) > 0)


def as_they_come(dataset: Any, workers: int, **options: Any) -> DataLoader[Any]:
    """A loader whose workers, with one thread each, make whole batches."""
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_made,
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_one_thread,
        **options,
    )


def _one_thread(worker: int) -> None:  # noqa: ARG001
    torch.set_num_threads(1)


def _as_made(batch: Any) -> Any:
    return batch


class Ceiling(Contender):
    """Images whose bytes lie in memory; what is made of them is dropped. Nothing can be faster."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.images = min(setup.images, 20_000)

    @override
    def open(self) -> None:
        ours = Bagreid(self.setup)
        ours.open()
        rows = np.linspace(0, self.setup.images - 1, self.images).astype(np.int64)
        self._bytes = [bytes(ours.read(row)) for row in rows.tolist()]

    @override
    def read(self, number: int) -> Image:
        return self._bytes[number]

    @override
    def batch(self, images: list[Tensor]) -> int:
        return len(images)


class Bagreid(Contender):
    """This project: tars in place, a catalog beside them."""

    @override
    def index(self) -> None:
        open_catalog(self.setup.root, cache=self.setup.cache, rebuild=True, workers=1)

    def scan(self, part: int) -> int:
        """Finds all members of one tar; returns how many."""
        return len(scan_tar(self.setup.tars[part]))

    @override
    def open(self) -> None:
        self._catalog = open_catalog(self.setup.root, cache=self.setup.cache)
        self.read(0)

    @override
    def read(self, number: int) -> Image:
        return self._catalog.read(number)

    def name(self, number: int) -> str:
        """What an image is called."""
        return self._catalog.name(number)

    def places(self, images: int) -> tuple[IntArray, IntArray, IntArray]:
        """Shard, offset and size of the first images."""
        return self._catalog.places(np.arange(images))

    @override
    def loader(self, what: str, workers: int, seed: int) -> Any:
        if what == "bytes":
            return super().loader(what, workers, seed)
        return self._through_our_loader(workers, seed)

    def _through_our_loader(self, workers: int, seed: int) -> Iterator[Tensor]:
        order = iter(RandomOrder(self.images, _EPOCH, seed))
        rows, size = next(order), BATCH["pixels"]
        for batch in test_loader(self._catalog, rows, _AUGMENT, size, workers):
            yield batch.images

    @override
    def look_at_all(self) -> None:
        for start in range(0, self.images, 10_000):
            self._catalog.places(np.arange(start, min(start + 10_000, self.images)))


class PythonTarfile(Contender):
    """Python's `tarfile`: it keeps no index, so opening again means indexing again."""

    @override
    def open(self) -> None:
        self._members = [self._headers(path) for path in self.setup.tars]
        self._first = np.cumsum([0, *map(len, self._members)]).tolist()
        self._opened: dict[tuple[int, int], tarfile.TarFile] = {}

    @staticmethod
    def _headers(path: Path) -> list[tarfile.TarInfo]:
        with tarfile.open(path, "r:") as tar:
            return tar.getmembers()

    def scan(self, part: int) -> int:
        """Finds all members of one tar; returns how many."""
        return len(self._headers(self.setup.tars[part]))

    @override
    def read(self, number: int) -> Image:
        part = bisect_right(self._first, number) - 1
        key = os.getpid(), part  # a file shared by forked processes has one position only
        if key not in self._opened:
            self._opened[key] = tarfile.open(self.setup.tars[part], "r:")  # noqa: SIM115 - kept open
        file = self._opened[key].extractfile(self._members[part][number - self._first[part]])
        assert file is not None
        return file.read()

    @override
    def look_at_all(self) -> None:
        sum(member.size for members in self._members for member in members)


class Files(Contender):
    """torchvision's `ImageFolder` on a part of the images, extracted."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.images = setup.files

    @override
    def open(self) -> None:
        from torchvision.datasets import ImageFolder

        self._folder = ImageFolder(str(self.setup.extracted / TRAIN), loader=_read_file)

    @override
    def read(self, number: int) -> Image:
        data: bytes = self._folder[number][0]
        return data

    @override
    def look_at_all(self) -> None:
        sum(label for _, label in self._folder.samples)


class Webdataset(Contender):
    """`webdataset` on the very tars, each a shard: one after another, shuffled in a buffer."""

    @override
    def open(self) -> None:
        pass  # it keeps no index: it reads shards from their beginning

    @override
    def loader(self, what: str, workers: int, seed: int) -> DataLoader[Any]:
        webdataset = import_module("webdataset")
        urls = [str(path) for path in self.setup.tars]
        shards = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=seed, empty_check=False)
        images = shards.shuffle(SHUFFLE_BUFFER).map(itemgetter("jpg"))
        make, collate = (to_pixels, default_collate) if what == "pixels" else (count_bytes, sum)
        batched = images.map(make).batched(BATCH[what], collation_fn=collate).repeat()
        return as_they_come(batched, workers)


class Litdata(Contender):
    """`litdata`, a part of the images packed into its chunks: any image by its number."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.images = setup.packed
        self._place = str(setup.work / f"litdata-{setup.images}-{setup.packed}")

    @override
    def index(self) -> None:
        litdata = import_module("litdata")
        ours = Bagreid(self.setup)
        ours.open()
        shutil.rmtree(self._place, ignore_errors=True)
        litdata.optimize(
            fn=partial(_member, self.setup.tars),
            inputs=np.stack(ours.places(self.images), axis=1).tolist(),
            output_dir=self._place,
            chunk_bytes="64MB",
            num_workers=1,
            verbose=False,
        )

    @override
    def open(self) -> None:
        litdata = import_module("litdata")
        self._dataset = litdata.StreamingDataset(self._place)
        self.read(0)

    @override
    def read(self, number: int) -> Image:
        data: bytes = self._dataset[number]
        return data


class LitdataStream(Litdata):
    """`litdata` in the order it shuffles itself: whole chunks, one after another."""

    @override
    def loader(self, what: str, workers: int, seed: int) -> DataLoader[Any]:
        litdata = import_module("litdata")
        make, collate = (to_pixels, default_collate) if what == "pixels" else (count_bytes, sum)
        stream = litdata.StreamingDataset(self._place, shuffle=True, seed=seed, transform=make)
        loader: DataLoader[Any] = litdata.StreamingDataLoader(
            stream,
            batch_size=BATCH[what],
            num_workers=workers,
            collate_fn=collate,
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=_one_thread,
        )
        return loader


def _read_file(path: str) -> bytes:
    return Path(path).read_bytes()


def _member(tars: list[Path], place: tuple[int, int, int]) -> bytes:
    shard, offset, size = place
    with tars[shard].open("rb") as file:
        file.seek(offset)
        return file.read(size)


CONTENDERS: dict[str, Callable[[Setup], Contender]] = {
    "ceiling": Ceiling,
    "bagreid": Bagreid,
    "tarfile": PythonTarfile,
    "ImageFolder": Files,
    "webdataset": Webdataset,
    "litdata": Litdata,
    "litdata, its own order": LitdataStream,
}
"""By the name in the tables."""
