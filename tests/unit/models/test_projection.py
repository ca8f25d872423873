"""The projected features have the inner products of the explicit logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.extraction import flip_summed
from bagreid.models import ModelConfig, build_model, embedder
from bagreid.models.projection import logit_factor, project_logits


@pytest.mark.parametrize("classes", [5, 33, 400])
def test_inner_products_are_those_of_the_logits(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    classifier = nn.Linear(32, classes)
    embedding = torch.randn(20, 32, generator=generator)
    with torch.no_grad():
        logits = classifier(embedding).double()
    projected = project_logits(embedding, logit_factor(classifier))
    assert projected.shape == (20, min(classes, 33))
    got = projected.double() @ projected.double().T
    torch.testing.assert_close(got, logits @ logits.T, rtol=1e-5, atol=1e-4)


def test_the_ranking_is_that_of_explicit_logits() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(backbone="resnet10t", embedding="logits"), 900)
    nn.init.normal_(model.classifier.weight, std=0.05)  # type: ignore[union-attr]
    model.eval()
    images = torch.randn(24, 3, 32, 16)
    with torch.inference_mode():
        small = flip_summed(embedder(model), images)
        explicit = flip_summed(lambda x: model(x).logits, images)
    assert small.shape == (24, 513)
    assert explicit.shape == (24, 900)
    pid = np.arange(24) % 8
    ranks = [
        evaluate_ranking(
            f[:8], pid[:8], np.full(8, 2), f[8:], pid[8:], np.full(16, 1), convention="sysu30k"
        )
        for f in (small, explicit)
    ]
    np.testing.assert_array_equal(ranks[0].first_match_rank, ranks[1].first_match_rank)
    np.testing.assert_allclose(ranks[0].top_score, ranks[1].top_score, atol=1e-6)
