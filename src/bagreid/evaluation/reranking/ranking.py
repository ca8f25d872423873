"""The public entry: as `evaluate_ranking`, by k-reciprocal re-ranking, in little memory.

Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017
(arXiv 1701.08398). The dense code holds all (Q + G)² distances several times over. Here every
image keeps its K nearest images and the distance of its farthest one, found exactly in one walk
over the blocks; the k-reciprocal sets, their weights and their means over neighbours are sparse;
and only the queries' vectors meet the gallery's, through inverted lists, block by block.

Shape letters: Q queries, G gallery images, D features, N images that take part, T length of the
lists of best answers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.counting import Counted
from bagreid.evaluation.relations import Relations
from bagreid.evaluation.reranking.config import Reranking
from bagreid.evaluation.reranking.encoding import encode
from bagreid.evaluation.reranking.final import FinalDistance
from bagreid.evaluation.reranking.images import ImageSet
from bagreid.evaluation.reranking.jaccard import Overlap
from bagreid.evaluation.reranking.keeping import Keeper
from bagreid.evaluation.reranking.ranks import count_reranked
from bagreid.evaluation.reranking.reciprocal import expanded_sets
from bagreid.evaluation.reranking.search import Walk, find_neighbours
from bagreid.evaluation.scores import full_precision
from bagreid.evaluation.sources import FeatureSource
from bagreid.evaluation.toplist import Ties
from bagreid.world import World

Stage = Callable[[str], AbstractContextManager[Progress]]
"""Opens a line of progress by the name of a stage."""


def silent(_name: str) -> AbstractContextManager[Progress]:
    """A stage that shows nothing."""
    return nullcontext(_tell_nobody)


def _tell_nobody(_done: int, _total: int) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranker:
    """How to re-rank, and where to keep what takes long; never changes the result but `config`."""

    config: Reranking = field(default_factory=Reranking)
    """The parameters."""

    keep: Path | None = None
    """A folder for the neighbour search's state: an interrupted search goes on, a finished one
    is not done again. None: it is kept nowhere."""

    walk: Walk = field(default_factory=Walk)
    """How the neighbour search is cut."""

    stage: Stage = silent
    """Shows the progress."""

    def count(
        self,
        query: FeatureSource,
        gallery: FeatureSource,
        relations: Relations,
        *,
        top: int,
        device: torch.device,
        ties: Ties = "pessimistic",
        block: int | None = None,
        world: World | None = None,
    ) -> Counted:
        """Counts the rank of every match by the final distance.

        Args:
            query: ``(Q, D)`` normalised features.
            gallery: ``(G, D)`` normalised features.
            relations: Which pairs are matches, which are left out, and what is broken.
            top: T.
            device: Where to compute inner products.
            ties: Where matches stand among wrong answers of the same distance, in the lists.
            block: Gallery images at a time; chosen by the number of queries where None.
            world: The processes that share the neighbour search, each of which has all features
                and gets the whole result; this one alone where None.

        Returns:
            Ranks and lists, by query; a score is one minus the final distance.

        Raises:
            BagreidError: When features are not normalised, or what was kept is damaged or belongs
                to other features.
        """
        images = ImageSet(query, gallery, relations.broken_query, relations.broken_gallery, device)
        images.check()
        with full_precision(device):
            seen = 0 < images.queries < images.count
            final = self._final_distance(images, world or World()) if seen else None
            size = block or max(256, min(8192, 2**23 // max(images.queries, 1)))
            with self.stage("ranking") as progress:
                return count_reranked(
                    images, final, relations, top=top, ties=ties, size=size, progress=progress
                )

    def _final_distance(self, images: ImageSet, world: World) -> FinalDistance:
        config = self.config
        keeper = None
        if self.keep is not None:
            keeper = Keeper(self.keep, images, config.listed, world)
        with self.stage("neighbours") as progress:
            lists = find_neighbours(
                images,
                config.listed,
                walk=self.walk,
                keeper=keeper,
                world=world,
                progress=progress,
            )
        sets = expanded_sets(lists.index, config.k1, config.half)
        with self.stage("encoding") as progress:
            encoding = encode(sets, lists, images, progress)
        neighbours = lists.index[:, : config.k2]
        if config.k2 == 1:  # no expansion, even where an equal image comes first in the list
            neighbours = np.arange(images.count, dtype=np.int32)[:, None]
        overlap = Overlap(encoding, neighbours, images.queries)
        farthest = lists.farthest[: images.queries]
        return FinalDistance(images, overlap, farthest, config.original_weight)
