"""Nearest neighbours against a sort of exact scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.evaluation.neighbours import nearest
from bagreid.evaluation.sources import ArraySource, ShardedSource

from .literal import inner


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    queries=st.integers(1, 9),
    gallery=st.integers(1, 50),
    levels=st.sampled_from([1, 2, 1000]),
    slab=st.sampled_from([1, 4, 100]),
    block=st.sampled_from([None, 1, 7]),
)
def test_equals_a_sort_of_exact_scores(
    seed: int, queries: int, gallery: int, levels: int, slab: int, block: int | None
) -> None:
    rng = np.random.Generator(np.random.Philox(key=seed))
    left, right = (
        (rng.integers(-levels, levels + 1, (number, 3)) / levels).astype(np.float32)
        for number in (queries, gallery)
    )
    k = int(rng.integers(1, gallery + 1))
    index, score = nearest(left, right, k, slab=slab, block=block)
    for query, row in enumerate(left):
        exact = [inner(row, other) for other in right]
        order = sorted(range(gallery), key=lambda g: (-exact[g], g))[:k]
        assert index[query].tolist() == order
        np.testing.assert_allclose(score[query], [float(exact[g]) for g in order], atol=1e-15)


def test_sources_give_what_arrays_give() -> None:
    rng = np.random.Generator(np.random.Philox(key=4))
    features = torch.from_numpy(rng.normal(size=(90, 32))).bfloat16()
    shards = ShardedSource([ArraySource(part) for part in features.split([20, 33, 37])])
    index, score = nearest(shards, shards, 5, slab=32)
    again = nearest(features, features, 5, block=11)
    np.testing.assert_array_equal(index, again[0])
    np.testing.assert_array_equal(score, again[1])


def test_what_cannot_be_is_refused() -> None:
    ones = np.ones((3, 2), np.float32)
    with pytest.raises(BagreidError, match="3 images to find 4 neighbours"):
        nearest(ones, ones, 4)
    with pytest.raises(BagreidError, match="dimensions"):
        nearest(ones, np.ones((3, 4), np.float32), 1)
    broken = ones.copy()
    broken[2, 1] = np.nan
    with pytest.raises(BagreidError, match="row 2: the query features"):
        nearest(broken, ones, 1, slab=2)
