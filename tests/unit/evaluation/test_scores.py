"""The score that defines the ranking: one fixed tree, the same bits everywhere."""

import numpy as np
import pytest
import torch

from bagreid.evaluation.scores import FeatureTable, pair_scores, tree_products

from .literal import inner

CPU = torch.device("cpu")


def tree(values: list[float]) -> float:
    """The sum as the definition says it, number by number."""
    while len(values) & (len(values) - 1):
        values = [*values, 0.0]
    while len(values) > 1:
        half = len(values) // 2
        values = [values[i] + values[i + half] for i in range(half)]
    return values[0]


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 96, 300, 512])
def test_scores_are_sums_by_the_tree(dim: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=dim))
    left, right = rng.normal(size=(2, 20, dim)) * 10.0 ** rng.integers(-8, 8, (2, 20, dim))
    found = tree_products(torch.from_numpy(left), torch.from_numpy(right))
    assert found.tolist() == [
        tree([a * b for a, b in zip(x, y, strict=True)])
        for x, y in zip(left.tolist(), right.tolist(), strict=True)
    ]
    for x, y, score in zip(left, right, found.tolist(), strict=True):
        exact = float(inner(x, y))
        assert abs(score - exact) <= 1e-14 * np.linalg.norm(x) * np.linalg.norm(y)


def test_a_pairs_score_does_not_depend_on_the_other_pairs() -> None:
    rng = np.random.Generator(np.random.Philox(key=1))
    queries = FeatureTable(rng.normal(size=(9, 300)).astype(np.float32), "query", CPU)
    gallery = FeatureTable(rng.normal(size=(500, 300)).astype(np.float32), "gallery", CPU)
    q = torch.from_numpy(rng.integers(0, 9, 400))
    g = torch.from_numpy(rng.integers(0, 500, 400))
    together = pair_scores(queries, gallery, q, g)
    alone = torch.cat(
        [pair_scores(queries, gallery, q[i : i + 1], g[i : i + 1]) for i in range(400)]
    )
    assert torch.equal(together, alone)
    assert len(pair_scores(queries, gallery, q[:0], g[:0])) == 0
