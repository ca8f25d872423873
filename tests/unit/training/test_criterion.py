"""The losses of a step against PyTorch's own and against the losses called by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bagreid.losses import graph_loss, graph_terms, weak_triplet_loss
from bagreid.models import MgnOutput, ModelOutput
from bagreid.training.config import LossConfig
from bagreid.training.criterion import LossTerms, compute_loss
from bagreid.training.supervision import Targets
from bagreid.world import World

N, C, K = 12, 9, 3


def output() -> ModelOutput:
    generator = torch.Generator().manual_seed(0)
    sizes = ((N, 6), (N, C), (N, 5))
    return ModelOutput(
        *(
            torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_()
            for size in sizes
        )
    )


def candidates() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    table = torch.stack([torch.randperm(C, generator=generator)[:K] for _ in range(N)])
    table[::4, -1] = -1
    return table


def hard() -> Targets:
    label = candidates()[:, 0]
    ones = torch.ones(N, dtype=torch.float64)
    return Targets(label[:, None], ones[:, None], label, ones, candidates())


def soft() -> Targets:
    identity = candidates()
    weight = torch.rand(N, K, generator=torch.Generator().manual_seed(2)).double()
    weight = weight.masked_fill(identity < 0, 0)
    weight = weight / weight.sum(dim=1, keepdim=True)
    confidence, best = weight.max(dim=1)
    label = identity.gather(1, best[:, None]).squeeze(1)
    return Targets(identity, weight, label, confidence, identity)


def loss(targets: Targets, said: ModelOutput | None = None, **options: object) -> LossTerms:
    config = LossConfig(**options)  # type: ignore[arg-type]
    return compute_loss(said or output(), [targets], config, World())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_label_smoothing_is_pytorchs_for_hard_targets(share: float) -> None:
    said, targets = output(), hard()
    ours = loss(targets, said, label_smoothing=share, pairwise_weight=0.0, triplet_weight=0.0)
    theirs = F.cross_entropy(said.logits, targets.label, label_smoothing=share)
    torch.testing.assert_close(ours.total, theirs)
    torch.testing.assert_close(ours.unary, theirs.detach())
    (mine,) = torch.autograd.grad(ours.total, said.logits, retain_graph=True)
    torch.testing.assert_close(mine, torch.autograd.grad(theirs, said.logits)[0])


def test_label_smoothing_of_soft_targets_mixes_the_distributions() -> None:
    said, targets = output(), soft()
    dense = torch.full((N, C), 0.2 / C, dtype=torch.float64)
    for i in range(N):
        for k in range(K):
            if targets.identity[i, k] >= 0:
                dense[i, targets.identity[i, k]] += 0.8 * targets.weight[i, k]
    ours = loss(targets, said, label_smoothing=0.2, pairwise_weight=0.0, triplet_weight=0.0)
    torch.testing.assert_close(ours.total, F.cross_entropy(said.logits, dense))


def test_an_image_without_target_is_not_smoothed() -> None:
    said, targets = output(), hard()
    targets.weight[3:] = 0
    ours = loss(targets, said, label_smoothing=0.2, pairwise_weight=0.0, triplet_weight=0.0)
    part = F.cross_entropy(said.logits[:3], targets.label[:3], label_smoothing=0.2)
    torch.testing.assert_close(ours.total, part * 3 / N)


@pytest.mark.parametrize("kin", ["candidates", "pseudo_labels"])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("targets", [hard(), soft()], ids=["hard", "soft"])
def test_terms_equal_the_losses_called_by_hand(
    targets: Targets, kin: str, normalised: bool
) -> None:
    said = output()
    found = loss(
        targets, said, triplet_kin=kin, triplet_normalised=normalised, sigma=0.7,
        graph_weight=0.5, pairwise_weight=1.5, triplet_weight=3.0, triplet_margin=0.9,
    )  # fmt: skip
    unary, pairwise = graph_terms(
        said.logits, targets.identity, targets.weight, targets.label, said.appearance, sigma=0.7
    )
    embedding = F.normalize(said.embedding) if normalised else said.embedding
    labels = targets.label if kin == "pseudo_labels" else None
    triplet = weak_triplet_loss(embedding, targets.kin, margin=0.9, labels=labels)
    for ours, theirs in zip(found[1:], (unary, pairwise, triplet), strict=True):
        torch.testing.assert_close(ours, theirs.detach())
        assert not ours.requires_grad
    total = 0.5 * (unary + 1.5 * pairwise) + 3.0 * triplet
    torch.testing.assert_close(found.total, total)
    mine = torch.autograd.grad(found.total, tuple(said), retain_graph=True)
    for ours, theirs in zip(mine, torch.autograd.grad(total, tuple(said)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_releases_loss_is_the_public_graph_loss() -> None:
    said, table = output(), candidates()
    public = graph_loss(said.logits, table, said.appearance)
    label = public.pseudo_labels
    ones = torch.ones(N, dtype=torch.float64)
    found = loss(Targets(label[:, None], ones[:, None], label, ones, table), triplet_weight=0.0)
    torch.testing.assert_close(found.total, public.total)


def test_terms_of_weight_0_are_left_out() -> None:
    said = output()
    found = loss(soft(), said, pairwise_weight=0.0, triplet_weight=0.0)
    assert found.pairwise == found.triplet == 0
    found.total.backward()
    assert said.appearance.grad is None
    assert said.embedding.grad is None
    assert said.logits.grad is not None


def test_many_heads_are_averaged_as_the_release_averages_them() -> None:
    """The mean of eight graph losses, each with its own labels, and of three triplet losses."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    heads, features = tuple(draw(N, C) for _ in range(8)), tuple(draw(N, 6) for _ in range(3))
    appearance, table = draw(N, 5), candidates()
    logits = torch.stack(heads).mean(dim=0)
    said = MgnOutput(draw(N, 48), logits, appearance, heads, features)
    ones = torch.ones(N, dtype=torch.float64)
    targets = []
    slow = torch.zeros((), dtype=torch.float64)
    for head in heads:
        public = graph_loss(head, table, appearance)
        label = public.pseudo_labels
        targets.append(Targets(label[:, None], ones[:, None], label, ones, table))
        slow = slow + public.total / 8
    for feature in features:
        slow = slow + 2.0 * weak_triplet_loss(feature, table, margin=1.2) / 3
    assert len({tuple(each.label.tolist()) for each in targets}) > 1
    found = compute_loss(said, targets, LossConfig(), World())
    torch.testing.assert_close(found.total, slow)
    wanted = torch.autograd.grad(slow, (*heads, *features, appearance), retain_graph=True)
    got = torch.autograd.grad(found.total, (*heads, *features, appearance))
    for one, two in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, two)
