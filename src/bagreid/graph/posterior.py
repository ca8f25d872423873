"""Our inference: teacher, neighbours and all bags together, under the bag constraint.

For each image the posterior over its candidates minimises, by mean field, the energy of arXiv
1904.03845 with three changes: the unary term comes from a moving-average teacher and from a prior
over all the bags the image lies in; the minimum is kept soft; and the bag constraint holds in
expectation (`presence`). One sweep is

    q(k) ∝ prior(k) · P_teacher(k)^t · exp(β · Σⱼ a·qⱼ(k)),

where j runs over the other images of the draw, and a is their row-normalised Gaussian likeness,
each image's width being a share of its median squared distance to the others (local scaling,
after Zelnik-Manor and Perona, NIPS 2004). Nothing reaches beyond a draw, so the ranks of a
distributed run, which hold whole draws, infer what one process would.

Shape letters: N images, K candidates, U identities of the batch, G groups, A appearance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bagreid.graph.pairwise import squared_distances
from bagreid.graph.presence import enforce_presence
from bagreid.graph.space import LabelSpace


@dataclass(frozen=True, kw_only=True)
class PosteriorConfig:
    """How the posterior is inferred."""

    neighbour_weight: float = 0.5
    """β: how strongly images of one draw that look alike pull each other; 0 switches it off."""
    neighbour_width: float = 0.25
    """Width of the likeness, as a share of the median squared distance within the draw."""
    sweeps: int = 3
    """Mean-field sweeps over the batch."""
    presence: float = 0.5
    """Least expected number of images that each identity of the bag's label gets in a draw; 0
    switches the bag constraint off."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.neighbour_weight < 0 or self.presence < 0 or self.sweeps < 1:
            raise ValueError("neighbour_weight and presence must be >= 0, sweeps >= 1")
        if self.neighbour_width <= 0:
            raise ValueError("neighbour_width must be positive")


class Posterior(NamedTuple):
    """What was inferred.

    Attributes:
        probability: ``(N, K)``, 0 in the padding, summing to 1 over each row.
        label: ``(N,)`` int64, the likeliest candidate.
        confidence: ``(N,)``, its probability.
    """

    probability: Tensor
    label: Tensor
    confidence: Tensor


@torch.no_grad()
def infer_posterior(
    scores: Tensor,
    candidates: Tensor,
    prior: Tensor,
    appearance: Tensor,
    space: LabelSpace,
    *,
    teacher_weight: float,
    config: PosteriorConfig,
) -> Posterior:
    """Infers the pseudo labels of a batch.

    Args:
        scores: ``(N, K)``, the teacher's logits of the candidates (`candidate_scores`).
        candidates: ``(N, K)`` int64, padded with −1.
        prior: ``(N, K)`` probabilities from the bags, 0 in the padding.
        appearance: ``(N, A)`` low-level features.
        space: The batch's label space.
        teacher_weight: t, how far the teacher is trusted: 0 before it has learned, then 1.
        config: The inference's own options.

    Returns:
        The posterior.
    """
    unary = prior.clamp(min=1e-12).log()
    unary = unary + teacher_weight * scores.masked_fill(space.padding, 0.0)
    wide = space.spread(unary.masked_fill(space.padding, -torch.inf), -torch.inf)
    current = wide.log_softmax(dim=1)
    if config.neighbour_weight > 0 and teacher_weight > 0:
        likeness = draw_affinity(appearance, space.group_of, width=config.neighbour_width)
        strength = config.neighbour_weight * teacher_weight
        for _ in range(config.sweeps):
            current = (wide + strength * (likeness @ current.exp())).log_softmax(dim=1)
    if config.presence > 0:
        current = enforce_presence(current, space.group_of, space.required, floor=config.presence)
    probability = space.collect(current.exp(), 0.0)
    confidence, best = probability.max(dim=1)
    return Posterior(probability, candidates.gather(1, best[:, None]).squeeze(1), confidence)


def draw_affinity(appearance: Tensor, group_of: Tensor, *, width: float) -> Tensor:
    """Row-normalised likeness of images of one draw.

    Args:
        appearance: ``(N, A)``.
        group_of: ``(N, G)`` one-hot.
        width: Width of the kernel, as a share of each image's median squared distance.

    Returns:
        ``(N, N)``: rows sum to 1 (0 for an image alone in its draw), the diagonal is 0.
    """
    distances = squared_distances(appearance)
    together = (group_of @ group_of.T) > 0
    together = together & ~torch.eye(len(distances), dtype=torch.bool, device=distances.device)
    # lower median by sorting: a median with its place has no deterministic form on GPUs
    ordered = distances.masked_fill(~together, torch.inf).sort(dim=1).values
    middle = (together.sum(dim=1, keepdim=True) - 1).clamp(min=0) // 2
    scale = ordered.gather(1, middle)
    usable = (scale > 0) & scale.isfinite()  # not so for an image alone, or all alike
    scale = torch.where(usable, width * scale, torch.ones_like(scale))
    likeness = (-distances / scale).exp().masked_fill(~together, 0.0)
    return likeness / likeness.sum(dim=1, keepdim=True).clamp(min=1e-12)
