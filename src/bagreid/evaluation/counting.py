"""Exact ranks by counting, block by block: nothing is sorted and no Q × G table is held.

A match's place follows from how many kept wrong answers score higher, how many score the same, and
the number of better matches of the same query. A block's scores come in low precision with a
proven bound on their error; a wrong answer that the bound cannot place beside a match is scored in
float32, and again in float64 where that cannot either, by the same arithmetic as the match. So the
counts are those of float64 scores, whatever the block size, the thread count or the device.

Shape letters: Q queries, G gallery images, M matches, n queries that have a k-th match, l those
of them that a block concerns, b images of a block, P pairs, T length of the lists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bagreid.contracts import FloatArray, IntArray
from bagreid.evaluation.blocks import BlockScorer, Progress, ScoreBlock, block_size, line_parts
from bagreid.evaluation.relations import Relations, earlier
from bagreid.evaluation.scores import FeatureTable, as_rows, pair_scores
from bagreid.evaluation.screening import Precision, reaches, where
from bagreid.evaluation.toplist import Lists, Ties, TopCandidates, exact_lists


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What counting gives, per match and per query.

    Attributes:
        match_query: ``(M,)`` int64, query of each match, ascending.
        match_gallery: ``(M,)`` int64, its gallery row; a query's matches stand best first.
        match_score: ``(M,)`` float64; −∞ where query or match could not be seen.
        higher: ``(M,)`` int64, wrong answers that score higher than the match: all where it could
            not be seen.
        equal: ``(M,)`` int64, wrong answers that score the same.
        top_index: ``(Q, T)`` int64 gallery rows, best first, −1 behind the end.
        top_score: ``(Q, T)`` float64, −∞ behind the end.
        undecided: Comparisons that low precision could not decide.
    """

    match_query: IntArray
    match_gallery: IntArray
    match_score: FloatArray
    higher: IntArray
    equal: IntArray
    top_index: IntArray
    top_score: FloatArray
    undecided: int

    @property
    def ties(self) -> int:
        """Pairs of a match and a wrong answer that score the same."""
        return int(self.equal.sum())

    @property
    def match_rank(self) -> IntArray:
        """``(M,)`` int64 place of each match, from 0, wrong answers of the same score ahead."""
        return self.higher + self.equal + self.better

    @property
    def better(self) -> IntArray:
        """``(M,)`` int64, matches of the same query that stand before each."""
        return earlier(self.match_query)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What counting over some of the gallery gives; attributes as of `Counted`, and the lists."""

    relations: Relations
    match_score: FloatArray
    higher: IntArray
    equal: IntArray
    lists: Lists
    undecided: int


@dataclass(slots=True, eq=False)
class _Slot:
    """The k-th best match of every query that has one; ``(n,)`` by place."""

    matches: IntArray
    score: Tensor
    higher: Tensor
    equal: Tensor
    undecided: int = 0

    def count(self, block: ScoreBlock) -> None:
        """Adds the block's wrong answers that score no lower than the match."""
        low, high = block.limits(self.score)
        lines = (block.best_Q[: len(self.score)] >= low).nonzero()[:, 0]
        for part in line_parts(lines, block):
            key_lb = block.key_Qb[part]
            surely = reaches(key_lb, high[part])
            # An int32 sum of a comparison is several times faster than the default int64.
            self.higher[part] += surely.sum(1, dtype=torch.int32)
            perhaps = reaches(key_lb, low[part]).logical_xor_(surely)
            line, column = where(perhaps)
            if len(line):
                self._refine(block, part[line], column)

    def _refine(self, block: ScoreBlock, place_P: Tensor, column_P: Tensor) -> None:
        if not block.is_fine:
            score_P = block.fine(place_P, column_P).double()
            gap_P = score_P - self.score[place_P]
            error_P = block.fine_error_Q[place_P]
            self._add(self.higher, place_P[gap_P > error_P])
            open_P = gap_P.abs() <= error_P
            place_P, column_P = place_P[open_P], column_P[open_P]
        exact_P = block.exact(place_P, column_P)
        self._add(self.higher, place_P[exact_P > self.score[place_P]])
        self._add(self.equal, place_P[exact_P == self.score[place_P]])
        self.undecided += len(place_P)

    def _add(self, count: Tensor, place_P: Tensor) -> None:
        count += torch.bincount(place_P, minlength=len(count))


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
    number_M = earlier(query_M)
    slots = []
    for number in range(int(scorer.matches_of.max(initial=0))):
        matches = np.flatnonzero(number_M == number)
        matches = matches[np.argsort(scorer.place[query_M[matches]])]
        # A match that nobody saw is behind all wrong answers: there is nothing to count for it.
        unseen = match_score[matches] == -np.inf
        score = torch.from_numpy(np.where(unseen, np.inf, match_score[matches]))
        score = score.to(scorer.row.device)
        zeros = torch.zeros_like(score, dtype=torch.int64)
        slots.append(_Slot(matches, score, zeros, zeros.clone()))
    return slots


def count_ranks(
    queries: FeatureTable,
    gallery: FeatureTable,
    relations: Relations,
    *,
    top: int,
    ties: Ties = "pessimistic",
    block: int | None = None,
    precision: Precision = "auto",
    span: range | None = None,
    progress: Progress | None = None,
) -> Part:
    """Counts the wrong answers ahead of every match and keeps every query's best answers.

    Args:
        queries: ``(Q, D)`` features.
        gallery: ``(G, D)`` features.
        relations: Which pairs are matches, and which are left out.
        top: T, the length of the lists of best answers.
        ties: Where matches stand among wrong answers of the same score, in the lists.
        block: Gallery images at a time; chosen to suit the cache where None.
        precision: What to screen in.
        span: Gallery rows to go over; all where None. What other rows hold is not counted.
        progress: Told after each block.

    Returns:
        Counts and lists; nothing is counted for matches that could not be seen.
    """
    span = range(gallery.count) if span is None else span
    size = block or block_size(queries.count, queries.dim)
    relations, match_score = _sorted_matches(queries, gallery, relations)
    scorer = BlockScorer(queries, gallery, relations, precision)
    slots = _slots(scorer, relations, match_score)
    candidates = TopCandidates(queries.count, top, queries.device)
    scorer.centre_Q = _centres(scorer, slots)
    for scores in scorer.blocks(size, span=span, progress=progress):
        for slot in slots:
            slot.count(scores)
        candidates.update(scores)
    higher_M, equal_M = np.zeros((2, len(match_score)), dtype=np.int64)
    for slot in slots:
        higher_M[slot.matches] = slot.higher.cpu().numpy()
        equal_M[slot.matches] = slot.equal.cpu().numpy()
    return Part(
        relations=relations,
        match_score=match_score,
        higher=higher_M,
        equal=equal_M,
        lists=exact_lists(
            scorer, candidates, relations, match_score, block=size, span=span, ties=ties
        ),
        undecided=sum(slot.undecided for slot in slots),
    )


def _centres(scorer: BlockScorer, slots: list[_Slot]) -> Tensor:
    """The best match's score of every query, 0 where there is none: comparisons are close there."""
    centre_Q = torch.zeros_like(scorer.centre_Q)
    if slots:
        best_n = slots[0].score
        centre_Q[: len(best_n)] = torch.where(best_n.isinf(), 0.0, best_n)
    return centre_Q
