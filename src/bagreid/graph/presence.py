"""The bag constraint: every identity of a bag's label appears in the bag.

The energy of arXiv 1904.03845 is minimised under this constraint. Its relaxed form here: among
the images drawn from a bag, the expected number of images of each identity of the bag's label is
at least a given floor. The nearest such posterior, in Kullback-Leibler divergence, has the form
q'ᵢₖ ∝ qᵢₖ·exp(λₖ) with λ ≥ 0, and λₖ > 0 only where the floor binds; λ is found by iterative
scaling, multiplying each identity by floor/share until the shares suffice.

Shape letters: N images, U identities of the batch, G groups (each drawn from one bag).
"""

from __future__ import annotations

import torch
from torch import Tensor

_NEVER = 1e-20
"""A share below this is an identity that no image of the group has as candidate."""


def enforce_presence(
    log_posterior: Tensor,
    group_of: Tensor,
    required: Tensor,
    *,
    floor: float,
    iterations: int = 20,
) -> Tensor:
    """Moves the posterior as little as needed to give each required identity its floor.

    Args:
        log_posterior: ``(N, U)`` floating, −∞ where an identity is no candidate.
        group_of: ``(N, G)`` one-hot, the group of each image.
        required: ``(G, U)`` bool, the identities of each group's bag label.
        floor: Least expected number of images of each identity in its group. A group of n images
            from a bag of m identities cannot give all of them more than n/m, so no more than half
            of that is asked.
        iterations: Steps of the scaling; each brings the shares closer to the floor.

    Returns:
        ``(N, U)``, the new log posterior, normalised over each row. An identity that no image of
        the group has as candidate cannot be helped and is left alone.
    """
    group_of = group_of.to(log_posterior.dtype)
    sizes = group_of.sum(dim=0)
    most = 0.5 * sizes / required.sum(dim=1).clamp(min=1)
    floors = most.clamp(max=floor)[:, None]
    current = log_posterior.log_softmax(dim=1)
    tilt = torch.zeros_like(required, dtype=log_posterior.dtype)
    for _ in range(iterations):
        share = group_of.T @ current.exp()
        helped = required & (share > _NEVER)
        step = (floors / share.clamp(min=_NEVER)).log()
        tilt = torch.where(helped, (tilt + step).clamp(min=0), tilt)
        current = (log_posterior + group_of @ tilt).log_softmax(dim=1)
    return current
