"""The public entry: features, identities and cameras in, the exact ranking and its metrics out.

Shape letters: Q queries, G gallery images, D features, M matches, T length of the lists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagreid.contracts import DISTRACTOR_PID, BagreidError, Convention, FloatArray, IntArray
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.cameras import demand_a_match, lost_queries
from bagreid.evaluation.counting import Counted
from bagreid.evaluation.expected import score_queries
from bagreid.evaluation.metrics import divisor
from bagreid.evaluation.relations import NONE, Relations, checked_ids, relate
from bagreid.evaluation.reranking import Reranker
from bagreid.evaluation.scores import FeatureTable, full_precision
from bagreid.evaluation.screening import Precision
from bagreid.evaluation.sharing import count_together
from bagreid.evaluation.sources import ArraySource, Features, FeatureSource, as_source
from bagreid.evaluation.statistics import wilson_intervals
from bagreid.evaluation.toplist import Ties
from bagreid.world import World

CMC_LENGTH = 50
"""Ranks of the CMC that a result holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingCounts:
    """What was ranked.

    Attributes:
        queries: Query images.
        gallery: Gallery images, junk included.
        matches: Pairs of a query and a right answer.
        distractors: Gallery images of nobody asked for; they count as wrong answers.
        junk: Gallery images left out of every ranking.
        same_camera: Pairs left out because identity and camera are the same.
        queries_without_match: Queries that have no right answer in the gallery.
        queries_lost_to_cameras: Those of them whose matches are all by their own camera.
        ties: Pairs of a match and a wrong answer that score exactly the same.
        undecided: Comparisons that low precision could not decide and float64 did.
    """

    queries: int
    gallery: int
    matches: int
    distractors: int
    junk: int
    same_camera: int
    queries_without_match: int
    queries_lost_to_cameras: int
    ties: int
    undecided: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankingResult:
    """An exact evaluation; all shares are fractions, 0 … 1.

    Attributes:
        convention: The convention of `cmc`, `average_precision` and the means.
        ties: Where matches stand among wrong answers that score the same.
        cmc: ``(50,)`` float64, rank-1 first.
        mean_ap: Mean average precision.
        mean_inp: Mean inverse negative penalty.
        cmc_interval: ``(50, 2)`` float64, Wilson's 95 % interval of every rank-k.
        first_match_rank: ``(Q,)`` int64, rank of the best match, 0 = rank-1, −1 = no match; the
            pessimistic one where ``ties`` is ``mean``.
        expected_rank: ``(Q,)`` float64, the same rank, but where ``ties`` is ``mean`` its
            expectation; NaN = no match.
        wrong_answers: ``(Q,)`` int64, gallery images that the query's matches compete with.
        average_precision: ``(Q,)`` float64, 0 without a match.
        match_index: ``(Q,)`` int64, gallery row of the best match, −1 = no match.
        match_score: ``(Q,)`` float64, its score, NaN = no match, −∞ = one of the two is broken.
        top_index: ``(Q, T)`` int64, gallery rows best first, −1 behind the end of a short list.
        top_score: ``(Q, T)`` float64, their scores, −∞ there.
        counts: What was ranked.
    """

    convention: Convention
    ties: Ties
    cmc: FloatArray
    mean_ap: float
    mean_inp: float
    cmc_interval: FloatArray
    first_match_rank: IntArray
    expected_rank: FloatArray
    wrong_answers: IntArray
    average_precision: FloatArray
    match_index: IntArray
    match_score: FloatArray
    top_index: IntArray
    top_score: FloatArray
    counts: RankingCounts

    def rank(self, k: int) -> float:
        """Rank-k: the share of queries with a match among the first k."""
        return float(self.cmc[k - 1])

    def interval(self, k: int) -> tuple[float, float]:
        """Wilson's 95 % interval of rank-k."""
        low, high = self.cmc_interval[k - 1].tolist()
        return low, high

    @property
    def rank1_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of rank-1."""
        return self.interval(1)


def evaluate_ranking(
    query_feature: Features | FeatureSource,
    query_pid: npt.ArrayLike,
    query_camid: npt.ArrayLike,
    gallery_feature: Features | FeatureSource,
    gallery_pid: npt.ArrayLike,
    gallery_camid: npt.ArrayLike,
    *,
    convention: Convention,
    query_broken: IntArray = NONE,
    gallery_broken: IntArray = NONE,
    ties: Ties = "pessimistic",
    top: int = 10,
    block: int | None = None,
    precision: Precision = "auto",
    world: World | None = None,
    reranker: Reranker | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> RankingResult:
    """Ranks the gallery for every query by inner product, exactly, and scores the ranking.

    Left out of a query's ranking are gallery images of the same identity *and* camera, and junk
    (identity −1). Distractors (−1000) stay, as wrong answers. The features are taken as they are;
    for a cosine similarity L2-normalise them first. Scores are those of
    `bagreid.evaluation.scores`, to the last bit.

    Args:
        query_feature: ``(Q, D)`` array, memory map, tensor or source of floats.
        query_pid: ``(Q,)`` identities, whole numbers.
        query_camid: ``(Q,)`` cameras, whole numbers.
        gallery_feature: ``(G, D)`` array, memory map, tensor or source of floats; read block by
            block.
        gallery_pid: ``(G,)`` identities.
        gallery_camid: ``(G,)`` cameras.
        convention: ``sysu30k``: shares of all queries, trapezoidal average precision;
            ``standard``: shares of the queries that have a match, step average precision.
        query_broken: Rows of queries that could not be decoded: their matches come last.
        gallery_broken: Rows of gallery images that could not be decoded: they come behind all
            others, a match among them last of all. Their features must be finite, and are ignored.
        ties: Where a match stands among wrong answers that score the same: behind them
            (``pessimistic``), ahead of them (``optimistic``), or in any order, each as likely
            (``mean``: all metrics are then expectations).
        top: T, how many best answers a query to keep.
        block: Gallery images at a time; never changes the result.
        precision: What scores are computed in first; ``auto`` takes bfloat16 where that is faster.
            Never changes the result.
        world: The processes that share the gallery, each of which must be given all features and
            gets the whole result; this one alone where None.
        reranker: Ranks by the distance of k-reciprocal re-ranking instead, for normalised
            features; scores are then one minus that distance.
        device: Where to compute; by default where the gallery features are.
        progress: Called with the gallery images done and their number, after each block.

    Returns:
        The result.

    Raises:
        BagreidError: For features or identities that cannot be ranked, and when no query has a
            match.

    Example:
        >>> feature = np.eye(3, 8, dtype=np.float32)
        >>> result = evaluate_ranking(
        ...     feature, [1, 2, 3], [2, 2, 2], feature, [1, 2, 3], [1, 1, 1], convention="standard"
        ... )
        >>> result.rank(1)
        1.0
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention is {convention!r}, not one of {get_args(Convention)}")
    if ties not in get_args(Ties):
        raise ValueError(f"ties is {ties!r}, not one of {get_args(Ties)}")
    where = _device_of(gallery_feature) if device is None else torch.device(device)
    queries = FeatureTable(query_feature, "query", where)
    gallery = FeatureTable(gallery_feature, "gallery", where)
    if queries.dim != gallery.dim:
        raise BagreidError(
            f"the query features have {queries.dim} dimensions, the gallery's {gallery.dim}",
            remedy="Extract both with the same network",
        )
    gallery_id = checked_ids(gallery_pid, "gallery_pid", gallery.count)
    query_camera = checked_ids(query_camid, "query_camid", queries.count)
    relations = relate(
        checked_ids(query_pid, "query_pid", queries.count),
        query_camera,
        gallery_id,
        checked_ids(gallery_camid, "gallery_camid", gallery.count),
    )
    relations = replace(
        relations, broken_query=np.unique(query_broken), broken_gallery=np.unique(gallery_broken)
    )
    demand_a_match(relations, query_camera)
    if reranker is not None:
        counted = reranker.count(
            as_source(query_feature, "query"),
            as_source(gallery_feature, "gallery"),
            relations,
            top=top,
            ties=ties,
            device=where,
            block=block,
            world=world,
        )
    else:
        with full_precision(where):
            counted = count_together(
                queries,
                gallery,
                relations,
                world or World(),
                top=top,
                ties=ties,
                block=block,
                precision=precision,
                progress=progress,
            )
    distractors = int(np.sum(gallery_id == DISTRACTOR_PID))
    return _summarise(
        counted, relations, convention, ties, queries.count, gallery.count, distractors
    )


def _device_of(features: Features | FeatureSource) -> torch.device:
    if isinstance(features, Tensor | ArraySource):
        return features.device
    return torch.device("cpu")


def _summarise(
    counted: Counted,
    relations: Relations,
    convention: Convention,
    ties: Ties,
    queries: int,
    gallery: int,
    distractors: int,
) -> RankingResult:
    metrics, rank, cmc = score_queries(counted, queries, convention, ties, CMC_LENGTH)
    first = metrics.first_match_rank
    number = divisor(first, convention)
    match_index = np.full(queries, -1, dtype=np.int64)
    match_score = np.full(queries, np.nan)
    have, best = np.unique(counted.match_query, return_index=True)
    match_index[have], match_score[have] = counted.match_gallery[best], counted.match_score[best]
    return RankingResult(
        convention=convention,
        ties=ties,
        cmc=cmc,
        mean_ap=float(metrics.average_precision.sum() / number),
        mean_inp=float(metrics.inverse_negative_penalty.sum() / number),
        cmc_interval=wilson_intervals(np.round(cmc * number, 9), number),
        first_match_rank=first,
        expected_rank=rank,
        wrong_answers=relations.kept(np.arange(queries), gallery),
        average_precision=metrics.average_precision,
        match_index=match_index,
        match_score=match_score,
        top_index=counted.top_index,
        top_score=counted.top_score,
        counts=RankingCounts(
            queries=queries,
            gallery=gallery,
            matches=len(counted.match_query),
            distractors=distractors,
            junk=len(relations.junk),
            same_camera=len(relations.same_camera_query),
            queries_without_match=queries - len(have),
            queries_lost_to_cameras=len(lost_queries(relations)),
            ties=counted.ties,
            undecided=counted.undecided,
        ),
    )
