"""How much the queries' vectors share with those of a run of images, through inverted lists.

Source: Zhong et al., CVPR 2017 (arXiv 1701.08398), equation 10.

Shape letters: Q queries, N images, b images of a block, E entries.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bagreid.evaluation.reranking.decide import Floats
from bagreid.evaluation.reranking.encoding import Encoding, expand, runs


class Overlap:
    """The queries' vectors, ready to be compared with others.

    Args:
        encoding: The vectors of all images before local query expansion.
        neighbours: ``(N, k2)`` int32, the images each vector is averaged over.
        queries: Q; they are the first images.
    """

    def __init__(self, encoding: Encoding, neighbours: npt.NDArray[np.int32], queries: int) -> None:
        self._encoding, self._neighbours = encoding, neighbours
        self._of_queries = expand(encoding, neighbours[:queries])
        self._queries = queries
        self._wanted = np.zeros(len(neighbours), np.bool_)
        self._wanted[self._of_queries.column] = True

    def shared(self, images: npt.NDArray[np.integer]) -> Floats:
        """The sums of the lesser of both vectors' entries, Σ min(v_q, v_g).

        The terms of a pair are summed by ascending column, whichever images are asked for
        together.

        Args:
            images: ``(b,)`` images.

        Returns:
            ``(Q, b)`` float64, 0 … 1.
        """
        theirs = expand(self._encoding, self._neighbours[images], self._wanted)
        line = np.repeat(np.arange(len(images)), np.diff(theirs.start))
        by_column = np.argsort(theirs.column, kind="stable")
        line, value = line[by_column], theirs.value[by_column]
        edge = np.searchsorted(theirs.column[by_column], np.arange(len(self._wanted) + 1))
        ours = self._of_queries
        shared_Qb = np.zeros((self._queries, len(images)))
        for query in range(self._queries):
            part = slice(ours.start[query], ours.start[query + 1])
            column = ours.column[part]
            count = edge[column + 1] - edge[column]
            entry = runs(edge[column], count)
            lesser = np.minimum(np.repeat(ours.value[part], count), value[entry])
            shared_Qb[query] = np.bincount(line[entry], lesser, minlength=len(images))
        return shared_Qb


def jaccard_distance(shared: Floats) -> Floats:
    """1 − Σ min / Σ max; Σ max is 2 − Σ min, for either vector sums to one."""
    return 1.0 - shared / (2.0 - shared)
