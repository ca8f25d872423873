"""The ranking against a literal twin, and what bad input gets."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.contracts import BagreidError, Convention
from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.ranking import RankingResult
from bagreid.evaluation.screening import Precision

from .literal import rank_literally


def draw_problem(seed: int, queries: int, gallery: int, dim: int, levels: int) -> dict[str, Any]:
    """Few identities, cameras and feature values: many matches, junk, distractors and ties."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    scale = rng.choice([1.0, 1e-3, 1e4])

    def features(number: int) -> Any:
        values = rng.integers(-levels, levels + 1, (number, dim)) / levels + rng.integers(0, 2)
        return (values * scale).astype(np.float32)

    problem: dict[str, Any] = {}
    for side, number, pids in (
        ("query", queries, [0, 1, 2, 3, 9, -1, -1000]),
        ("gallery", gallery, [0, 1, 2, 3, 4, -1, -1000, -1000]),
    ):
        problem[f"{side}_feature"] = features(number)
        problem[f"{side}_pid"] = rng.choice(pids, number)
        problem[f"{side}_camid"] = rng.choice([1, 2, 12], number)
    problem["query_pid"][0], problem["query_camid"][0] = 0, 1
    problem["gallery_pid"][-1], problem["gallery_camid"][-1] = 0, 2
    return problem


def assert_equal_to_literal(
    result: RankingResult, problem: dict[str, Any], convention: str
) -> None:
    literal = rank_literally(**problem, convention=convention)
    np.testing.assert_array_equal(result.first_match_rank, literal.first)
    np.testing.assert_allclose(result.average_precision, literal.ap, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.cmc, literal.cmc(convention), rtol=0, atol=1e-12)
    assert result.mean_ap == pytest.approx(literal.mean(literal.ap, convention), abs=1e-12)
    assert result.mean_inp == pytest.approx(literal.mean(literal.inp, convention), abs=1e-12)
    for row, expected in zip(result.top_index, literal.top, strict=True):
        assert [g for g in row.tolist() if g >= 0] == expected


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    queries=st.integers(1, 7),
    gallery=st.integers(1, 60),
    dim=st.integers(1, 5),
    levels=st.sampled_from([1, 2, 1000]),
    block=st.sampled_from([None, 1, 7, 32]),
    precision=st.sampled_from(["float32", "bfloat16"]),
    convention=st.sampled_from(["sysu30k", "standard"]),
)
def test_equals_a_literal_sort(
    seed: int,
    queries: int,
    gallery: int,
    dim: int,
    levels: int,
    block: int | None,
    precision: Precision,
    convention: Convention,
) -> None:
    problem = draw_problem(seed, queries, gallery, dim, levels)
    result = evaluate_ranking(**problem, convention=convention, block=block, precision=precision)
    assert_equal_to_literal(result, problem, convention)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    queries=st.integers(1, 6),
    gallery=st.integers(1, 40),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    block=st.sampled_from([None, 1, 7]),
    convention=st.sampled_from(["sysu30k", "standard"]),
)
def test_what_is_broken_comes_last_and_is_counted(
    seed: int, queries: int, gallery: int, share: float, block: int | None, convention: Convention
) -> None:
    """Whatever stands in the features of images that nobody could decode."""
    problem = draw_problem(seed, queries, gallery, 3, 2)
    rng = np.random.Generator(np.random.Philox(key=seed))
    for side, number in (("query", queries), ("gallery", gallery)):
        problem[f"{side}_broken"] = np.flatnonzero(rng.random(number) < share)
    result = evaluate_ranking(**problem, convention=convention, block=block)
    assert_equal_to_literal(result, problem, convention)
    whole = evaluate_ranking(
        **{key: value for key, value in problem.items() if "broken" not in key},
        convention=convention,
    )
    assert result.counts.matches == whole.counts.matches
    assert result.counts.queries_without_match == whole.counts.queries_without_match
    for query in problem["query_broken"]:
        assert (result.top_index[query] == -1).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_near_duplicates_that_float32_cannot_tell_apart(dtype: Any) -> None:
    rng = np.random.Generator(np.random.Philox(key=5))
    query = rng.normal(size=(3, 64))
    gallery = np.repeat(query, 40, axis=0)
    gallery = gallery * (1 + rng.integers(-3, 4, gallery.shape) * 1e-8)
    problem = {
        "query_feature": query.astype(dtype),
        "query_pid": np.array([0, 1, 2]),
        "query_camid": np.full(3, 2),
        "gallery_feature": gallery.astype(dtype),
        "gallery_pid": np.where(np.arange(120) % 40 == 17, np.arange(120) // 40, -1000),
        "gallery_camid": np.full(120, 1),
    }
    result = evaluate_ranking(**problem, convention="sysu30k")
    assert result.counts.undecided > 100
    assert_equal_to_literal(result, problem, "sysu30k")


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e-12, 1e15])
def test_huge_and_tiny_numbers(scale: float) -> None:
    problem = draw_problem(3, 6, 50, 4, 1000)
    for side in ("query", "gallery"):
        problem[f"{side}_feature"] = (
            problem[f"{side}_feature"] / abs(problem[f"{side}_feature"]).max() * scale
        ).astype(np.float32)
    result = evaluate_ranking(**problem, convention="standard")
    assert_equal_to_literal(result, problem, "standard")


def test_thousands_of_equal_images_rank_pessimistically() -> None:
    feature = np.ones((3000, 24), np.float32) / np.float32(3)
    pid = np.full(3000, -1000)
    pid[1234] = 7
    result = evaluate_ranking(
        feature[:1], [7], [2], feature, pid, np.ones(3000, int), convention="sysu30k"
    )
    assert result.first_match_rank.tolist() == [2999]
    assert result.counts.ties == 2999
    assert result.top_index[0].tolist() == list(range(10))
    assert result.match_index.tolist() == [1234]


def test_result_is_the_same_for_any_block_threads_and_kind_of_array(tmp_path: Any) -> None:
    rng = np.random.Generator(np.random.Philox(key=8))
    problem = {
        "query_feature": rng.normal(size=(40, 96)).astype(np.float32),
        "query_pid": np.arange(40),
        "query_camid": np.full(40, 2),
        "gallery_feature": rng.normal(size=(5000, 96)).astype(np.float32),
        "gallery_pid": np.where(np.arange(5000) < 40, np.arange(5000), -1000),
        "gallery_camid": np.full(5000, 1),
    }
    reference = evaluate_ranking(**problem, convention="sysu30k")
    np.save(tmp_path / "gallery.npy", problem["gallery_feature"])
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    variants: list[dict[str, Any]] = [
        {"block": 333},
        {"gallery_feature": mapped, "block": 512},
        {"gallery_feature": torch.from_numpy(problem["gallery_feature"])},
        {"gallery_feature": np.asfortranarray(problem["gallery_feature"])},
        {"gallery_feature": problem["gallery_feature"].astype(">f4")},
    ]
    if torch.cuda.is_available():
        variants.append({"device": "cuda"})
    for variant in variants:
        result = evaluate_ranking(**{**problem, **variant}, convention="sysu30k")
        np.testing.assert_array_equal(result.first_match_rank, reference.first_match_rank)
        np.testing.assert_array_equal(result.top_index, reference.top_index)
        np.testing.assert_array_equal(result.match_score, reference.match_score)
    assert not mapped.flags.writeable


def test_bfloat16_tensors_and_autocast_outside() -> None:
    problem = draw_problem(11, 5, 40, 3, 1000)
    rounded = {
        key: torch.from_numpy(value).bfloat16() if key.endswith("feature") else value
        for key, value in problem.items()
    }
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = evaluate_ranking(**rounded, convention="standard")
    as_float = {
        key: value.float().numpy() if isinstance(value, torch.Tensor) else value
        for key, value in rounded.items()
    }
    assert_equal_to_literal(result, as_float, "standard")


def test_precision_settings_are_restored() -> None:
    matmul: Any = torch.backends.mkldnn
    matmul = matmul.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        problem = draw_problem(2, 6, 60, 4, 1000)
        result = evaluate_ranking(**problem, convention="sysu30k")
        assert matmul.fp32_precision == "bf16"
    finally:
        matmul.fp32_precision = before
    assert_equal_to_literal(result, problem, "sysu30k")


def test_counts_and_progress() -> None:
    calls: list[tuple[int, int]] = []
    result = evaluate_ranking(
        np.eye(4, dtype=np.float32),
        [1, 2, 3, 4],
        [2, 2, 2, 2],
        np.eye(6, 4, dtype=np.float32),
        [1, 2, -1, -1000, 3, 2],
        [1, 2, 1, 1, 2, 1],
        convention="standard",
        block=4,
        progress=lambda done, total: calls.append((done, total)),
    )
    counts = result.counts
    assert (counts.queries, counts.gallery, counts.matches) == (4, 6, 2)
    assert (counts.junk, counts.distractors, counts.same_camera) == (1, 1, 2)
    assert (counts.queries_without_match, counts.queries_lost_to_cameras) == (2, 1)
    assert result.first_match_rank.tolist() == [0, 3, -1, -1]
    assert np.isnan(result.match_score[2:]).all()
    assert calls == [(4, 6), (6, 6)]


GOOD: dict[str, Any] = {
    "query_feature": np.ones((2, 3), np.float32),
    "query_pid": [1, 2],
    "query_camid": [2, 2],
    "gallery_feature": np.ones((3, 3), np.float32),
    "gallery_pid": [1, 2, -1000],
    "gallery_camid": [1, 1, 1],
}
NAN = np.ones((3, 3), np.float32)
NAN[1, 2] = np.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query_pid": [1, 2, 3]}, "query_pid has shape"),
        ({"gallery_camid": [1, 1]}, "gallery_camid has shape"),
        ({"gallery_pid": ["a", "b", "c"]}, "number the names first"),
        ({"gallery_pid": [1, 2, -7]}, "identity -7"),
        ({"gallery_feature": np.ones((3, 4), np.float32)}, "have 3 dimensions, the gallery's 4"),
        ({"gallery_feature": np.ones((3, 3), np.int64)}, "type int64"),
        ({"gallery_feature": np.ones(3, np.float32)}, "shape (3,)"),
        ({"gallery_feature": NAN}, "row 1: the gallery features of 1 images hold NaN"),
        ({"query_feature": NAN[:2]}, "row 1: the query features of 1 images hold NaN"),
        ({"gallery_feature": GOOD["gallery_feature"] * np.float32(1e30)}, "too large to rank"),
        (
            {
                "gallery_feature": np.ones((0, 3), np.float32),
                "gallery_pid": [],
                "gallery_camid": [],
            },
            "at least one gallery image",
        ),
        (
            {"query_feature": np.ones((0, 3), np.float32), "query_pid": [], "query_camid": []},
            "at least one query image",
        ),
        ({"gallery_pid": [7, 8, -1000]}, "none of the 2 queries' identities"),
        ({"gallery_camid": [2, 2, 2]}, "all 2 pairs of the same identity, of 2 queries, also have"),
        ({"gallery_camid": [2, 2, 2]}, "(camera 2: 2)"),
        ({"gallery_camid": [2, 2, 2]}, "--ignore-cameras"),
    ],
)
def test_bad_input_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BagreidError) as caught:
        evaluate_ranking(**{**GOOD, **change}, convention="sysu30k")
    assert words in str(caught.value)


def test_unknown_convention() -> None:
    with pytest.raises(ValueError, match="not one of"):
        evaluate_ranking(**GOOD, convention="market")  # type: ignore[arg-type]
