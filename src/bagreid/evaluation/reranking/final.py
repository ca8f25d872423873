"""The final distance of queries and gallery images: a share of both, Jaccard's and the original.

Source: Zhong et al., CVPR 2017 (arXiv 1701.08398), equation 12.

Shape letters: Q queries, N images, b images of a block, P pairs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray
from bagreid.evaluation.reranking.decide import Floats
from bagreid.evaluation.reranking.encoding import distances
from bagreid.evaluation.reranking.images import ImageSet
from bagreid.evaluation.reranking.jaccard import Overlap, jaccard_distance

_ROUNDING = 1e-12
"""Far above what rounding to float64 does to a distance of about one."""


class FinalDistance:
    """The distance that re-ranking ranks by.

    Args:
        images: All images.
        overlap: The queries' vectors.
        farthest: ``(Q,)`` float64, the lowest inner product of each query with any image.
        weight: λ, the share of the original distance.

    Attributes:
        error: ``(Q,)`` float64, how far a block's distances can lie from the exact ones.
    """

    def __init__(self, images: ImageSet, overlap: Overlap, farthest: Floats, weight: float) -> None:
        self._images, self._overlap, self._weight = images, overlap, weight
        self._farthest = farthest
        self._features_QD = images.block(0, images.queries)
        most = 1.0 - farthest
        reach = images.product_error() / np.where(most > 0, most, np.inf) + _ROUNDING
        self.error = weight * reach

    def block(self, first: int, stop: int) -> tuple[Floats, Floats]:
        """Distances of all queries from images ``first`` to ``stop``.

        Returns:
            ``(Q, b)`` float64 final distances, from float32 products, and ``(Q, b)`` float64
            Jaccard distances, exact.
        """
        jaccard_Qb = jaccard_distance(self._overlap.shared(np.arange(first, stop)))
        product_Qb = (self._features_QD @ self._images.block(first, stop).T).cpu().numpy()
        distance_Qb = self._mixed(
            product_Qb.astype(np.float64), self._farthest[:, None], jaccard_Qb
        )
        return distance_Qb, jaccard_Qb

    def exact(self, query: IntArray, image: npt.NDArray[np.integer], jaccard: Floats) -> Floats:
        """The ``(P,)`` exact distances of pairs whose Jaccard distance is known."""
        if self._weight == 0.0:
            return jaccard
        product = self._images.products(query, image)
        return self._mixed(product, self._farthest[query], jaccard)

    def _mixed(self, product: Floats, farthest: Floats, jaccard: Floats) -> Floats:
        mixed: Floats = jaccard * (1.0 - self._weight)
        return mixed + distances(product, farthest) * self._weight

    def of_pairs(self, query: IntArray, image: IntArray, size: int) -> Floats:
        """The exact distances of any pairs.

        Args:
            query: ``(P,)`` queries.
            image: ``(P,)`` images.
            size: Images at a time.

        Returns:
            ``(P,)`` float64.
        """
        jaccard = np.empty(len(query))
        asked, column = np.unique(image, return_inverse=True)
        for first in range(0, len(asked), size):
            shared = self._overlap.shared(asked[first : first + size])
            here = np.flatnonzero((column >= first) & (column < first + size))
            jaccard[here] = jaccard_distance(shared[query[here], column[here] - first])
        return self.exact(query, image, jaccard)
