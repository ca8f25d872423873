"""The weakly supervised triplet loss: bags that share an identity are kin, the rest are not.

Of the released code (arXiv 1904.03845): positives of an image are the images whose candidate sets
intersect its own, itself included; negatives are the rest;

    lossᵢ = max(0, margin + lower median distance to the positives − least distance to a negative),

Euclidean, squared distances clamped at 1e-12 before the root, averaged over the images. Where an
image has no negative the released code fails; here its loss is 0.

Shape letters: N images, D embedding, K candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bagreid.graph.pairwise import squared_distances


def shared_candidates(candidates: Tensor) -> Tensor:
    """Which pairs of images may be the same person.

    Args:
        candidates: ``(N, K)`` int64, padded with −1.

    Returns:
        ``(N, N)`` bool, true where the candidate sets intersect, and on the diagonal.
    """
    # every identity gets a column by its place in the sorted order: unlike torch.unique, which has
    # to wait for a GPU to know how many there are
    ordered, order = candidates.flatten().sort()
    number = torch.cat([ordered.new_zeros(1), (ordered[1:] != ordered[:-1]).cumsum(dim=0)])
    column = torch.empty_like(number).scatter_(0, order, number).view_as(candidates)
    member = torch.zeros(len(candidates), candidates.numel(), device=candidates.device)
    member.scatter_(1, column, (candidates >= 0).float())
    shared: Tensor = (member @ member.T) > 0
    shared.fill_diagonal_(True)
    return shared


def _distance_to(embeddings: Tensor, partner: Tensor) -> Tensor:
    """Distance of each image to one other, differentiably; ``(N, D)``, ``(N,)`` → ``(N,)``."""
    squared = (embeddings - embeddings.index_select(0, partner)).square().sum(dim=1)
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
    positive = shared_candidates(candidates)
    near = positive if labels is None else positive & (labels[:, None] == labels[None, :])
    with torch.no_grad():
        squared = squared_distances(embeddings)
    order = squared.masked_fill(~near, torch.inf).argsort(dim=1)
    middle = order.gather(1, (near.sum(dim=1, keepdim=True) - 1) // 2).squeeze(1)
    stranger = squared.masked_fill(positive, torch.inf).argmin(dim=1)
    # only the two chosen pairs of each image need a gradient
    gap = _distance_to(embeddings, middle) - _distance_to(embeddings, stranger)
    has_negative = ~positive.all(dim=1)
    return ((margin + gap).clamp(min=0) * has_negative).mean()
