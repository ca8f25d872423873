"""Every image's nearest images and farthest distance, from one walk over half of all pairs.

Inner products are symmetric: the tile of slab I against block J serves the lists of both. A slab's
rows have met every image once the slab itself is done, for earlier slabs have brought the rest.

Shape letters: N images, n images of a slab, b images of a block, D features, K length of a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.reranking.candidates import Candidates
from bagreid.evaluation.reranking.decide import Kept, Lists, decide
from bagreid.evaluation.reranking.images import ImageSet
from bagreid.evaluation.reranking.keeping import Keeper
from bagreid.evaluation.scores import full_precision
from bagreid.world import World, all_objects

_SPARE = 11
"""Candidates kept beyond a list's length, so that its last place is seldom in doubt."""

_FAR = 8
"""Candidates kept for the farthest image; of it only the distance counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How the walk is cut; this never changes what it finds."""

    slab: int = 8192
    """Images whose lists are finished together."""

    block: int = 2048
    """Images they are compared with at a time."""

    def __post_init__(self) -> None:
        if self.slab < 1 or self.block < 1:
            raise ValueError("slab and block must be at least 1")


def find_neighbours(
    images: ImageSet,
    length: int,
    *,
    walk: Walk | None = None,
    keeper: Keeper | None = None,
    world: World | None = None,
    progress: Progress | None = None,
) -> Lists:
    """The exact neighbourhoods of all images.

    Args:
        images: All images.
        length: K, the image itself included; cut to N where there are fewer.
        walk: How the walk is cut.
        keeper: Where finished slabs are kept, so that an interrupted walk goes on; None: nowhere.
        world: The processes that share the walk; all get the whole result.
        progress: Told after each tile how many images' worth of pairs are done, of N.

    Returns:
        The lists.

    Raises:
        BagreidError: When what was kept is damaged or belongs to other features.
    """
    search = _Search(images, min(length, images.count), walk or Walk(), world or World())
    start = 0 if keeper is None else keeper.restore(search.state())
    with full_precision(images.device):
        while start < images.count:
            stop = min(start + search.walk.slab, images.count)
            search.compare(start, stop, progress)
            search.finish(start, stop)
            start = stop
            if keeper is not None:
                keeper.store(start, search.state(), last=start == images.count)
    return search.lists


class _Search:
    """The walk's state: the candidates of all images, the lists of those that are done."""

    def __init__(self, images: ImageSet, length: int, walk: Walk, world: World) -> None:
        self.images, self.length, self.walk, self.world = images, length, walk, world
        total, device = images.count, images.device
        self.near = Candidates(total, min(length + _SPARE, total), True, device)
        self.far = Candidates(total, min(_FAR, total), False, device)
        self.lists = Lists(
            index=np.zeros((total, length), np.int32),
            product=np.zeros((total, length)),
            farthest=np.zeros(total),
        )

    def state(self) -> dict[str, Tensor]:
        """All that an interrupted walk needs to go on, by name; the tensors themselves."""
        return {
            "near_score": self.near.score_NC,
            "near_index": self.near.index_NC,
            "far_score": self.far.score_NC,
            "far_index": self.far.index_NC,
            "index": torch.from_numpy(self.lists.index),
            "product": torch.from_numpy(self.lists.product),
            "farthest": torch.from_numpy(self.lists.farthest),
        }

    def compare(self, start: int, stop: int, progress: Progress | None) -> None:
        """Compares a slab with itself and with all images behind it: this process's share."""
        images, size = self.images, self.walk.block
        slab_nD = images.block(start, stop)
        buffer = slab_nD.new_empty(len(slab_nD) * min(size, images.count))
        edges = [*range(start, stop, size), *range(stop, images.count, size), images.count]
        for number, (first, last) in enumerate(pairwise(edges)):
            if number % self.world.size != self.world.rank:
                continue
            block_bD = images.block(first, last)
            tile_nb = buffer[: len(slab_nD) * len(block_bD)].view(len(slab_nD), len(block_bD))
            torch.mm(slab_nD, block_bD.T, out=tile_nb)
            for candidates in (self.near, self.far):
                candidates.update(tile_nb, start, first, of_columns=False)
                if first >= stop:
                    candidates.update(tile_nb, start, first, of_columns=True)
            if progress is not None:
                progress(_done(start, stop, last, self.walk.slab, images.count), images.count)

    def finish(self, start: int, stop: int) -> None:
        """Joins what all processes kept of a slab, and makes its lists exact, a share each."""
        world = self.world
        for candidates in (self.near, self.far):
            rows = (candidates.score_NC[start:stop].cpu(), candidates.index_NC[start:stop].cpu())
            for rank, (score_nC, index_nC) in enumerate(all_objects(rows, world)):
                if rank != world.rank:
                    where = self.images.device
                    candidates.merge(slice(start, stop), score_nC.to(where), index_nC.to(where))
        first, last = (start + (stop - start) * (world.rank + i) // world.size for i in (0, 1))
        part = decide(self.images, first, self._kept(first, last), self.length, self.walk.block)
        for begin, lists in all_objects((first, part), world):
            rows_done = slice(begin, begin + len(lists.index))
            self.lists.index[rows_done] = lists.index
            self.lists.product[rows_done] = lists.product
            self.lists.farthest[rows_done] = lists.farthest

    def _kept(self, first: int, last: int) -> Kept:
        near, far = self.near, self.far
        return Kept(
            near_score=near.score_NC[first:last].cpu().numpy(),
            near_index=near.index_NC[first:last].cpu().numpy(),
            far_score=far.score_NC[first:last].cpu().numpy(),
            far_index=far.index_NC[first:last].cpu().numpy(),
        )


def _done(start: int, stop: int, last: int, slab: int, total: int) -> int:
    """How many of ``total`` images' worth of pairs are compared, at column ``last`` of a slab."""

    def before(first: int) -> int:  # every slab is compared with what is not before it
        return first * total - first * (first - slab) // 2

    final = (total - 1) // slab * slab
    whole = before(final) + (total - final) ** 2
    return total * (before(start) + (stop - start) * (last - start)) // whole
