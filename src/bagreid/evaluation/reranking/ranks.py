"""Ranks by the final distance: counted block by block, no Q × G table is held.

Which pairs are left out, what is broken and how ties are ranked is as in the plain ranking: see
`bagreid.evaluation.counting`.

Shape letters: Q queries that can be seen, M matches, S of them that can be seen, b images of a
block, P pairs, T length of the lists of best answers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bagreid.contracts import IntArray
from bagreid.evaluation import toplist
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.counting import Counted
from bagreid.evaluation.relations import Relations
from bagreid.evaluation.reranking.decide import Floats
from bagreid.evaluation.reranking.final import FinalDistance
from bagreid.evaluation.reranking.images import ImageSet


def count_reranked(
    images: ImageSet,
    final: FinalDistance | None,
    relations: Relations,
    *,
    top: int,
    size: int,
    ties: toplist.Ties = "pessimistic",
    progress: Progress | None = None,
) -> Counted:
    """Counts the rank of every match by the final distance, and keeps every query's best answers.

    Args:
        images: All images that take part.
        final: Their distances; None where no query or no gallery image can be seen.
        relations: Which pairs are matches, which are left out, and what is broken.
        top: T.
        size: Images of a block.
        ties: Where matches stand among wrong answers of the same distance, in the lists.
        progress: Told the gallery images done and their number.

    Returns:
        Ranks and lists, by query; a score is one minus the final distance.
    """
    ranks = _Ranks(images, final, relations, top, size)
    gallery = images.count - images.queries
    for first in range(0, gallery if final else 0, size):
        stop = min(first + size, gallery)
        assert final is not None
        ranks.take(final, images.queries + first, images.queries + stop)
        if progress is not None:
            progress(stop, gallery)
    return ranks.result(ties)


class _Ranks:
    """The state of the count."""

    def __init__(
        self,
        images: ImageSet,
        final: FinalDistance | None,
        relations: Relations,
        top: int,
        size: int,
    ) -> None:
        self._images, self._top = images, top
        query, image = images.numbers(relations.match_query, relations.match_gallery)
        seen = (query >= 0) & (image >= 0)
        distance_M = np.full(len(query), np.inf)
        if final is not None:
            distance_M[seen] = final.of_pairs(query[seen], image[seen], size)
        order = np.lexsort((relations.match_gallery, distance_M, relations.match_query))
        self._relations = replace(
            relations,
            match_query=relations.match_query[order],
            match_gallery=relations.match_gallery[order],
        )
        self._distance_M = distance_M[order]
        self._seen = np.flatnonzero(seen[order])
        self._limits = self._distance_M[self._seen]
        self._edge = np.searchsorted(query[order][self._seen], np.arange(images.queries + 1))
        self._higher, self._equal = np.zeros((2, len(self._seen)), np.int64)
        self._undecided = 0
        self._best_QT = np.full((images.queries, top), np.inf)
        self._image_QT = np.full((images.queries, top), -1, np.int64)
        self._hide(relations)

    def _hide(self, relations: Relations) -> None:
        query, image = self._images.numbers(
            np.concatenate([relations.match_query, relations.same_camera_query]),
            np.concatenate([relations.match_gallery, relations.same_camera_gallery]),
        )
        both = np.flatnonzero((query >= 0) & (image >= 0))
        both = both[np.argsort(image[both], kind="stable")]
        self._hidden_query, self._hidden_image = query[both], image[both]
        junk = self._images.numbers(np.zeros(0, np.int64), relations.junk)[1]
        self._junk = junk[junk >= 0]

    def take(self, final: FinalDistance, first: int, stop: int) -> None:
        """Counts images ``first`` to ``stop``."""
        distance_Qb, jaccard_Qb = final.block(first, stop)
        low, high = np.searchsorted(self._hidden_image, [first, stop])
        distance_Qb[self._hidden_query[low:high], self._hidden_image[low:high] - first] = np.inf
        low, high = np.searchsorted(self._junk, [first, stop])
        distance_Qb[:, self._junk[low:high] - first] = np.inf
        errors = final.error.tolist()
        found = [self._sift(query, row_b, errors[query]) for query, row_b in enumerate(distance_Qb)]
        query_P = np.repeat(np.arange(len(found)), [len(columns) for columns in found])
        column_P = np.concatenate(found)
        exact_P = final.exact(query_P, column_P + first, jaccard_Qb[query_P, column_P])
        start = np.searchsorted(query_P, np.arange(len(found) + 1))
        for query in np.unique(query_P):
            part = slice(start[query], start[query + 1])
            approximate = distance_Qb[query, column_P[part]]
            self._settle(query, approximate, exact_P[part], errors[query])
            self._list(query, exact_P[part], column_P[part] + first)

    def _sift(self, query: int, row_b: Floats, error: float) -> IntArray:
        """Counts what the approximate distances decide; returns the columns that need exact ones.

        These are the columns that may tie with a match, and those that may be among the best.
        """
        limits = self._limits[self._edge[query] : self._edge[query + 1]]
        last = self._best_QT[query, -1]
        reach = max(last, limits[-1] if len(limits) else -np.inf) + error
        columns = np.flatnonzero((row_b <= reach) & (row_b < np.inf))
        value = row_b[columns]
        low, high = _between(limits, value, error)
        clear = low == high
        self._add(self._higher, query, low[clear])
        hopeful = value <= last + error
        if np.count_nonzero(hopeful) > self._top:
            enough = np.partition(value[hopeful], self._top - 1)[self._top - 1]
            hopeful &= value <= enough + 2 * error
        needed: IntArray = columns[hopeful | ~clear]
        return needed

    def _settle(self, query: int, approximate: Floats, exact: Floats, error: float) -> None:
        """Counts what only the exact distances decide."""
        limits = self._limits[self._edge[query] : self._edge[query + 1]]
        low, high = _between(limits, approximate, error)
        value = exact[low != high]
        behind = np.searchsorted(limits, value, "right")
        self._add(self._higher, query, behind)
        self._add(self._equal, query, np.searchsorted(limits, value, "left"))
        self._add(self._equal, query, behind, -1)
        self._undecided += len(value)

    def _add(self, count_S: IntArray, query: int, place: IntArray, by: int = 1) -> None:
        """Adds each wrong answer to the matches from its place on."""
        matches = slice(self._edge[query], self._edge[query + 1])
        number = matches.stop - matches.start
        count_S[matches] += by * np.cumsum(np.bincount(place, minlength=number + 1)[:number])

    def _list(self, query: int, distance: Floats, image: IntArray) -> None:
        distance = np.concatenate([self._best_QT[query], distance])
        image = np.concatenate([self._image_QT[query], image])
        order = np.lexsort((image, distance))[: self._top]
        self._best_QT[query], self._image_QT[query] = distance[order], image[order]

    def result(self, ties: toplist.Ties) -> Counted:
        """What was counted, by query as the caller numbers them."""
        relations, images = self._relations, self._images
        query_M = relations.match_query
        gallery = len(images.gallery_rows) + len(relations.broken_gallery)
        higher_M = relations.kept(query_M, gallery)  # of a match that nobody saw
        higher_M[self._seen] = self._higher
        equal_M = np.zeros_like(higher_M)
        equal_M[self._seen] = self._equal
        queries = len(images.query_rows) + len(relations.broken_query)
        index_QT, minus_QT = self._answers().table(queries, self._top, ties)
        return Counted(
            match_query=query_M,
            match_gallery=relations.match_gallery,
            match_score=1.0 - self._distance_M,
            higher=higher_M,
            equal=equal_M,
            top_index=index_QT,
            top_score=1.0 + minus_QT,
            undecided=self._undecided,
        )

    def _answers(self) -> toplist.Lists:
        """Wrong answers and matches that may be among a query's best, by minus the distance."""
        relations, images = self._relations, self._images
        query, slot = np.nonzero(self._image_QT >= 0)
        wrong = toplist.Lists.of(
            images.query_rows[query],
            images.gallery_rows[self._image_QT[query, slot] - images.queries],
            -self._best_QT[query, slot],
            match=False,
        )
        right = toplist.Lists.of(
            relations.match_query[self._seen],
            relations.match_gallery[self._seen],
            -self._limits,
            match=True,
        )
        return toplist.joined([wrong, right])


def _between(limits: Floats, value: Floats, error: float) -> tuple[IntArray, IntArray]:
    """How many limits lie surely below each value, and how many do not lie surely above it."""
    low = np.searchsorted(limits, value - error, "left")
    return low, np.searchsorted(limits, value + error, "right")
