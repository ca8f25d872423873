"""Classification of the pseudo labels plus the relaxed pairwise graph term.

With P = softmax(logits), w = exp(−‖aᵢ−aⱼ‖²/σ)·[ŷᵢ≠ŷⱼ] and the released code's signs
(arXiv 1904.03845 and its code):

    unary    = −(1/N) Σᵢ log Pᵢ[ŷᵢ]
    pairwise = −(1/N²) Σᵢⱼ wᵢⱼ · (Pᵢ·Pⱼ)
    total    = unary + 2·pairwise

The largest thing here is the N × C table of logits (20 MB at N = 180, C = 28,310), so the terms are
one autograd function that stores P once and writes the gradient once, block by block. With V = w·P,
the gradient of the pairwise term is −(2/N²)·(Pᵢ ⊙ (Vᵢ − (Pᵢ·Vᵢ))), and Pᵢ·Vᵢ = Σⱼ wᵢⱼ(Pᵢ·Pⱼ) is
already known from the forward pass. The two matrix products are the cost; under autocast they run
in its 16-bit type, as every other matrix product of the step does, and everything else keeps the
logits' precision.

Shape letters: N images, C identities, K candidates, A appearance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from bagreid.graph.assignment import argmax_labels
from bagreid.graph.pairwise import gaussian_affinity

BLOCK_ELEMENTS = 1 << 19
"""Elements of a block of the gradient: 2 MB in float32."""


class GraphLoss(NamedTuple):
    """The terms of the graph loss, each a scalar, and the labels they were taken against.

    Attributes:
        total: unary + pairwise_weight · pairwise, in nats.
        unary: Cross-entropy against the pseudo labels, in nats.
        pairwise: The relaxed pairwise term, in [−1, 0].
        pseudo_labels: ``(N,)`` int64.
    """

    total: Tensor
    unary: Tensor
    pairwise: Tensor
    pseudo_labels: Tensor


def graph_loss(
    logits: Tensor,
    candidates: Tensor,
    appearance: Tensor,
    *,
    sigma: float = 1.0,
    pairwise_weight: float = 2.0,
) -> GraphLoss:
    """The release's graph loss: argmax pseudo labels, unary and pairwise terms.

    Args:
        logits: ``(N, C)`` floating.
        candidates: ``(N, K)`` int64 identity indices of each image's bag, padded with −1.
        appearance: ``(N, A)`` floating low-level features; the gradient flows through them.
        sigma: Width of the Gaussian kernel.
        pairwise_weight: Weight of the pairwise term.

    Returns:
        The terms.

    Raises:
        ValueError: Shapes do not fit, an image has no candidate, or ``sigma`` is not positive.

    Example:
        >>> logits = torch.randn(4, 10, requires_grad=True)
        >>> candidates = torch.tensor([[0, 1], [0, 1], [5, -1], [5, -1]])
        >>> graph_loss(logits, candidates, torch.randn(4, 8)).total.backward()
    """
    labels = argmax_labels(logits.detach(), candidates)
    ones = torch.ones_like(labels, dtype=logits.dtype)[:, None]
    unary, pairwise = graph_terms(logits, labels[:, None], ones, labels, appearance, sigma=sigma)
    return GraphLoss(unary + pairwise_weight * pairwise, unary, pairwise, labels)


def graph_terms(
    logits: Tensor,
    target: Tensor,
    target_weight: Tensor,
    labels: Tensor,
    appearance: Tensor | None,
    *,
    sigma: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Unary and pairwise term against given, possibly soft, targets.

    Args:
        logits: ``(N, C)`` floating.
        target: ``(N, K)`` int64 identity indices, padded with −1.
        target_weight: ``(N, K)``, the probability of each; 0 in the padding. An image whose row
            is all 0 takes no part in the unary term (it still counts in the mean).
        labels: ``(N,)`` int64, the hard labels that the pairwise term compares.
        appearance: ``(N, A)`` floating, or None to leave the pairwise term out.
        sigma: Width of the Gaussian kernel.

    Returns:
        ``(unary, pairwise)``, scalars; pairwise is 0 without appearance.

    Raises:
        ValueError: Shapes do not fit or ``sigma`` is not positive.
    """
    if target.shape != target_weight.shape or len(target) != len(logits):
        raise ValueError(
            f"targets {tuple(target.shape)} with weights {tuple(target_weight.shape)} do not fit "
            f"{len(logits)} images"
        )
    weight: Tensor | None = None
    if appearance is not None:
        if len(appearance) != len(logits):
            raise ValueError(f"appearance of {len(appearance)} images, logits of {len(logits)}")
        weight = gaussian_affinity(appearance.to(logits.dtype), sigma=sigma)
        weight = weight.masked_fill(labels[:, None] == labels[None, :], 0.0)
    soft = target_weight.to(logits.dtype)
    kind = logits.device.type
    product = logits.dtype
    if product is torch.float32 and torch.is_autocast_enabled(kind):
        product = torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        terms: tuple[Tensor, Tensor] = _GraphTerms.apply(
            logits, target.clamp(min=0), soft, weight, product
        )
    return terms


class _GraphTerms(torch.autograd.Function):
    """(logits, target, target weight, pair weight, dtype of products) → (unary, pairwise)."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        soft: Tensor,
        weight: Tensor | None,
        product: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        n = len(logits)
        p_NC = logits.softmax(dim=1)
        # log-sum-exp from the largest logit and the largest probability, which cannot underflow
        log_sum = logits.amax(dim=1, keepdim=True) - p_NC.amax(dim=1, keepdim=True).log()
        unary = (soft * (log_sum - logits.gather(1, target))).sum() / n
        pairwise = logits.new_zeros(())
        factor = gram = None
        if weight is not None:
            factor = None if product is p_NC.dtype else p_NC.to(product)
            gram = p_NC @ p_NC.T if factor is None else (factor @ factor.T).to(p_NC.dtype)
            pairwise = -(weight * gram).sum() / n**2
        ctx.save_for_backward(logits, target, soft, weight, gram, factor)
        ctx.buffer = p_NC
        ctx.product = product
        return unary, pairwise

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logits, target, soft, weight, gram, factor = ctx.saved_tensors
        n = len(logits)
        # the gradient takes P's place, which spares the system 20 MB of fresh pages; whoever goes
        # backward a second time through a retained graph gets P computed anew
        grad, ctx.buffer = ctx.buffer, None
        if grad is None:
            grad = logits.softmax(dim=1)
        for_unary, for_pairwise = gradients[0] / n, gradients[1] / n**2
        row = for_unary * soft.sum(dim=1, keepdim=True)
        for_weight = None
        if weight is None:
            grad *= row
        else:
            # w is symmetric, so both places of an image in a pair give the same gradient
            row = row + 2 * for_pairwise * (weight * gram).sum(dim=1, keepdim=True)
            mix = (weight * (-2 * for_pairwise)).to(ctx.product)
            for_weight = -for_pairwise * gram
            for part in _column_blocks(grad):
                # without a 16-bit copy the factor is P itself: read before it is overwritten
                own = grad[:, part]
                source = own if factor is None else factor[:, part]
                own *= (mix @ source).to(grad.dtype).add_(row)
        grad.scatter_add_(1, target, -for_unary * soft)
        return grad, None, None, for_weight, None


def _column_blocks(table: Tensor) -> list[slice]:
    """Blocks of columns that fit a CPU's cache through all that is done to them."""
    columns = table.shape[1]
    width = columns if table.device.type != "cpu" else max(1, BLOCK_ELEMENTS // len(table))
    return [slice(start, start + width) for start in range(0, columns, width)]
