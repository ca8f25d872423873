"""Exact ranks by counting, block by block: nothing is sorted and no Q × G table is held.

A match's place is the number of kept wrong answers that score at least as high (so a tie counts
against the match), plus the number of better matches of the same query. Scores come in float32
blocks; a wrong answer whose score lies within the proven rounding error of a match's is scored
again in float64, by the same arithmetic as the match. So the ranks are those of float64 inner
products, whatever the block size, the thread count or the device.

Shape letters: Q queries, G gallery images, M matches, n queries that have a k-th match, l those
of them that a block concerns, P pairs, T length of the lists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bagreid.contracts import FloatArray, IntArray
from bagreid.evaluation.blocks import BlockScorer, Progress, ScoreBlock, block_size
from bagreid.evaluation.relations import Relations
from bagreid.evaluation.scores import FeatureTable, as_rows, pair_scores
from bagreid.evaluation.toplist import TopCandidates, exact_lists


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What counting gives, per match and per query.

    Attributes:
        match_query: ``(M,)`` int64, query of each match, ascending.
        match_gallery: ``(M,)`` int64, its gallery row; a query's matches stand best first.
        match_score: ``(M,)`` float64; −∞ where query or match could not be seen.
        match_rank: ``(M,)`` int64, place of the match in its query's ranking, from 0.
        top_index: ``(Q, T)`` int64 gallery rows, best first, −1 behind the end.
        top_score: ``(Q, T)`` float64, −∞ behind the end.
        ties: Wrong answers that score exactly as a match does, over all matches.
        undecided: Comparisons that float32 could not decide.
    """

    match_query: IntArray
    match_gallery: IntArray
    match_score: FloatArray
    match_rank: IntArray
    top_index: IntArray
    top_score: FloatArray
    ties: int
    undecided: int


@dataclass(slots=True, eq=False)
class _Slot:
    """The k-th best match of every query that has one; ``(n,)`` by place."""

    matches: IntArray
    score: Tensor
    ahead: Tensor
    ties: int = 0
    undecided: int = 0

    def count(self, scorer: BlockScorer, block: ScoreBlock) -> None:
        """Adds the block's wrong answers that rank ahead of the match."""
        low, high = _outward(self.score, block.error_Q[: len(self.score)])
        lines = (block.best_Q[: len(self.score)] >= low).nonzero()[:, 0]
        if not len(lines):
            return
        score_lb = block.score_Qb[lines]
        surely = score_lb >= high[lines, None]
        # An int32 sum of the comparison is several times faster than the default int64.
        self.ahead[lines] += surely.sum(1, dtype=torch.int32)
        perhaps = (score_lb >= low[lines, None]).logical_xor_(surely)
        line, column = perhaps.nonzero(as_tuple=True)
        if len(line):
            self._decide(scorer, lines[line], column + block.start)

    def _decide(self, scorer: BlockScorer, place_P: Tensor, gallery_P: Tensor) -> None:
        exact = scorer.exact(place_P, gallery_P)
        ahead = exact >= self.score[place_P]
        self.ahead.index_add_(0, place_P, ahead.to(self.ahead.dtype))
        self.ties += int((exact == self.score[place_P]).sum())
        self.undecided += len(place_P)


def _outward(score: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 limits: below the first a score is surely lower, from the second on surely not."""
    infinity = torch.full_like(score, torch.inf, dtype=torch.float32)
    low = torch.nextafter((score - error).float(), -infinity)
    high = torch.nextafter((score + error).float(), infinity)
    return low, high


def _sorted_matches(
    queries: FeatureTable, gallery: FeatureTable, relations: Relations
) -> tuple[Relations, FloatArray]:
    """The relations with every query's matches best first, and the matches' scores."""
    device = queries.device
    score = pair_scores(
        queries,
        gallery,
        as_rows(relations.match_query, device),
        as_rows(relations.match_gallery, device),
    )
    score_M = score.cpu().numpy()
    unseen_M = np.isin(relations.match_query, relations.broken_query)
    unseen_M |= np.isin(relations.match_gallery, relations.broken_gallery)
    score_M[unseen_M] = -np.inf
    order = np.lexsort((relations.match_gallery, -score_M, relations.match_query))
    best_first = replace(
        relations,
        match_query=relations.match_query[order],
        match_gallery=relations.match_gallery[order],
    )
    return best_first, score_M[order]


def _slots(scorer: BlockScorer, relations: Relations, match_score: FloatArray) -> list[_Slot]:
    """The best matches of all queries, the second best, and so on."""
    query_M = relations.match_query
    number_M = np.arange(len(query_M)) - np.searchsorted(query_M, query_M, "left")
    slots = []
    for number in range(int(scorer.matches_of.max(initial=0))):
        matches = np.flatnonzero(number_M == number)
        matches = matches[np.argsort(scorer.place[query_M[matches]])]
        # A match that nobody saw is behind all wrong answers: there is nothing to count for it.
        unseen = match_score[matches] == -np.inf
        wrong = relations.kept(query_M[matches], scorer.gallery.count)
        score = torch.from_numpy(np.where(unseen, np.inf, match_score[matches]))
        ahead = torch.from_numpy(np.where(unseen, wrong, 0))
        slots.append(_Slot(matches, score.to(scorer.row.device), ahead.to(scorer.row.device)))
    return slots


def count_ranks(
    queries: FeatureTable,
    gallery: FeatureTable,
    relations: Relations,
    *,
    top: int,
    block: int | None = None,
    progress: Progress | None = None,
) -> Counted:
    """Counts the rank of every match and keeps every query's best answers.

    Args:
        queries: ``(Q, D)`` features.
        gallery: ``(G, D)`` features.
        relations: Which pairs are matches, and which are left out.
        top: T, the length of the lists of best answers.
        block: Gallery images at a time; chosen to suit the cache where None.
        progress: Told after each block.

    Returns:
        Ranks and lists, by query.
    """
    size = block or block_size(queries.count)
    relations, match_score = _sorted_matches(queries, gallery, relations)
    scorer = BlockScorer(queries, gallery, relations)
    slots = _slots(scorer, relations, match_score)
    candidates = TopCandidates(queries.count, top, queries.device)
    for scores in scorer.blocks(size, progress=progress):
        for slot in slots:
            slot.count(scorer, scores)
        candidates.update(scores)
    match_rank = np.empty(len(match_score), dtype=np.int64)
    for better, slot in enumerate(slots):
        match_rank[slot.matches] = slot.ahead.cpu().numpy() + better
    top_index, top_score = exact_lists(scorer, candidates, relations, match_score, size)
    return Counted(
        match_query=relations.match_query,
        match_gallery=relations.match_gallery,
        match_score=match_score,
        match_rank=match_rank,
        top_index=top_index,
        top_score=top_score,
        ties=sum(slot.ties for slot in slots),
        undecided=sum(slot.undecided for slot in slots),
    )
