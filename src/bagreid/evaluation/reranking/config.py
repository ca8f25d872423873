"""What re-ranking can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranking:
    """The parameters of k-reciprocal re-ranking; the defaults are the paper's.

    Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017
    (arXiv 1701.08398), section 4.
    """

    k1: int = 20
    """How many nearest neighbours, the image itself not counted, may be k-reciprocal ones."""

    k2: int = 6
    """Over how many nearest neighbours, itself included, an image's encoding is averaged."""

    original_weight: float = 0.3
    """λ: the share of the original distance in the final one; the rest is the Jaccard distance."""

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1:
            raise ValueError("k1 and k2 must be at least 1")
        if not 0.0 <= self.original_weight <= 1.0:
            raise ValueError("the weight of the original distance must lie between 0 and 1")

    @property
    def half(self) -> int:
        """Neighbours that a candidate's own set is made of: k1/2, a half rounded to even."""
        return round(self.k1 / 2)

    @property
    def listed(self) -> int:
        """How many nearest images, itself included, must be known of every image."""
        return max(self.k1 + 1, self.k2)
