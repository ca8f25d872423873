"""The best-ranked gallery images of every query, kept while the blocks go by, then made exact.

Shape letters: Q queries, G gallery images, K kept candidates, P pairs, T length of the lists.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagreid.contracts import FloatArray, IntArray
from bagreid.evaluation.blocks import BlockScorer, ScoreBlock
from bagreid.evaluation.relations import Relations
from bagreid.evaluation.scores import as_rows

_SPARE = 6
"""Candidates kept beyond the list's length, so that its last place is seldom in doubt."""


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

    def update(self, block: ScoreBlock) -> None:
        """Takes in one block."""
        score_Qb, keep = block.score_Qb, self.score_QK.shape[1]
        better = (block.best_Q > self.score_QK[:, -1]).nonzero()[:, 0]
        if not len(better):
            return
        new, column = score_Qb[better].topk(min(keep, score_Qb.shape[1]), dim=1)
        score = torch.cat([self.score_QK[better], new], 1)
        index = torch.cat([self.index_QK[better], column + block.start], 1)
        best, where = score.topk(keep, dim=1)
        self.score_QK[better] = best
        self.index_QK[better] = index.gather(1, where).masked_fill(best == -torch.inf, -1)

    def pairs(self, error_Q: Tensor) -> tuple[Tensor, Tensor]:
        """Place and gallery row of the candidates that may be among the best T, ``(P,)`` each.

        Args:
            error_Q: ``(Q,)`` float64, how far a score can lie from the float64 one.
        """
        least_Q = self.score_QK[:, self.top - 1].double() - 2 * error_Q
        hopeful = (self.index_QK >= 0) & (self.score_QK >= least_Q[:, None])
        place, slot = hopeful.nonzero(as_tuple=True)
        return place, self.index_QK[place, slot]


class _Pairs:
    """Scored pairs, growing; the best T of each place can be taken out."""

    def __init__(self, place: IntArray, gallery: IntArray, score: FloatArray, match: bool) -> None:
        self.place, self.gallery, self.score = place, gallery, score
        self.match: npt.NDArray[np.bool_] = np.full(len(place), match)

    def add(self, other: _Pairs) -> None:
        self.place = np.concatenate([self.place, other.place])
        self.gallery = np.concatenate([self.gallery, other.gallery])
        self.score = np.concatenate([self.score, other.score])
        self.match = np.concatenate([self.match, other.match])

    def cut(self, top: int) -> IntArray:
        """Keeps the best T of each place, in order; returns where in its list each stands.

        Higher scores first; among equal scores wrong answers before matches (the pessimistic rule
        of the ranks), then by gallery row.
        """
        order = np.lexsort((self.gallery, self.match, -self.score, self.place))
        by_place = self.place[order]
        where = np.arange(len(order)) - np.searchsorted(by_place, by_place, "left")
        order = order[where < top]
        self.place, self.gallery = self.place[order], self.gallery[order]
        self.score, self.match = self.score[order], self.match[order]
        return where[where < top]


def exact_lists(
    scorer: BlockScorer,
    candidates: TopCandidates,
    relations: Relations,
    match_score: FloatArray,
    block: int,
) -> tuple[IntArray, FloatArray]:
    """The best T answers of every query, matches among them, by float64 score.

    Where the float32 scores cannot prove that no other image belongs in a query's list (many near
    duplicates), that query's scores are gone through once more.

    Args:
        scorer: The scorer, after its walk.
        candidates: The wrong answers kept on that walk.
        relations: The matches.
        match_score: ``(M,)`` float64, their scores.
        block: Gallery images at a time.

    Returns:
        ``(Q, T)`` int64 gallery rows by row of the query, −1 behind the end of a short list, and
        ``(Q, T)`` float64 scores, −∞ there. What is broken stands in no list, and the list of a
        broken query is empty.
    """
    top = candidates.top
    error = scorer.error()
    place_P, gallery_P = candidates.pairs(error)
    lists = _scored(scorer, place_P, gallery_P)
    seen = match_score > -np.inf
    matches = scorer.place[relations.match_query[seen]]
    lists.add(_Pairs(matches, relations.match_gallery[seen], match_score[seen], match=True))
    where = lists.cut(top)
    last = torch.full_like(candidates.score_QK[:, 0], -torch.inf, dtype=torch.float64)
    full = where == top - 1
    last[as_rows(lists.place[full], last.device)] = torch.from_numpy(lists.score[full]).to(last)
    doubtful = (candidates.score_QK[:, -1].double() + error >= last).nonzero()[:, 0]
    doubtful = doubtful[candidates.score_QK[doubtful, -1] > -torch.inf]
    if len(doubtful):
        where = _go_through_again(scorer, lists, doubtful, (last - error)[doubtful], top, block)
    shape = (scorer.queries.count, top)
    index_QT, score_QT = np.full(shape, -1, dtype=np.int64), np.full(shape, -np.inf)
    row = scorer.row.cpu().numpy()[lists.place]
    index_QT[row, where], score_QT[row, where] = lists.gallery, lists.score
    return index_QT, score_QT


def _scored(scorer: BlockScorer, place_P: Tensor, gallery_P: Tensor) -> _Pairs:
    score = scorer.exact(place_P, gallery_P)
    return _Pairs(place_P.cpu().numpy(), gallery_P.cpu().numpy(), score.cpu().numpy(), match=False)


def _go_through_again(
    scorer: BlockScorer, lists: _Pairs, places: Tensor, least: Tensor, top: int, block: int
) -> IntArray:
    """Offers every wrong answer that may reach the list, of the doubtful places only."""
    again = np.isin(lists.place, places.cpu().numpy()) & ~lists.match
    for name in ("place", "gallery", "score", "match"):
        setattr(lists, name, getattr(lists, name)[~again])
    limit = torch.nextafter(least.float(), torch.full_like(least, -torch.inf).float())
    for scores in scorer.blocks(block, places=places):
        line, column = (scores.score_Qb >= limit[:, None]).nonzero(as_tuple=True)
        lists.add(_scored(scorer, places[line], column + scores.start))
        where = lists.cut(top)
    return where
