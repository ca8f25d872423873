"""The released losses to 1e-9 in float64: values, gradients, pseudo labels, assignment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bagreid.graph import balanced_assignment
from bagreid.losses import graph_loss, weak_triplet_loss

FIXTURE = np.load(Path(__file__).parent / "fixtures" / "dgl_losses.npz")
CASES = sorted({key.split("/")[0] for key in FIXTURE.files})
EXACT = {"rtol": 0, "atol": 1e-9}


def load(case: str, name: str) -> np.ndarray:
    return FIXTURE[f"{case}/{name}"]


def candidates_of(case: str) -> torch.Tensor:
    """The dense prior as padded indices."""
    prior = load(case, "bag_prior") > 0
    table = np.full((len(prior), prior.sum(axis=1).max()), -1)
    for image, row in enumerate(prior):
        table[image, : row.sum()] = np.flatnonzero(row)
    return torch.from_numpy(table)


def tensor(case: str, name: str) -> torch.Tensor:
    return torch.tensor(load(case, name), dtype=torch.float64, requires_grad=True)


def test_there_are_cases() -> None:
    assert len(CASES) >= 3


@pytest.mark.parametrize("case", CASES)
def test_graph_loss_and_its_gradients(case: str) -> None:
    logits, appearance = tensor(case, "logits"), tensor(case, "appearance")
    result = graph_loss(logits, candidates_of(case), appearance)
    result.total.backward()
    np.testing.assert_array_equal(result.pseudo_labels.numpy(), load(case, "pseudo_label"))
    np.testing.assert_allclose(result.unary.item(), load(case, "unary"), **EXACT)
    np.testing.assert_allclose(result.pairwise.item(), load(case, "pairwise"), **EXACT)
    np.testing.assert_allclose(result.total.item(), load(case, "graph_loss"), **EXACT)
    assert logits.grad is not None
    assert appearance.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), load(case, "grad_logits"), **EXACT)
    np.testing.assert_allclose(appearance.grad.numpy(), load(case, "grad_appearance"), **EXACT)


@pytest.mark.parametrize("margin", [0.3, 1.2])
@pytest.mark.parametrize("case", CASES)
def test_weak_triplet_and_its_gradient(case: str, margin: float) -> None:
    embedding = tensor(case, "embedding")
    loss = weak_triplet_loss(embedding, candidates_of(case), margin=margin)
    loss.backward()
    np.testing.assert_allclose(loss.item(), load(case, f"weak_triplet_margin{margin}"), **EXACT)
    assert embedding.grad is not None
    np.testing.assert_allclose(
        embedding.grad.numpy(), load(case, f"grad_embedding_margin{margin}"), **EXACT
    )


@pytest.mark.parametrize("case", CASES)
def test_balanced_assignment(case: str) -> None:
    logits, candidates = torch.tensor(load(case, "logits")), candidates_of(case)
    bag, expected = load(case, "bag"), load(case, "balanced_assignment")
    for number in np.unique(bag):
        mine = torch.from_numpy(bag == number)
        labels = balanced_assignment(logits[mine], candidates[mine])
        np.testing.assert_array_equal(labels.numpy(), expected[mine.numpy()])
