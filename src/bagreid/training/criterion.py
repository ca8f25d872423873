"""The losses of one step, over the images of all ranks.

Under many processes each rank gathers everybody's rows and computes the same loss; `gather_rows`
sees to it that DDP's average of the gradients is the gradient of that loss.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bagreid.losses import graph_terms, weak_triplet_loss
from bagreid.models import ModelOutput
from bagreid.training.config import LossConfig
from bagreid.training.supervision import Targets
from bagreid.world import World, gather_rows


class LossTerms(NamedTuple):
    """The loss of a global batch and its terms, each a scalar; only ``total`` has a gradient."""

    total: Tensor
    unary: Tensor
    pairwise: Tensor
    triplet: Tensor


def compute_loss(
    output: ModelOutput, targets: Targets, config: LossConfig, world: World
) -> LossTerms:
    """Weighs the graph loss and the weak triplet loss of the global batch.

    Args:
        output: This rank's network output.
        targets: This rank's targets.
        config: The weights.
        world: Who computes with whom.

    Returns:
        The terms, equal on every rank.
    """
    targets = Targets(*(_gather(part, world) for part in _parts(targets)))
    logits = gather_rows(output.logits, world)
    appearance = gather_rows(output.appearance, world) if config.pairwise_weight else None
    unary, pairwise = graph_terms(
        logits, targets.identity, targets.weight, targets.label, appearance, sigma=config.sigma
    )
    if config.label_smoothing:
        unary = _smooth(logits, unary, targets, config.label_smoothing)
    total = config.graph_weight * (unary + config.pairwise_weight * pairwise)
    triplet = logits.new_zeros(())
    if config.triplet_weight:
        embedding = gather_rows(output.embedding, world)
        if config.triplet_normalised:
            embedding = F.normalize(embedding)
        labels = targets.label if config.triplet_kin == "pseudo_labels" else None
        triplet = weak_triplet_loss(
            embedding, targets.kin, margin=config.triplet_margin, labels=labels
        )
        total = total + config.triplet_weight * triplet
    return LossTerms(total, unary.detach(), pairwise.detach(), triplet.detach())


def _parts(targets: Targets) -> tuple[Tensor, ...]:
    return (targets.identity, targets.weight, targets.label, targets.confidence, targets.kin)


@torch.no_grad()
def _gather(part: Tensor, world: World) -> Tensor:
    return gather_rows(part, world)


def _smooth(logits: Tensor, unary: Tensor, targets: Targets, share: float) -> Tensor:
    """The unary term with a share of each image's target spread over all identities.

    Label smoothing (arXiv 1512.00567): cross-entropy against (1−s)·target + s/C.
    """
    mass = targets.weight.sum(dim=1)
    even = ((logits.logsumexp(dim=1) - logits.mean(dim=1)) * mass).mean()
    return (1 - share) * unary + share * even
