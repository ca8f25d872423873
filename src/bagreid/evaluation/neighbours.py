"""Exact nearest neighbours: the best k gallery images of every query, for any number of queries.

Shape letters: Q queries, G gallery images, D features, k neighbours.
"""

from __future__ import annotations

import numpy as np
import torch

from bagreid.contracts import BagreidError, FloatArray, IntArray
from bagreid.evaluation.blocks import BlockScorer, Progress, block_size
from bagreid.evaluation.relations import NONE, Relations
from bagreid.evaluation.scores import FeatureTable, full_precision
from bagreid.evaluation.screening import Precision
from bagreid.evaluation.sources import Features, FeatureSource, as_source
from bagreid.evaluation.toplist import TopCandidates, exact_lists

SLAB = 4096
"""Queries that go over the gallery together."""

_NOTHING = Relations(NONE, NONE, NONE, NONE, NONE, NONE, NONE)


def nearest(
    queries: Features | FeatureSource,
    gallery: Features | FeatureSource,
    k: int,
    *,
    block: int | None = None,
    slab: int = SLAB,
    precision: Precision = "auto",
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> tuple[IntArray, FloatArray]:
    """Finds the k gallery images of the highest inner products with each query, exactly.

    The order is that of the float64 scores (see `bagreid.evaluation.scores`), equal scores by
    gallery row. Both sides are read in blocks, so either may be larger than memory.

    Args:
        queries: ``(Q, D)`` features.
        gallery: ``(G, D)`` features.
        k: How many neighbours; at most G.
        block: Gallery images at a time; never changes the result.
        slab: Queries at a time; never changes the result.
        precision: What to screen in; never changes the result.
        device: Where to compute.
        progress: Called with the queries done and their number.

    Returns:
        ``(Q, k)`` int64 gallery rows, best first, and their ``(Q, k)`` float64 scores.

    Raises:
        BagreidError: When there are fewer than k images, or features cannot be ranked.
    """
    source = as_source(queries, "query")
    where = torch.device(device)
    table = FeatureTable(gallery, "gallery", where)
    total, dim = source.shape
    if not 1 <= k <= table.count:
        raise BagreidError(f"there are {table.count} images to find {k} neighbours among")
    if dim != table.dim:
        raise BagreidError(f"the features have {dim} dimensions, the others {table.dim}")
    size = block or block_size(min(slab, total), dim)
    index_Qk = np.empty((total, k), np.int64)
    score_Qk = np.empty((total, k))
    for start in range(0, total, slab):
        stop = min(start + slab, total)
        part = FeatureTable(source.block(start, stop), "query", where, first=start)
        with full_precision(where):
            lists = _nearest_of_slab(part, table, k, size, precision)
        index_Qk[start:stop], score_Qk[start:stop] = lists
        if progress is not None:
            progress(stop, total)
    return index_Qk, score_Qk


def _nearest_of_slab(
    queries: FeatureTable, gallery: FeatureTable, k: int, block: int, precision: Precision
) -> tuple[IntArray, FloatArray]:
    scorer = BlockScorer(queries, gallery, _NOTHING, precision)
    candidates = TopCandidates(queries.count, k, queries.device)
    for scores in scorer.blocks(block):
        candidates.update(scores)
        if scores.start == 0:
            scorer.centre_Q = candidates.last()
    nothing, everything = np.zeros(0), range(gallery.count)
    lists = exact_lists(
        scorer, candidates, _NOTHING, nothing, block=block, span=everything, ties="mean"
    )
    return lists.table(queries.count, k, "mean")
