"""Heights and widths of an archive's images, read from their headers: of a sample, or of all.

Shape letters: S distinct sizes, N images.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bagreid.catalog.catalog import Catalog
from bagreid.catalog.findings import FIRST
from bagreid.catalog.tally import Tally
from bagreid.contracts import IntArray
from bagreid.shards.jpeg import BrokenImage, credible_size

SizeProgress = Callable[[int, int], None]
"""Called with (images read so far, images to read)."""

_PIECE = 1024
"""Images a process reads at a time."""

_FEW = 2
"""Up to so many pieces are read sooner than a process has started."""

_AHEAD = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSizes:
    """How many images have which size.

    Attributes:
        height: `(S,)` int64 pixels, with `width` each size once.
        width: `(S,)` int64 pixels.
        count: `(S,)` int64 images.
        images: Images there were to choose from.
        asked: Images whose header was read.
        broken: How many of them have no size, for their bytes are no image.
        first_broken: The first ten of those: name and reason.
        seed: What the sample was drawn by; None where all were read.
    """

    height: IntArray
    width: IntArray
    count: IntArray
    images: int
    asked: int
    broken: int
    first_broken: tuple[tuple[str, str], ...]
    seed: int | None

    def shortest_edges(self) -> Tally:
        """Images by their shorter edge in pixels."""
        return self._tally(np.minimum(self.height, self.width))

    def heights(self) -> Tally:
        """Images by their height in pixels."""
        return self._tally(self.height)

    def widths(self) -> Tally:
        """Images by their width in pixels."""
        return self._tally(self.width)

    def _tally(self, value: IntArray) -> Tally:
        distinct, place = np.unique(value, return_inverse=True)
        count = np.zeros(len(distinct), np.int64)
        np.add.at(count, place, self.count)
        return Tally(distinct.astype(np.int64), count)

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain dictionaries, every distribution summed up."""
        return {
            "images": self.images,
            "asked": self.asked,
            "seed": self.seed,
            "broken": self.broken,
            "first_broken": [{"image": n, "reason": why} for n, why in self.first_broken],
            "distinct": len(self.count),
            "height": self.heights().summary(),
            "width": self.widths().summary(),
            "shortest_edge": self.shortest_edges().summary(),
        }


@dataclass(slots=True)
class _Found:
    """Sizes as (height << 32 | width), and what has none."""

    sizes: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    first_broken: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: _Found) -> None:
        self.sizes.update(other.sizes)
        self.broken += other.broken
        self.first_broken += other.first_broken[: FIRST - len(self.first_broken)]


def read_sizes(
    catalog: Catalog,
    *,
    sample: int | None,
    seed: int = 0,
    skipped: IntArray,
    workers: int = 1,
    progress: SizeProgress | None = None,
) -> ImageSizes:
    """Reads image headers; what is counted depends neither on the workers nor on their order.

    Args:
        catalog: Any catalog.
        sample: How many images, spread over the whole archive; None reads all.
        seed: What the sample is drawn by.
        skipped: Rows of images in quarantine, ascending; they are not read.
        workers: Processes that read.
        progress: Told how far the reading is.

    Returns:
        The sizes.

    Raises:
        BagreidError: If the archive changed since it was indexed.
    """
    images = len(catalog) - len(skipped)
    asked = images if sample is None else min(sample, images)
    found, done = _Found(), 0
    for piece, part in _read_all(catalog, images, asked, seed, skipped, workers):
        found.add(part)
        done += piece
        if progress is not None:
            progress(done, asked)
    order = np.array(sorted(found.sizes), np.int64)
    return ImageSizes(
        height=order >> 32,
        width=order & (2**32 - 1),
        count=np.array([found.sizes[size] for size in order.tolist()], np.int64),
        images=images,
        asked=asked,
        broken=found.broken,
        first_broken=tuple(found.first_broken),
        seed=seed if asked < images else None,
    )


def choose_rows(
    images: int, asked: int, seed: int, skipped: IntArray, start: int, stop: int
) -> IntArray:
    """Rows `start` to `stop` of a sample: one drawn from each of `asked` equal stretches.

    So the sample reaches every part of the archive, is in the order of the disk, and needs no
    list of all rows.

    Args:
        images: Images to choose from: all rows but the skipped ones.
        asked: Size of the whole sample.
        seed: What it is drawn by.
        skipped: Rows never chosen, ascending.
        start: First place in the sample, a multiple of `_PIECE`.
        stop: One past the last.

    Returns:
        `(stop - start,)` int64 rows, ascending.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, start]))
    edge = np.arange(start, stop + 1, dtype=np.int64) * images // asked
    place = edge[:-1] + (random.random(stop - start) * np.diff(edge)).astype(np.int64)
    # The n-th image that is not skipped stands n rows further plus those skipped before it.
    return place + np.searchsorted(skipped - np.arange(len(skipped)), place, "right")


def _read_all(
    catalog: Catalog, images: int, asked: int, seed: int, skipped: IntArray, workers: int
) -> Iterator[tuple[int, _Found]]:
    """Each piece of the sample, in order: how many images, and what they are."""
    starts = range(0, asked, _PIECE)
    tasks = (
        choose_rows(images, asked, seed, skipped, start, min(start + _PIECE, asked))
        for start in starts
    )
    if workers == 1 or len(starts) <= _FEW:
        for rows in tasks:
            yield len(rows), _read(catalog, rows)
        return
    # Fresh interpreters, for a process that runs threads (as a progress bar does) must not fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(starts)), context, initializer=_begin, initargs=(catalog,)
    ) as pool:
        waiting: deque[tuple[int, Future[_Found]]] = deque()
        try:
            for rows in tasks:
                waiting.append((len(rows), pool.submit(_read_in_worker, rows)))
                if len(waiting) > _AHEAD * workers:
                    number, future = waiting.popleft()
                    yield number, future.result()
            while waiting:
                number, future = waiting.popleft()
                yield number, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(catalog: Catalog, rows: IntArray) -> _Found:
    found = _Found()
    sizes: list[int] = []
    for row in rows.tolist():
        try:
            height, width = credible_size(catalog.read(row))
        except BrokenImage as error:
            found.broken += 1
            if len(found.first_broken) < FIRST:
                found.first_broken.append((catalog.name(row), error.message))
        else:
            sizes.append(height << 32 | width)
    found.sizes.update(sizes)
    return found


_catalog: Catalog | None = None
"""The archive of a worker process."""


def _begin(catalog: Catalog) -> None:
    """Ctrl-C reaches the workers too; the main process alone answers it."""
    global _catalog
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _catalog = catalog


def _read_in_worker(rows: IntArray) -> _Found:
    assert _catalog is not None
    return _read(_catalog, rows)
