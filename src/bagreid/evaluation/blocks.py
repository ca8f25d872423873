"""The walk over the gallery: one block of scores at a time, left-out pairs at −∞.

Shape letters: Q queries, G gallery images, M matches, b images of a block, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bagreid.evaluation.relations import Relations
from bagreid.evaluation.scores import FeatureTable, as_rows, pair_scores, score_error

Progress = Callable[[int, int], None]
"""Called with the gallery images done and their number."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreBlock:
    """Scores of some queries against a run of gallery images.

    Attributes:
        start: Gallery row of the first column.
        score_Qb: ``(Q, b)`` float32; overwritten by the next block.
        best_Q: ``(Q,)`` float32, the highest score of each query: most queries have nothing to
            count in most blocks, and this shows it for a tenth of the price of counting.
        error_Q: ``(Q,)`` float64, how far a score can lie from the float64 one.
    """

    start: int
    score_Qb: Tensor
    best_Q: Tensor
    error_Q: Tensor


class BlockScorer:
    """Scores all queries against the gallery, with the queries that have most matches first.

    In that order the queries that have a k-th match are a leading slice, for every k. A query's
    number in that order is called its place here; `row` leads back to its row in the input.

    Args:
        queries: The query features.
        gallery: The gallery features.
        relations: Matches are left out of the blocks (their own scores count them), as are pairs
            of the same identity and camera, junk, and what is broken on either side.
    """

    def __init__(self, queries: FeatureTable, gallery: FeatureTable, relations: Relations) -> None:
        self.queries, self.gallery = queries, gallery
        self.matches_of = np.bincount(relations.match_query, minlength=queries.count)
        order = np.argsort(-self.matches_of, kind="stable")
        self.place = np.empty_like(order)
        self.place[order] = np.arange(len(order))
        self.row = as_rows(order, queries.device)
        features_QD = queries.block(0, queries.count)
        self._norm_Q = queries.norms(features_QD, 0)[self.row]
        self._features_QD = features_QD[self.row]
        self._hide(relations)
        self.largest_norm = 0.0

    def _hide(self, relations: Relations) -> None:
        query = np.concatenate([relations.match_query, relations.same_camera_query])
        gallery = np.concatenate([relations.match_gallery, relations.same_camera_gallery])
        by_gallery = np.argsort(gallery, kind="stable")
        self._hidden_place = self.place[query[by_gallery]]
        self._hidden_gallery = gallery[by_gallery]
        self._unranked = np.union1d(relations.junk, relations.broken_gallery)
        self._blind = as_rows(self.place[relations.broken_query], self.row.device)

    def blocks(
        self, size: int, *, places: Tensor | None = None, progress: Progress | None = None
    ) -> Iterator[ScoreBlock]:
        """All blocks in gallery order.

        Args:
            size: Gallery images a block.
            places: ``(q,)`` places of the queries to score; all where None.
            progress: Told after each block.

        Yields:
            One block; use it before asking for the next.
        """
        features = self._features_QD if places is None else self._features_QD[places]
        norms = self._norm_Q if places is None else self._norm_Q[places]
        buffer = features.new_empty(len(features) * min(size, self.gallery.count))
        for start in range(0, self.gallery.count, size):
            block_bD = self.gallery.block(start, min(start + size, self.gallery.count))
            norm = float(self.gallery.norms(block_bD, start).max())
            self.largest_norm = max(self.largest_norm, norm)
            score_Qb = buffer[: len(features) * len(block_bD)].view(len(features), len(block_bD))
            torch.mm(features, block_bD.T, out=score_Qb)
            self._leave_out(score_Qb, start, places)
            error_Q = score_error(norms, norm, self.gallery.dim)
            yield ScoreBlock(start, score_Qb, score_Qb.amax(1), error_Q)
            if progress is not None:
                progress(start + len(block_bD), self.gallery.count)

    def _leave_out(self, score_Qb: Tensor, start: int, places: Tensor | None) -> None:
        edges = [start, start + score_Qb.shape[1]]
        low, high = np.searchsorted(self._unranked, edges)
        if high > low:
            score_Qb[:, as_rows(self._unranked[low:high] - start, score_Qb.device)] = -torch.inf
        if places is None:  # no list of a query that could not be seen is ever in doubt
            score_Qb[self._blind] = -torch.inf
        low, high = np.searchsorted(self._hidden_gallery, edges)
        line = as_rows(self._hidden_place[low:high], score_Qb.device)
        column = as_rows(self._hidden_gallery[low:high] - start, score_Qb.device)
        if places is not None:
            line_of = line.new_full((self.queries.count,), -1)
            line_of[places] = torch.arange(len(places), device=places.device)
            line = line_of[line]
            column, line = column[line >= 0], line[line >= 0]
        score_Qb[line, column] = -torch.inf

    def exact(self, place_P: Tensor, gallery_P: Tensor) -> Tensor:
        """The float64 scores of ``(P,)`` pairs of a query's place and a gallery row."""
        return pair_scores(self.queries, self.gallery, self.row[place_P], gallery_P)

    def error(self) -> Tensor:
        """``(Q,)`` float64 bounds that hold for every block seen so far, by place."""
        return score_error(self._norm_Q, self.largest_norm, self.gallery.dim)


def block_size(queries: int) -> int:
    """Gallery images a block: about 16 MiB of scores, so that they stay in the cache."""
    return max(256, min(4096, 2**22 // queries))
