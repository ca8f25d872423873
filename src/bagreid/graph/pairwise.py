"""The pairwise term of the energy: images that look alike should not part.

Ψ(yᵢ, yⱼ) penalises different identities for a pair by exp(−‖aᵢ−aⱼ‖²/σ), a Gaussian kernel on
low-level appearance (arXiv 1904.03845, the pairwise term of its energy).

Shape letters: N images, A appearance features.
"""

from __future__ import annotations

import torch
from torch import Tensor


def squared_distances(features: Tensor) -> Tensor:
    """Squared Euclidean distances of all ordered pairs.

    Args:
        features: ``(N, A)`` floating.

    Returns:
        ``(N, N)``, never negative, differentiable; the diagonal is zero up to rounding.
    """
    # a difference of large numbers: never in the 16 bits of autocast
    with torch.autocast(features.device.type, enabled=False):
        norms = features.square().sum(dim=1)
        products = features @ features.T
        return (norms[:, None] + norms[None, :] - 2 * products).clamp(min=0)


def gaussian_affinity(appearance: Tensor, *, sigma: float) -> Tensor:
    """Likeness of all ordered pairs, exp(−‖aᵢ−aⱼ‖²/σ).

    Args:
        appearance: ``(N, A)`` floating.
        sigma: Width of the kernel, in squared units of the features; the release uses 1.

    Returns:
        ``(N, N)`` in (0, 1], symmetric, differentiable.

    Raises:
        ValueError: ``sigma`` is not positive.
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    return (-squared_distances(appearance) / sigma).exp()
