"""The best-ranked gallery images of every query, kept while the blocks go by, then made exact.

Shape letters: Q queries, G gallery images, K kept candidates, M matches, b images of a block, l
lines (some of the queries), P pairs, T length of the lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagreid.contracts import FloatArray, IntArray
from bagreid.evaluation.blocks import BlockScorer, ScoreBlock, line_parts
from bagreid.evaluation.relations import Relations, earlier
from bagreid.evaluation.screening import float_limits, reaches, where

Ties = Literal["pessimistic", "optimistic", "mean"]
"""Where a match stands among wrong answers of the same score: behind, ahead, or anywhere."""

_SPARE = 6
"""Candidates kept beyond the list's length, so that its last place is seldom in doubt."""

_FEW = 64
"""Pairs of a line that are scored one by one; the whole line where there are more."""


class TopCandidates:
    """The K wrong answers of the highest float32 scores so far, by place of the query.

    Args:
        queries: Q.
        top: T; K is a few more.
        device: Where the scores are.
    """

    def __init__(self, queries: int, top: int, device: torch.device) -> None:
        self.top = top
        self.score_QK = torch.full((queries, top + _SPARE), -torch.inf, device=device)
        self.index_QK = torch.full((queries, top + _SPARE), -1, dtype=torch.int64, device=device)

    def last(self) -> Tensor:
        """The T-th best score of every query, ``(Q,)`` float64; 0 where there are fewer."""
        last_Q = self.score_QK[:, self.top - 1].double()
        return torch.where(last_Q.isinf(), 0.0, last_Q)

    def update(self, block: ScoreBlock) -> None:
        """Takes in one block."""
        limit_Q = self._limit(block)
        lines = (block.best_Q >= limit_Q).nonzero()[:, 0]
        for places in line_parts(lines, block):
            line, column = where(reaches(block.key_Qb[places], limit_Q[places]))
            count = torch.bincount(line, minlength=len(places))
            many = (count > _FEW).nonzero()[:, 0]
            if len(many):
                self._add_lines(block, places[many])
            few = (count <= _FEW)[line]
            self._add_pairs(block, places[line[few]], column[few])

    def _limit(self, block: ScoreBlock) -> Tensor:
        """What a key must reach to be of interest."""
        if block.is_fine:
            worst_Q = self.score_QK[:, -1]
            return torch.nextafter(worst_Q, torch.full_like(worst_Q, torch.inf))
        # T known answers score at least this.
        sure_Q = self.score_QK[:, self.top - 1].double() - block.scorer.error()
        return block.limits(sure_Q)[0]

    def _add_lines(self, block: ScoreBlock, places: Tensor) -> None:
        score_lb = block.fine_lines(places)
        score, column = score_lb.topk(min(self.score_QK.shape[1], score_lb.shape[1]), dim=1)
        self._merge(places, score, column + block.start)

    def _add_pairs(self, block: ScoreBlock, place_P: Tensor, column_P: Tensor) -> None:
        if not len(place_P):
            return
        places, line_P, count = torch.unique_consecutive(
            place_P, return_inverse=True, return_counts=True
        )
        first = torch.cumsum(count, 0) - count
        slot_P = torch.arange(len(place_P), device=place_P.device) - first[line_P]
        shape = (len(places), int(count.amax()))
        score = torch.full(shape, -torch.inf, device=place_P.device)
        index = torch.full(shape, -1, dtype=torch.int64, device=place_P.device)
        score[line_P, slot_P] = block.fine(place_P, column_P)
        index[line_P, slot_P] = column_P + block.start
        self._merge(places, score, index)

    def _merge(self, places: Tensor, score: Tensor, index: Tensor) -> None:
        score = torch.cat([self.score_QK[places], score], 1)
        index = torch.cat([self.index_QK[places], index], 1)
        best, slot = score.topk(self.score_QK.shape[1], dim=1)
        self.score_QK[places] = best
        self.index_QK[places] = index.gather(1, slot).masked_fill(best == -torch.inf, -1)

    def pairs(self, error_Q: Tensor) -> tuple[Tensor, Tensor]:
        """Place and gallery row of the candidates that may be among the best T, ``(P,)`` each.

        Args:
            error_Q: ``(Q,)`` float64, how far a score can lie from the float64 one.
        """
        least_Q = self.score_QK[:, self.top - 1].double() - 2 * error_Q
        hopeful = (self.index_QK >= 0) & (self.score_QK >= least_Q[:, None])
        place, slot = hopeful.nonzero(as_tuple=True)
        return place, self.index_QK[place, slot]


@dataclass(slots=True, eq=False)
class Lists:
    """Scored pairs of a query and an answer; the best T of each query can be taken out.

    Attributes:
        query: ``(P,)`` int64 query rows.
        gallery: ``(P,)`` int64 gallery rows.
        score: ``(P,)`` float64.
        match: ``(P,)`` bool, whether the answer is right.
    """

    query: IntArray
    gallery: IntArray
    score: FloatArray
    match: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, query: IntArray, gallery: IntArray, score: FloatArray, match: bool) -> Lists:
        """Pairs that are all right, or all wrong."""
        return cls(query, gallery, score, np.full(len(query), match))

    def where(self, keep: npt.NDArray[np.bool_] | IntArray) -> Lists:
        """Some of the pairs."""
        return Lists(self.query[keep], self.gallery[keep], self.score[keep], self.match[keep])

    def best(self, top: int, ties: Ties) -> tuple[Lists, IntArray]:
        """The best T of each query, in order.

        Higher scores first; among equal scores wrong answers before matches (``pessimistic``),
        matches before wrong answers (``optimistic``) or neither; then by gallery row.

        Args:
            top: T.
            ties: The rule.

        Returns:
            The pairs, and where in its list each stands.
        """
        behind = {"pessimistic": self.match, "optimistic": ~self.match, "mean": 0 * self.gallery}
        order = np.lexsort((self.gallery, behind[ties], -self.score, self.query))
        place = earlier(self.query[order])
        return self.where(order[place < top]), place[place < top]

    def table(self, queries: int, top: int, ties: Ties) -> tuple[IntArray, FloatArray]:
        """The lists side by side.

        Args:
            queries: Q.
            top: T.
            ties: As for `best`.

        Returns:
            ``(Q, T)`` int64 gallery rows, −1 behind the end of a short list, and ``(Q, T)``
            float64 scores, −∞ there.
        """
        best, place = self.best(top, ties)
        index_QT = np.full((queries, top), -1, dtype=np.int64)
        score_QT = np.full((queries, top), -np.inf)
        index_QT[best.query, place], score_QT[best.query, place] = best.gallery, best.score
        return index_QT, score_QT


def joined(parts: Sequence[Lists]) -> Lists:
    """All pairs of several."""
    return Lists(
        np.concatenate([part.query for part in parts]),
        np.concatenate([part.gallery for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.match for part in parts]),
    )


def exact_lists(
    scorer: BlockScorer,
    candidates: TopCandidates,
    relations: Relations,
    match_score: FloatArray,
    *,
    block: int,
    span: range,
    ties: Ties,
) -> Lists:
    """The best T answers of every query, matches among them, by float64 score.

    Where the float32 scores cannot prove that no other image belongs in a query's list (many near
    duplicates), that query's scores are gone through once more.

    Args:
        scorer: The scorer, after its walk.
        candidates: The wrong answers kept on that walk.
        relations: The matches.
        match_score: ``(M,)`` float64, their scores.
        block: Gallery images at a time.
        span: Gallery rows that were gone over.
        ties: The rule of `Lists.best`.

    Returns:
        The lists: all matches that are among the best, and the wrong answers of the span. What is
        broken stands in no list, and the list of a broken query is empty.
    """
    top = candidates.top
    error_Q = scorer.error()
    wrong = _scored(scorer, *candidates.pairs(error_Q))
    seen = match_score > -np.inf
    right = Lists.of(
        relations.match_query[seen], relations.match_gallery[seen], match_score[seen], match=True
    )
    lists, place = joined([wrong, right]).best(top, ties)
    last_Q = torch.full_like(error_Q, -torch.inf)
    full = place == top - 1
    last_Q[scorer.places(lists.query[full])] = torch.from_numpy(lists.score[full]).to(last_Q)
    worst_Q = candidates.score_QK[:, -1]
    doubtful = (worst_Q.double() + error_Q >= last_Q) & (worst_Q > -torch.inf)
    places = doubtful.nonzero()[:, 0]
    if len(places):
        doubted = np.isin(lists.query, scorer.row[places].cpu().numpy())
        lists = lists.where(~doubted | lists.match)
        limit = float_limits(last_Q, error_Q)[0][places]
        for scores in scorer.blocks(block, span=span, places=places):
            found = _reaching(scorer, scores, places, limit)
            lists, _ = joined([lists, *found]).best(top, ties)
    return lists


def _reaching(scorer: BlockScorer, block: ScoreBlock, places: Tensor, limit: Tensor) -> list[Lists]:
    found = []
    for part in line_parts(torch.arange(len(places), device=places.device), block):
        line, column_P = where(reaches(block.key_Qb[part], limit[part]))
        place_P = places[part[line]]
        exact_P = block.exact(place_P, column_P)
        found.append(_listed(scorer, place_P, column_P + block.start, exact_P))
    return found


def _scored(scorer: BlockScorer, place_P: Tensor, gallery_P: Tensor) -> Lists:
    return _listed(scorer, place_P, gallery_P, scorer.exact(place_P, gallery_P))


def _listed(scorer: BlockScorer, place_P: Tensor, gallery_P: Tensor, score_P: Tensor) -> Lists:
    query = scorer.row[place_P].cpu().numpy()
    return Lists.of(query, gallery_P.cpu().numpy(), score_P.cpu().numpy(), match=False)
