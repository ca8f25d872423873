"""The weakly supervised triplet loss: bags that share an identity are kin, the rest are not.

Of the released code (arXiv 1904.03845): positives of an image are the images whose candidate sets
intersect its own, itself included; negatives are the rest;

    lossᵢ = max(0, margin + lower median distance to the positives − least distance to a negative),

Euclidean, squared distances clamped at 1e-12 before the root, averaged over the images. Where an
image has no negative the released code fails; here its loss is 0.

Shape letters: N images, D embedding, K candidates, U identities of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def shared_candidates(candidates: Tensor) -> Tensor:
    """Which pairs of images may be the same person.

    Args:
        candidates: ``(N, K)`` int64, padded with −1.

    Returns:
        ``(N, N)`` bool, true where the candidate sets intersect, and on the diagonal.
    """
    n = len(candidates)
    if candidates.shape[1] == 1:
        shared = (candidates == candidates.T) & (candidates >= 0)
    else:
        identities, column = torch.unique(candidates, return_inverse=True)
        member = torch.zeros(n, len(identities), device=candidates.device)
        member.scatter_(1, column, (candidates >= 0).float())
        shared = (member @ member.T) > 0
    shared.fill_diagonal_(True)
    return shared


def _distances(embeddings: Tensor) -> Tensor:
    """``(N, D)`` → ``(N, N)`` Euclidean distances, at least 1e-6, in the embeddings' precision."""
    # a difference of large numbers: never in the 16 bits of autocast
    with torch.autocast(embeddings.device.type, enabled=False):
        norms = embeddings.square().sum(dim=1)
        squared = norms[:, None] + norms[None, :] - 2 * (embeddings @ embeddings.T)
        return squared.clamp(min=1e-12).sqrt()


def weak_triplet_loss(
    embeddings: Tensor, candidates: Tensor, *, margin: float, labels: Tensor | None = None
) -> Tensor:
    """Pulls the median possible kin closer than the nearest certain stranger, by a margin.

    Args:
        embeddings: ``(N, D)`` floating.
        candidates: ``(N, K)`` int64 identity indices, padded with −1.
        margin: Least gap, in the unit of the embeddings' Euclidean distance.
        labels: ``(N,)`` pseudo labels. With them an image's positives are only the images of its
            own label; negatives stay the certain strangers, so that a wrong label never pushes
            two images of one person apart.

    Returns:
        Scalar, at least 0; exactly 0 (with zero gradient) if no image has a negative.

    Raises:
        ValueError: The numbers of images differ.

    Example:
        >>> candidates = torch.tensor([[0, 1], [1, -1], [7, -1]])
        >>> weak_triplet_loss(torch.randn(3, 16), candidates, margin=0.3)
    """
    if len(embeddings) != len(candidates):
        raise ValueError(f"{len(embeddings)} embeddings, candidates of {len(candidates)} images")
    distances = _distances(embeddings)
    positive = shared_candidates(candidates)
    near = positive if labels is None else positive & (labels[:, None] == labels[None, :])
    ordered = distances.masked_fill(~near, torch.inf).sort(dim=1).values
    middle = (near.sum(dim=1) - 1) // 2
    to_positive = ordered.gather(1, middle[:, None]).squeeze(1)
    has_negative = ~positive.all(dim=1)
    # a finite stand-in where there is no negative keeps the gradient free of inf − inf
    stranger = distances.masked_fill(positive, torch.inf).amin(dim=1)
    stranger = torch.where(has_negative, stranger, torch.zeros_like(stranger))
    hinge = (margin + to_positive - stranger).clamp(min=0)
    return torch.where(has_negative, hinge, torch.zeros_like(hinge)).mean()
