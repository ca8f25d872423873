"""The sparse algorithm against the dense twin: sets, weights, distances, ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.evaluation.counting import Counted
from bagreid.evaluation.relations import Relations, relate
from bagreid.evaluation.reranking import Reranker, Reranking, Walk, find_neighbours
from bagreid.evaluation.reranking.encoding import encode, expand
from bagreid.evaluation.reranking.images import ImageSet
from bagreid.evaluation.reranking.reciprocal import expanded_sets
from bagreid.evaluation.sources import as_source

from .dense import Dense, products_of, rank_densely, rerank_densely
from .problems import Kind, draw_broken, draw_problem, features_of

NONE = np.zeros(0, np.int64)
CPU = torch.device("cpu")
KINDS: list[Kind] = ["random", "clustered", "tied", "equal"]


def relations_of(problem: dict[str, Any]) -> Relations:
    ids = [problem[f"{side}_{name}"] for side in ("query", "gallery") for name in ("pid", "camid")]
    return replace(
        relate(*ids),
        broken_query=problem.get("query_broken", NONE),
        broken_gallery=problem.get("gallery_broken", NONE),
    )


def count(problem: dict[str, Any], reranker: Reranker, block: int | None = None) -> Counted:
    query, gallery = (as_source(problem[f"{side}_feature"]) for side in ("query", "gallery"))
    relations = relations_of(problem)
    return reranker.count(query, gallery, relations, top=10, device=CPU, block=block)


def dense_of(problem: dict[str, Any], config: Reranking) -> tuple[Dense, list[Any]]:
    seen = [
        np.setdiff1d(
            np.arange(len(problem[f"{side}_feature"])), problem.get(f"{side}_broken", NONE)
        )
        for side in ("query", "gallery")
    ]
    features = np.concatenate(
        [problem["query_feature"][seen[0]], problem["gallery_feature"][seen[1]]]
    )
    dense = rerank_densely(
        products_of(features), len(seen[0]), config.k1, config.k2, config.original_weight
    )
    return dense, seen


def assert_equal_to_dense(counted: Counted, problem: dict[str, Any], config: Reranking) -> None:
    dense, (query_seen, gallery_seen) = dense_of(problem, config)
    ids = [problem[f"{side}_{name}"] for side in ("query", "gallery") for name in ("pid", "camid")]
    ranked = rank_densely(dense.final, *ids, query_seen, gallery_seen)
    for query, ranks in enumerate(ranked.ranks):
        assert counted.match_rank[counted.match_query == query].tolist() == ranks
        listed = counted.top_index[query]
        assert listed[listed >= 0].tolist() == ranked.top[query]
    for query, index, score in zip(
        query_seen, counted.top_index[query_seen], counted.top_score[query_seen], strict=True
    ):
        place = np.searchsorted(gallery_seen, index[index >= 0])
        row = np.searchsorted(query_seen, query)
        np.testing.assert_array_equal(score[index >= 0], 1 - dense.final[row, place])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    queries=st.integers(1, 6),
    gallery=st.integers(1, 60),
    kind=st.sampled_from(KINDS),
    k1=st.sampled_from([1, 2, 3, 5, 7, 20]),
    k2=st.sampled_from([1, 2, 3, 6, 9]),
    weight=st.sampled_from([0.0, 0.3, 0.75, 1.0]),
    share=st.sampled_from([0.0, 0.0, 0.2, 0.9]),
    block=st.sampled_from([None, 1, 7, 32]),
    slab=st.sampled_from([5, 16, 100]),
)
def test_equals_the_dense_algorithm(
    seed: int,
    queries: int,
    gallery: int,
    kind: Kind,
    k1: int,
    k2: int,
    weight: float,
    share: float,
    block: int | None,
    slab: int,
) -> None:
    """Every rank, every list and every listed distance to the last bit."""
    problem = draw_problem(seed, queries, gallery, kind)
    draw_broken(problem, seed, share)
    config = Reranking(k1=k1, k2=k2, original_weight=weight)
    walk = Walk(slab=slab, block=block or 64)
    counted = count(problem, Reranker(config=config, walk=walk), block)
    assert_equal_to_dense(counted, problem, config)


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_equals_the_dense_one(kind: Kind) -> None:
    rng = np.random.Generator(np.random.Philox(key=3))
    features = features_of(kind, 120, rng)
    images = ImageSet(as_source(features[:9]), as_source(features[9:]), NONE, NONE, CPU)
    config = Reranking(k1=9, k2=4)
    dense = rerank_densely(products_of(features), 9, config.k1, config.k2, 0.3)
    lists = find_neighbours(images, config.listed, walk=Walk(slab=50, block=16))
    np.testing.assert_array_equal(lists.index, dense.order[:, :10])
    np.testing.assert_array_equal(lists.farthest, products_of(features).min(1))
    sets = expanded_sets(lists.index, config.k1, config.half)
    found = [
        sets.member[first:last].tolist()
        for first, last in zip(sets.start, sets.start[1:], strict=False)
    ]
    assert found == dense.sets
    encoding = encode(sets, lists, images)
    expanded = expand(encoding, lists.index[:, : config.k2])
    for sparse, table in ((encoding, dense.encoding), (expanded, dense.expanded)):
        whole = np.zeros_like(table)
        line = np.repeat(np.arange(len(table)), np.diff(sparse.start))
        whole[line, sparse.column] = sparse.value
        np.testing.assert_array_equal(whole, table)
    wanted = rng.random(120) < 0.3
    part = expand(encoding, lists.index[:, : config.k2], wanted)
    line = np.repeat(np.arange(120), np.diff(part.start))
    assert wanted[part.column].all()
    np.testing.assert_array_equal(part.value, dense.expanded[line, part.column])


def test_true_distances_of_float64_features_rank_the_same() -> None:
    """2 − 2⟨x, y⟩ stands for |x − y|², which is what the released dense code is given."""
    problem = draw_problem(11, 8, 90, "clustered")
    for side in ("query", "gallery"):
        values = problem[f"{side}_feature"].astype(np.float64)
        problem[f"{side}_feature"] = values / np.linalg.norm(values, axis=1, keepdims=True)
    features = np.concatenate([problem["query_feature"], problem["gallery_feature"]])
    squared = ((features[:, None] - features) ** 2).sum(2)
    config = Reranking(k1=8, k2=3)
    dense = rerank_densely(1 - squared / 2, 8, 8, 3, 0.3)
    counted = count(problem, Reranker(config=config))
    listed = np.take_along_axis(dense.final, counted.top_index.clip(0), 1)
    seen = counted.top_index >= 0
    np.testing.assert_allclose(1 - counted.top_score[seen], listed[seen], rtol=0, atol=1e-12)


def test_lambda_one_is_the_plain_ranking_and_ties_are_pessimistic() -> None:
    problem = draw_problem(4, 1, 40, "equal")
    problem["query_pid"][:], problem["gallery_pid"][:] = 0, -1000
    problem["gallery_pid"][7], problem["gallery_camid"][:] = 0, 2
    problem["query_camid"][:] = 1
    counted = count(problem, Reranker(config=Reranking(original_weight=1.0)))
    assert counted.match_rank.tolist() == [39]
    assert counted.ties == 39
