"""The walk over the gallery: one block of scores at a time, left-out pairs below all others.

Shape letters: Q queries, G gallery images, D features, M matches, b images of a block, l lines
(some of the queries), P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bagreid.contracts import IntArray
from bagreid.evaluation.refining import exact_scores, fine_scores
from bagreid.evaluation.relations import Relations
from bagreid.evaluation.scores import FeatureTable, as_rows, pair_scores
from bagreid.evaluation.screening import (
    LEFT_OUT,
    Bfloat16Screen,
    Precision,
    float32_error,
    float_limits,
    in_bfloat16,
    key_limits,
)

Progress = Callable[[int, int], None]
"""Called with the gallery images done and their number."""

_CELLS_AT_ONCE = 2**20
"""Scores looked at together: they stay in the cache, and what is made of them stays small."""

_PATIENCE = 3
"""Blocks of low precision before its use is judged."""

_WASTE = 0.5
"""What bfloat16 may leave undecided before it is dropped, in costs of the float32 product."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreBlock:
    """Scores of some queries against a run of gallery images.

    Attributes:
        scorer: Where it comes from.
        start: Gallery row of the first column.
        rows_bD: ``(b, D)`` float32 features of its images.
        key_Qb: ``(Q, b)`` float32 scores, or int16 keys of low-precision ones (`ordered`);
            overwritten by the next block.
        best_Q: ``(Q,)`` the highest of each query: most queries have nothing to count in most
            blocks, and this shows it for a tenth of the price of counting.
        error_Q: ``(Q,)`` float64, how far a key's score can lie from the float64 one.
        fine_error_Q: ``(Q,)`` float64, the same for float32.
        centre_Q: ``(Q,)`` float64, what keys' scores are less by; None for float32.
    """

    scorer: BlockScorer
    start: int
    rows_bD: Tensor
    key_Qb: Tensor
    best_Q: Tensor
    error_Q: Tensor
    fine_error_Q: Tensor
    centre_Q: Tensor | None

    @property
    def is_fine(self) -> bool:
        """Whether the scores are in float32 already."""
        return self.centre_Q is None

    def limits(self, value_n: Tensor) -> tuple[Tensor, Tensor]:
        """Limits for the first n queries: a key below the first is surely of a lower score.

        Args:
            value_n: ``(n,)`` float64 scores to compare with.

        Returns:
            Two ``(n,)`` of the keys' type; from the second on a score surely is no lower.
        """
        error_n = self.error_Q[: len(value_n)]
        if self.centre_Q is None:
            return float_limits(value_n, error_n)
        return key_limits(value_n - self.centre_Q[: len(value_n)], error_n)

    def fine(self, place_P: Tensor, column_P: Tensor) -> Tensor:
        """``(P,)`` float32 scores of pairs, the places ascending."""
        if self.is_fine:
            return self.key_Qb[place_P, column_P]
        score_P, cost = fine_scores(self.scorer.features_QD, self.rows_bD, place_P, column_P)
        self.scorer.spent += cost
        return score_P

    def fine_lines(self, places: Tensor) -> Tensor:
        """``(l, b)`` float32 scores of whole lines, left-out pairs at −∞."""
        if self.is_fine:
            return self.key_Qb[places]
        score_lb = self.scorer.features_QD[places] @ self.rows_bD.T
        self.scorer.spent += len(places) / len(self.key_Qb)
        return score_lb.masked_fill_(self.key_Qb[places] == LEFT_OUT, -torch.inf)

    def exact(self, place_P: Tensor, column_P: Tensor) -> Tensor:
        """``(P,)`` float64 scores of pairs."""
        scorer, gallery_P = self.scorer, column_P + self.start
        return exact_scores(scorer.queries, scorer.gallery, scorer.row[place_P], gallery_P)


class BlockScorer:
    """Scores all queries against the gallery, with the queries that have most matches first.

    In that order the queries that have a k-th match are a leading slice, for every k. A query's
    number in that order is called its place here; `row` leads back to its row in the input.

    Args:
        queries: The query features.
        gallery: The gallery features.
        relations: Matches are left out of the blocks (their own scores count them), as are pairs
            of the same identity and camera, junk, and what is broken on either side.
        precision: What to screen in.
    """

    def __init__(
        self,
        queries: FeatureTable,
        gallery: FeatureTable,
        relations: Relations,
        precision: Precision = "auto",
    ) -> None:
        self.queries, self.gallery = queries, gallery
        self.matches_of = np.bincount(relations.match_query, minlength=queries.count)
        order = np.argsort(-self.matches_of, kind="stable")
        self.place = np.empty_like(order)
        self.place[order] = np.arange(len(order))
        self.row = as_rows(order, queries.device)
        features_QD = queries.block(0, queries.count)
        norm_Q: Tensor = torch.linalg.vector_norm(features_QD, dim=1)
        queries.check(norm_Q, features_QD, 0)
        self._norm_Q = norm_Q[self.row]
        self.features_QD = features_QD[self.row]
        self.centre_Q = torch.zeros_like(self._norm_Q, dtype=torch.float64)
        self._low = in_bfloat16(precision, queries.count, queries.dim, queries.device)
        self._hide(relations)
        self._largest = norm_Q.new_zeros(())
        self.spent, self._low_blocks = 0.0, 0

    def _hide(self, relations: Relations) -> None:
        query = np.concatenate([relations.match_query, relations.same_camera_query])
        gallery = np.concatenate([relations.match_gallery, relations.same_camera_gallery])
        by_gallery = np.argsort(gallery, kind="stable")
        self._hidden_place = self.place[query[by_gallery]]
        self._hidden_gallery = gallery[by_gallery]
        self._unranked = np.union1d(relations.junk, relations.broken_gallery)
        self._blind = as_rows(self.place[relations.broken_query], self.row.device)

    def blocks(
        self,
        size: int,
        *,
        span: range | None = None,
        places: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Iterator[ScoreBlock]:
        """The blocks of a run of the gallery, in order.

        The first is scored in float32; `centre_Q` may be set when it is through.

        Args:
            size: Gallery images a block.
            span: Gallery rows to go over; all where None.
            places: ``(q,)`` places of the queries to score, in float32; all where None.
            progress: Told after each block.

        Yields:
            One block; use it before asking for the next.
        """
        span = range(self.gallery.count) if span is None else span
        features = self.features_QD if places is None else self.features_QD[places]
        buffer = features.new_empty(len(features) * min(size, len(span)))
        screen: Bfloat16Screen | None = None
        for start in range(span.start, span.stop, size):
            stop = min(start + size, span.stop)
            if places is None and start == span.start + size:
                screen = self._screen(size)
            rows_bD = self.gallery.block(start, stop)
            if screen is not None:
                yield self._low_block(screen, rows_bD, start)
                screen = screen if self._pays() else None
            else:
                yield self._fine_block(features, rows_bD, start, places, buffer)
            if progress is not None:
                progress(stop - span.start, len(span))

    def _screen(self, size: int) -> Bfloat16Screen | None:
        if not self._low:
            return None
        screen = Bfloat16Screen(self.features_QD, self.centre_Q, size)
        return screen if screen.is_sound() else None

    def _pays(self) -> bool:
        """Whether low precision leaves little enough undecided to go on with it."""
        self._low_blocks += 1
        return self._low_blocks < _PATIENCE or self.spent <= _WASTE * self._low_blocks

    def _low_block(self, screen: Bfloat16Screen, rows_bD: Tensor, start: int) -> ScoreBlock:
        norms = screen.round_block(rows_bD)
        self.gallery.check(norms.whole, rows_bD, start)
        key_Qb = screen.scores(len(rows_bD))
        self._leave_out(key_Qb, start, None)
        error_Q = screen.error(norms.largest())
        fine_error_Q = self._float32_error(norms.whole.amax(), None)
        return ScoreBlock(
            self, start, rows_bD, key_Qb, key_Qb.amax(1), error_Q, fine_error_Q, screen.centre_Q
        )

    def _fine_block(
        self, features: Tensor, rows_bD: Tensor, start: int, places: Tensor | None, buffer: Tensor
    ) -> ScoreBlock:
        norms: Tensor = torch.linalg.vector_norm(rows_bD, dim=1)
        self.gallery.check(norms, rows_bD, start)
        score_Qb = buffer[: len(features) * len(rows_bD)].view(len(features), len(rows_bD))
        torch.mm(features, rows_bD.T, out=score_Qb)
        self._leave_out(score_Qb, start, places)
        error_Q = self._float32_error(norms.amax(), places)
        return ScoreBlock(self, start, rows_bD, score_Qb, score_Qb.amax(1), error_Q, error_Q, None)

    def _float32_error(self, largest: Tensor, places: Tensor | None) -> Tensor:
        self._largest = torch.maximum(self._largest, largest)
        norm_Q = self._norm_Q if places is None else self._norm_Q[places]
        return float32_error(norm_Q, largest, self.gallery.dim)

    def _leave_out(self, score_Qb: Tensor, start: int, places: Tensor | None) -> None:
        nothing = LEFT_OUT if score_Qb.dtype == torch.int16 else -torch.inf
        edges = [start, start + score_Qb.shape[1]]
        low, high = np.searchsorted(self._unranked, edges)
        if high > low:
            score_Qb[:, as_rows(self._unranked[low:high] - start, score_Qb.device)] = nothing
        if places is None:  # no list of a query that could not be seen is ever in doubt
            score_Qb[self._blind] = nothing
        low, high = np.searchsorted(self._hidden_gallery, edges)
        line = as_rows(self._hidden_place[low:high], score_Qb.device)
        column = as_rows(self._hidden_gallery[low:high] - start, score_Qb.device)
        if places is not None:
            line_of = line.new_full((self.queries.count,), -1)
            line_of[places] = torch.arange(len(places), device=places.device)
            line = line_of[line]
            column, line = column[line >= 0], line[line >= 0]
        score_Qb[line, column] = nothing

    def places(self, query: IntArray) -> Tensor:
        """The places of some rows of the input, ``(n,)`` int64."""
        return as_rows(self.place[query], self.row.device)

    def exact(self, place_P: Tensor, gallery_P: Tensor) -> Tensor:
        """The float64 scores of ``(P,)`` pairs of a query's place and a gallery row."""
        return pair_scores(self.queries, self.gallery, self.row[place_P], gallery_P)

    def error(self) -> Tensor:
        """``(Q,)`` float64 bounds of float32 scores, for every block seen so far, by place."""
        return float32_error(self._norm_Q, self._largest, self.gallery.dim)


def block_size(queries: int, dim: int) -> int:
    """Gallery images a block: so few that their scores, and they themselves, stay in the cache."""
    return max(256, min(4096, 2**22 // queries, 2**24 // dim))


def line_parts(lines: Tensor, block: ScoreBlock) -> tuple[Tensor, ...]:
    """The lines in parts of so few that all their scores in the block can be looked at together."""
    return torch.split(lines, max(1, _CELLS_AT_ONCE // block.key_Qb.shape[1]))
