"""The unary term of the energy: what the network says of an image's candidates.

Φ(y|x) = −log P(y|x) for an identity y of the image's bag and infinite for every other one
(arXiv 1904.03845, the unary term of its energy).

Shape letters: N images, K candidates, C identities.
"""

from __future__ import annotations

import torch
from torch import Tensor


def candidate_scores(scores: Tensor, candidates: Tensor) -> Tensor:
    """Each image's scores of its own candidates; −∞ in the padding.

    The additive inverse of the unary cost up to one constant an image, when ``scores`` are logits
    or log probabilities.

    Args:
        scores: ``(N, C)`` floating.
        candidates: ``(N, K)`` int64 identity indices, padded with −1.

    Returns:
        ``(N, K)`` of the scores' dtype.

    Raises:
        ValueError: The shapes do not fit, an index lies outside 0…C−1, or an image has no
            candidate.
    """
    check_candidates(candidates, rows=scores.shape[0], num_classes=scores.shape[1])
    padding = candidates < 0
    gathered = scores.gather(1, candidates.clamp(min=0))
    return gathered.masked_fill(padding, -torch.inf)


def check_candidates(candidates: Tensor, *, rows: int, num_classes: int) -> None:
    """Refuses a candidate table that cannot belong to ``(rows, num_classes)`` scores.

    Only shape and dtype are looked at for a table on a GPU: reading values there would make the
    step wait for the device.

    Raises:
        ValueError: As the name says.
    """
    if candidates.ndim != 2 or candidates.shape[0] != rows:
        raise ValueError(
            f"candidates must be ({rows}, K), one row an image, not {tuple(candidates.shape)}"
        )
    if candidates.dtype != torch.int64:
        raise ValueError(f"candidates must be int64 identity indices, not {candidates.dtype}")
    if candidates.device.type != "cpu" or rows == 0:
        return
    if int(candidates.max()) >= num_classes:
        raise ValueError(
            f"candidate {int(candidates.max())} is not among the {num_classes} identities"
        )
    empty = (candidates < 0).all(dim=1).nonzero().flatten()
    if len(empty):
        raise ValueError(f"image {int(empty[0])} of the batch has no candidate identity")
