"""The weak triplet loss against loops and sets, and where the released code fails."""

from __future__ import annotations

import pytest
import torch

from bagreid.losses import weak_triplet_loss
from bagreid.losses.weak_triplet import shared_candidates


def slow_triplet(embeddings: torch.Tensor, candidates: torch.Tensor, margin: float) -> float:
    """Literally: sets, sorted lists, lower median."""
    sets = [{int(k) for k in row if k >= 0} for row in candidates]
    total = 0.0
    for i, own in enumerate(sets):
        near, far = [], []
        for j, other in enumerate(sets):
            squared = float(((embeddings[i] - embeddings[j]) ** 2).sum())
            distance = max(squared, 1e-12) ** 0.5
            (near if i == j or own & other else far).append(distance)
        if far:
            near.sort()
            total += max(0.0, margin + near[(len(near) - 1) // 2] - min(far))
    return total / len(sets)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_loops(seed: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(11, 4, generator=generator, dtype=torch.float64)
    candidates = torch.randint(-1, 9, (11, width), generator=generator)
    loss = weak_triplet_loss(embeddings, candidates, margin=0.7)
    assert loss.item() == pytest.approx(slow_triplet(embeddings, candidates, 0.7), abs=1e-6)


def test_kin_are_those_whose_sets_meet() -> None:
    candidates = torch.tensor([[0, 1], [1, 2], [3, -1], [-1, -1]])
    expected = torch.eye(4, dtype=torch.bool)
    expected[0, 1] = expected[1, 0] = True
    assert torch.equal(shared_candidates(candidates), expected)


def test_no_negative_gives_zero_and_a_finite_gradient() -> None:
    embeddings = torch.randn(3, 4, requires_grad=True)
    loss = weak_triplet_loss(embeddings, torch.tensor([[5], [5], [5]]), margin=1.0)
    loss.backward()
    assert loss.item() == 0.0
    assert embeddings.grad is not None
    assert torch.equal(embeddings.grad, torch.zeros(3, 4))


def test_one_anchor_without_a_negative_leaves_the_others_alone() -> None:
    embeddings = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    candidates = torch.tensor([[0, 1], [0, -1], [1, -1]])  # the first is kin to both
    loss = weak_triplet_loss(embeddings, candidates, margin=2.0)
    loss.backward()
    assert loss.item() == pytest.approx(slow_triplet(embeddings.detach(), candidates, 2.0))
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


def test_equal_images_give_a_finite_gradient() -> None:
    embeddings = torch.ones(4, 3, requires_grad=True)
    candidates = torch.tensor([[0], [0], [1], [1]])
    loss = weak_triplet_loss(embeddings, candidates, margin=0.3)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


def test_with_labels_only_equal_ones_are_pulled_and_only_strangers_pushed() -> None:
    at = torch.tensor([[0.0], [1.0], [3.0], [0.5], [9.0]], dtype=torch.float64)
    candidates = torch.tensor([[0, 1], [0, 1], [0, 1], [1, 2], [5, 6]])
    labels = torch.tensor([0, 0, 1, 1, 5])
    loss = weak_triplet_loss(at, candidates, margin=10.0, labels=labels)
    # lower medians of {0, 1}, {0, 1}, {0, 2.5}, {0, 2.5}, {0} are 0; strangers: only the last
    expected = sum(10 - gap for gap in (9.0, 8.0, 6.0, 8.5, 6.0)) / 5
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 embeddings, candidates of 2 images"):
        weak_triplet_loss(torch.zeros(3, 2), torch.zeros(2, 1, dtype=torch.int64), margin=1.0)
