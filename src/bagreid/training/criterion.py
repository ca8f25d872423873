"""The losses of one part of a batch, over the images of all ranks.

Under many processes each rank gathers everybody's rows and computes the same loss; `gather_rows`
sees to it that DDP's average of the gradients is the gradient of that loss.

A network with several classifiers (MGN) is given the mean of the graph losses of all of them, and
the mean of the triplet losses of its three global features, as the release does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bagreid.losses import graph_terms, weak_triplet_loss
from bagreid.models import MgnOutput, ModelOutput
from bagreid.training.config import LossConfig
from bagreid.training.supervision import Targets
from bagreid.world import World, gather_rows


class LossTerms(NamedTuple):
    """The loss of a global batch and its terms, each a scalar; only ``total`` has a gradient."""

    total: Tensor
    unary: Tensor
    pairwise: Tensor
    triplet: Tensor


def heads_of(output: ModelOutput | MgnOutput) -> tuple[Tensor, ...]:
    """The logits of each classifier of a network, each ``(N, C)``."""
    return output.head_logits if isinstance(output, MgnOutput) else (output.logits,)


def compute_loss(
    output: ModelOutput | MgnOutput,
    targets: Sequence[Targets],
    config: LossConfig,
    world: World,
    counts: Sequence[int] | None = None,
) -> LossTerms:
    """Weighs the graph loss and the weak triplet loss of the images of all ranks.

    Args:
        output: This rank's network output.
        targets: This rank's targets, of each of `heads_of`; the triplet loss takes the first's
            kin, and labels where it is told to.
        config: The weights.
        world: Who computes with whom.
        counts: Images of each rank; None: all have as many.

    Returns:
        The terms, equal on every rank.
    """
    appearance = gather_rows(output.appearance, world, counts) if config.pairwise_weight else None
    gathered = [_gather(each, world, counts) for each in targets]
    terms = [
        _of_head(gather_rows(logits, world, counts), each, appearance, config)
        for logits, each in zip(heads_of(output), gathered, strict=True)
    ]
    unary, pairwise = (_mean([term[place] for term in terms]) for place in (0, 1))
    total = config.graph_weight * (unary + config.pairwise_weight * pairwise)
    triplet = unary.new_zeros(())
    if config.triplet_weight:
        features = output.global_features if isinstance(output, MgnOutput) else (output.embedding,)
        triplet = _mean(
            [_triplet(gather_rows(each, world, counts), gathered[0], config) for each in features]
        )
        total = total + config.triplet_weight * triplet
    return LossTerms(total, unary.detach(), pairwise.detach(), triplet.detach())


def _of_head(
    logits: Tensor, targets: Targets, appearance: Tensor | None, config: LossConfig
) -> tuple[Tensor, Tensor]:
    unary, pairwise = graph_terms(
        logits, targets.identity, targets.weight, targets.label, appearance, sigma=config.sigma
    )
    if config.label_smoothing:
        unary = _smooth(logits, unary, targets, config.label_smoothing)
    return unary, pairwise


def _triplet(features: Tensor, targets: Targets, config: LossConfig) -> Tensor:
    if config.triplet_normalised:
        features = F.normalize(features)
    labels = targets.label if config.triplet_kin == "pseudo_labels" else None
    return weak_triplet_loss(features, targets.kin, margin=config.triplet_margin, labels=labels)


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).mean()


@torch.no_grad()
def _gather(targets: Targets, world: World, counts: Sequence[int] | None) -> Targets:
    parts = targets.identity, targets.weight, targets.label, targets.confidence, targets.kin
    return Targets(*(gather_rows(part, world, counts) for part in parts))


def _smooth(logits: Tensor, unary: Tensor, targets: Targets, share: float) -> Tensor:
    """The unary term with a share of each image's target spread over all identities.

    Label smoothing (arXiv 1512.00567): cross-entropy against (1−s)·target + s/C.
    """
    mass = targets.weight.sum(dim=1)
    even = ((logits.logsumexp(dim=1) - logits.mean(dim=1)) * mass).mean()
    return (1 - share) * unary + share * even
