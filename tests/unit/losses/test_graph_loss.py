"""The fused graph terms against a loop over pairs, and against autograd."""

from __future__ import annotations

import math

import pytest
import torch

from bagreid.losses import graph_loss, graph_terms
from bagreid.losses.graph_loss import GraphLoss


def slow_graph_loss(
    logits: torch.Tensor, candidates: torch.Tensor, appearance: torch.Tensor, sigma: float
) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """Literally, one image and one pair at a time."""
    n = len(logits)
    labels = []
    for i in range(n):
        own = [int(k) for k in candidates[i] if k >= 0]
        labels.append(max(own, key=lambda k, i=i: logits[i, k].item()))
    p = [logits[i].exp() / logits[i].exp().sum() for i in range(n)]
    unary = -sum(p[i][labels[i]].log() for i in range(n)) / n
    pairwise = torch.zeros((), dtype=logits.dtype)
    for i in range(n):
        for j in range(n):
            if labels[i] != labels[j]:
                likeness = torch.exp(-((appearance[i] - appearance[j]) ** 2).sum() / sigma)
                pairwise = pairwise - likeness * (p[i] * p[j]).sum()
    return labels, torch.as_tensor(unary), pairwise / n**2


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(9, 7, generator=generator, dtype=torch.float64)
    candidates = torch.stack([torch.randperm(7, generator=generator)[:4] for _ in range(9)])
    candidates[::2, 2:] = -1
    appearance = 0.4 * torch.randn(9, 5, generator=generator, dtype=torch.float64)
    return logits, candidates, appearance


@pytest.mark.parametrize("sigma", [0.5, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_loop_over_pairs(seed: int, sigma: float) -> None:
    logits, candidates, appearance = random_case(seed)
    a, b = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    f, g = appearance.clone().requires_grad_(), appearance.clone().requires_grad_()
    fast: GraphLoss = graph_loss(a, candidates, f, sigma=sigma, pairwise_weight=3.0)
    labels, unary, pairwise = slow_graph_loss(b, candidates, g, sigma)
    assert fast.pseudo_labels.tolist() == labels
    torch.testing.assert_close(fast.unary, unary, rtol=0, atol=1e-12)
    torch.testing.assert_close(fast.pairwise, pairwise, rtol=0, atol=1e-12)
    fast.total.backward()
    (unary + 3.0 * pairwise).backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(f.grad, g.grad, rtol=0, atol=1e-12)


def test_soft_targets_pass_gradcheck() -> None:
    logits, candidates, appearance = random_case(0)
    weight = torch.rand(candidates.shape, dtype=torch.float64).masked_fill(candidates < 0, 0.0)
    weight = weight / weight.sum(dim=1, keepdim=True)
    weight[3] = 0.0  # an image without a target

    def terms(z: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return graph_terms(z, candidates, weight, candidates[:, 0], a)

    assert torch.autograd.gradcheck(terms, (logits.requires_grad_(), appearance.requires_grad_()))


def test_soft_unary_is_the_cross_entropy_of_the_distribution() -> None:
    logits, candidates, _ = random_case(1)
    weight = torch.full(candidates.shape, 0.25, dtype=torch.float64)
    dense = torch.zeros_like(logits)
    dense.scatter_add_(1, candidates.clamp(min=0), weight.masked_fill(candidates < 0, 0.0))
    unary, pairwise = graph_terms(
        logits, candidates, weight.masked_fill(candidates < 0, 0.0), candidates[:, 0], None
    )
    expected = -(dense * logits.log_softmax(dim=1)).sum() / len(logits)
    torch.testing.assert_close(unary, expected)
    assert pairwise.item() == 0.0


def test_hopeless_candidates_still_win_over_everybody_else() -> None:
    logits = torch.zeros(2, 4)
    logits[:, 3] = 500.0  # every candidate's probability underflows
    logits[:, 1] = 1.0
    result = graph_loss(logits, torch.tensor([[0, 1], [0, 1]]), torch.zeros(2, 3))
    assert result.pseudo_labels.tolist() == [1, 1]
    assert math.isclose(result.unary.item(), 499.0, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("candidates", "sentence"),
    [
        (torch.tensor([[0], [-1]]), "image 1 of the batch has no candidate"),
        (torch.tensor([[0], [9]]), "candidate 9 is not among the 4 identities"),
        (torch.tensor([[0]]), "one row an image"),
        (torch.tensor([[0.0], [1.0]]), "must be int64"),
    ],
)
def test_bad_candidates_are_refused(candidates: torch.Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        graph_loss(torch.zeros(2, 4), candidates, torch.zeros(2, 3))


def test_a_width_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma must be positive"):
        graph_loss(torch.zeros(2, 4), torch.tensor([[0], [1]]), torch.zeros(2, 3), sigma=0.0)


def test_under_autocast_only_the_products_are_rounded() -> None:
    logits, candidates, appearance = random_case(2)
    exact, rounded = logits.float().requires_grad_(), logits.float().requires_grad_()
    a = graph_loss(exact, candidates, appearance.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        b = graph_loss(rounded, candidates, appearance.float())
    a.total.backward()
    b.total.backward()
    assert b.total.dtype is torch.float32
    assert a.unary.item() == b.unary.item()
    torch.testing.assert_close(a.pairwise, b.pairwise, rtol=1e-2, atol=0)
    torch.testing.assert_close(exact.grad, rounded.grad, rtol=0, atol=1e-4)


def test_going_backward_twice_gives_the_same_gradient() -> None:
    logits, candidates, appearance = random_case(3)
    leaves = (logits.requires_grad_(), appearance.requires_grad_())
    total = graph_loss(leaves[0], candidates, leaves[1]).total
    first = torch.autograd.grad(total, leaves, retain_graph=True)
    kept = [gradient.clone() for gradient in first]
    second = torch.autograd.grad(total, leaves)
    for one, two in zip(kept, second, strict=True):
        torch.testing.assert_close(one, two)
