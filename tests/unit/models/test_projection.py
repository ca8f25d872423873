"""The projected features have the inner products of the explicit logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bagreid.data import AugmentConfig
from bagreid.data.datasets import ViewBatch
from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.computing import FlipSum
from bagreid.models import ModelConfig, build_model, embedder, projection_of
from bagreid.models.projection import ROWS_AT_ONCE, logit_factor, project_logits


def classifier_of(classes: int, dim: int, seed: int) -> nn.Linear:
    """Weights of very different sizes, in part copies of one another, and a bias that matters."""
    generator = torch.Generator().manual_seed(seed)
    classifier = nn.Linear(dim, classes)
    with torch.no_grad():
        weight = torch.randn(classes, dim, generator=generator)
        weight *= 10.0 ** torch.linspace(-6, 2, dim)
        weight[(classes + 1) // 2 :] = weight[: classes // 2].clone()
        classifier.weight.copy_(weight)
        classifier.bias.copy_(torch.randn(classes, generator=generator) * 3)
    return classifier


def explicit(classifier: nn.Linear, total: Tensor, views: float) -> Tensor:
    weight, bias = classifier.weight.detach().double(), classifier.bias.detach().double()
    return total.double() @ weight.T + views * bias


@pytest.mark.parametrize("classes", [1, 5, 33, 400, 3000])
@pytest.mark.parametrize("views", [1, 2])
def test_inner_products_are_those_of_the_logits(classes: int, views: int) -> None:
    classifier = classifier_of(classes, 32, classes)
    total = torch.randn(20, 32, generator=torch.Generator().manual_seed(1))
    logits = explicit(classifier, total, views)
    projected = project_logits(total, logit_factor(classifier), views)
    assert projected.dtype == torch.float64
    assert projected.shape == (20, min(classes, 33))
    scale = float(logits.square().sum(1).max())
    torch.testing.assert_close(
        projected @ projected.T, logits @ logits.T, rtol=0, atol=1e-13 * scale
    )


def test_a_classifier_is_decomposed_rows_by_rows() -> None:
    classifier = classifier_of(2 * ROWS_AT_ONCE + 17, 6, 0)
    factor = logit_factor(classifier)
    whole = torch.cat([classifier.weight, classifier.bias[:, None]], 1).detach().double()
    gram = whole.T @ whole
    torch.testing.assert_close(factor @ factor.T, gram, rtol=0, atol=1e-13 * float(gram.max()))


@pytest.mark.parametrize("classes", [700, 6000])
def test_ranks_are_those_of_explicit_float64_logits(classes: int) -> None:
    """Thousands of images in a narrow cone, whose scores differ in few digits."""
    generator = torch.Generator().manual_seed(classes)
    classifier = classifier_of(classes, 96, 3)
    middle = torch.rand(96, generator=generator) * 4
    people = torch.randn(40, 96, generator=generator)
    pid = np.arange(3040) % 40
    total = middle + 0.3 * people[torch.from_numpy(pid)]
    total += 0.5 * torch.randn(total.shape, generator=generator)
    logits = nn.functional.normalize(explicit(classifier, total, 2))
    ours = nn.functional.normalize(project_logits(total, logit_factor(classifier), 2))
    results = [
        evaluate_ranking(
            f[:40], pid[:40], np.full(40, 2), f[40:], pid[40:], np.full(3000, 1),
            convention="standard",
        )
        for f in (logits, ours)
    ]  # fmt: skip
    np.testing.assert_array_equal(results[0].first_match_rank, results[1].first_match_rank)
    np.testing.assert_array_equal(results[0].average_precision, results[1].average_precision)
    np.testing.assert_array_equal(results[0].top_index, results[1].top_index)
    np.testing.assert_allclose(results[0].top_score, results[1].top_score, rtol=0, atol=1e-13)
    assert 0.05 < results[0].mean_ap < 0.95, "a test of ranks needs ranks"


def test_the_feature_of_a_network_is_that_of_its_explicit_logits() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(backbone="resnet10t", embedding="logits"), 900)
    nn.init.normal_(model.classifier.weight, std=0.05)  # type: ignore[union-attr]
    nn.init.normal_(model.classifier.bias, std=0.5)  # type: ignore[union-attr]
    model.eval()
    view = AugmentConfig(height=32, width=16, mean=(0, 0, 0), std=(1, 1, 1))
    pixels = torch.randint(0, 256, (6, 3, 32, 16), dtype=torch.uint8)
    network = FlipSum(embedder(model), projection_of(model), view, torch.device("cpu"))
    (batch,) = network.batches([ViewBatch(pixels, torch.arange(6), (4,))])
    with torch.no_grad():
        images = pixels.float() / 255
        total = model(images).logits.double() + model(images.flip(3)).logits.double()
    total[4] = 0
    assert batch.features.shape == (6, 513)
    assert not batch.features[4].any()
    torch.testing.assert_close(
        batch.features @ batch.features.T,
        nn.functional.normalize(total) @ nn.functional.normalize(total).T,
        rtol=0, atol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(batch.norms, total.norm(dim=1), rtol=1e-6)


def test_an_embedding_needs_no_projection() -> None:
    model = build_model(ModelConfig(backbone="resnet10t", neck="bn"), 9).eval()
    assert projection_of(model) is None
    images = torch.rand(2, 3, 32, 16)
    with torch.inference_mode():
        assert torch.equal(embedder(model)(images), model.embed(images))
