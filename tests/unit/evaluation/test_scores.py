"""The rounding bound against exact scores, and the independence of pair scores."""

import numpy as np
import pytest
import torch

from bagreid.evaluation.scores import FeatureTable, pair_scores, score_error

from .literal import inner

CPU = torch.device("cpu")


@pytest.mark.parametrize("dim", [1, 7, 256])
@pytest.mark.parametrize("kind", ["normal", "positive", "wide", "cancelling"])
def test_float32_products_stay_within_the_bound(dim: int, kind: str) -> None:
    rng = np.random.Generator(np.random.Philox(key=dim))
    query, gallery = rng.normal(size=(2, 6, dim))
    if kind == "positive":
        query, gallery = abs(query), abs(gallery)
    if kind == "wide":
        query, gallery = query * 10.0 ** rng.integers(-30, 15, query.shape), gallery * 1e-12
    if kind == "cancelling":
        gallery = np.concatenate([query[:, : dim // 2], -query[:, dim // 2 :]], 1)
    q, g = (torch.from_numpy(values.astype(np.float32)) for values in (query, gallery))
    products = q @ g.T
    largest = float(torch.linalg.vector_norm(g, dim=1).max())
    bound = score_error(torch.linalg.vector_norm(q, dim=1), largest, dim)
    for i in range(6):
        for j in range(6):
            error = abs(float(products[i, j]) - float(inner(q[i].numpy(), g[j].numpy())))
            assert error <= float(bound[i])


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
