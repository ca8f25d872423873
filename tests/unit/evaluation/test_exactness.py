"""The same result in any precision, block, thread count, type and number of processes."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.distributed as dist

from bagreid.contracts import BagreidError
from bagreid.evaluation import RankingResult, evaluate_ranking
from bagreid.evaluation.blocks import BlockScorer
from bagreid.evaluation.neighbours import nearest
from bagreid.evaluation.relations import relate
from bagreid.evaluation.scores import FeatureTable
from bagreid.evaluation.sources import ArraySource, ShardedSource
from bagreid.world import World

Rows = npt.NDArray[np.float32]
DIM = 96


def unit(rows: Any) -> Rows:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    normed: Rows = (rows / np.maximum(length, 1e-30)).astype(np.float32)
    return normed


def near_duplicates(rng: np.random.Generator, query: Rows, gallery: Rows) -> None:
    gallery[:] = query[rng.integers(0, len(query), len(gallery))]
    gallery *= 1 + 3e-8 * rng.integers(-4, 5, gallery.shape).astype(np.float32)


def equal_images(rng: np.random.Generator, query: Rows, gallery: Rows) -> None:
    gallery[rng.random(len(gallery)) < 0.8] = gallery[0]
    query[: len(query) // 2] = query[0]


def all_zero(rng: np.random.Generator, query: Rows, gallery: Rows) -> None:
    gallery[rng.random(len(gallery)) < 0.5] = 0
    query[:5] = 0


def uneven_norms(rng: np.random.Generator, query: Rows, gallery: Rows) -> None:
    gallery *= 10 ** rng.uniform(-20, 12, (len(gallery), 1)).astype(np.float32)
    query *= 10 ** rng.uniform(-15, 3, (len(query), 1)).astype(np.float32)


def crowded(_rng: np.random.Generator, query: Rows, gallery: Rows) -> None:
    """Cosines near 0.9: bfloat16 alone could tell few of them apart."""
    query[:], gallery[:] = unit(abs(query) + 0.2), unit(abs(gallery) + 0.2)


def plain(rng: np.random.Generator, query: Rows, gallery: Rows) -> None:
    """Nothing special."""


KINDS = [plain, crowded, near_duplicates, equal_images, all_zero, uneven_norms]


def problem_of(kind: Any, gallery: int = 900) -> dict[str, Any]:
    rng = np.random.Generator(np.random.Philox(key=12))
    sides = {side: unit(rng.normal(size=(n, DIM))) for side, n in (("q", 30), ("g", gallery))}
    sides["g"][:60] = unit(sides["g"][:60] + 0.25 * sides["q"][np.arange(60) % 30])
    kind(rng, sides["q"], sides["g"])
    pid = np.full(gallery, -1000)
    pid[:60] = np.arange(60) % 30
    pid[rng.integers(60, gallery, 20)] = -1
    return {
        "query_feature": sides["q"],
        "query_pid": np.append(np.arange(29), 77),
        "query_camid": np.full(30, 2),
        "gallery_feature": sides["g"],
        "gallery_pid": pid,
        "gallery_camid": rng.choice([1, 1, 1, 2], gallery),
        "query_broken": np.array([7]),
        "gallery_broken": np.array([3, 200]),
    }


def slow_scores(problem: dict[str, Any]) -> npt.NDArray[np.float64]:
    """All scores by the tree, in NumPy."""
    query, gallery = (
        problem[f"{side}_feature"].astype(np.float64) for side in ("query", "gallery")
    )
    part = np.zeros((len(query), len(gallery), 128))
    part[:, :, :DIM] = query[:, None] * gallery
    while part.shape[2] > 1:
        half = part.shape[2] // 2
        part = part[:, :, :half] + part[:, :, half:]
    scores: npt.NDArray[np.float64] = part[:, :, 0]
    return scores


def slow_ranks(problem: dict[str, Any]) -> tuple[list[int], list[list[int]], int]:
    """First match ranks, lists of ten and ties, by sorting everything."""
    first, lists, ties = [], [], 0
    for q, score in enumerate(slow_scores(problem)):
        match = problem["gallery_pid"] == problem["query_pid"][q]
        kept = (problem["gallery_pid"] != -1) & ~(match & (problem["gallery_camid"] == 2))
        unseen = np.isin(np.arange(len(score)), problem["gallery_broken"])
        unseen |= q in problem["query_broken"]
        order = np.lexsort((np.arange(len(score)), match, np.where(unseen, 0, -score), unseen))
        order = order[kept[order]]
        hits = np.flatnonzero(match[order])
        first.append(int(hits[0]) if len(hits) else -1)
        lists.append([int(g) for g in order[:10] if not unseen[g]])
        for g in np.flatnonzero(match & kept & ~unseen):
            ties += int(((score == score[g]) & kept & ~match & ~unseen).sum())
    return first, lists, ties


def outcome(result: RankingResult) -> dict[str, Any]:
    return {
        "first": result.first_match_rank.tolist(),
        "ap": result.average_precision.tolist(),
        "inp": result.mean_inp,
        "cmc": result.cmc.tolist(),
        "match": result.match_index.tolist(),
        "score": [repr(score) for score in result.match_score.tolist()],
        "top": result.top_index.tolist(),
        "top_score": result.top_score.tolist(),
        "ties": result.counts.ties,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_are_those_of_the_tree(kind: Any) -> None:
    problem = problem_of(kind)
    first, lists, ties = slow_ranks(problem)
    variants: list[dict[str, Any]] = [
        {"precision": "float32"},
        {"precision": "bfloat16", "block": 128},
        {"precision": "bfloat16", "block": 300},
        {"precision": "float32", "block": 77},
        {"precision": "bfloat16", "block": 11},
    ]
    for variant in variants:
        result = evaluate_ranking(**problem, convention="sysu30k", **variant)
        assert result.first_match_rank.tolist() == first, variant
        assert [[g for g in row if g >= 0] for row in result.top_index.tolist()] == lists
        assert result.counts.ties == ties


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_stored_types(dtype: str) -> None:
    """Float64 features differ behind float32's last digit; the others are exact in float32."""
    problem = problem_of(plain)
    gallery = torch.from_numpy(problem["gallery_feature"]).double()
    gallery = torch.cat([gallery[:450], gallery[:450] * (1 + 1e-12)]).to(getattr(torch, dtype))
    whole = {**problem, "gallery_feature": gallery}
    expected = outcome(evaluate_ranking(**whole, convention="standard", precision="float32"))
    twin = {**problem, "gallery_feature": gallery.double().numpy()}
    assert [row[0] for row in expected["top"]] == [
        row[0] if row else -1 for row in slow_ranks(twin)[1]
    ]
    shards = ShardedSource([ArraySource(part) for part in torch.split(gallery, [100, 37, 763])])
    for feature in (gallery, shards):
        again = evaluate_ranking(
            **{**whole, "gallery_feature": feature},
            convention="standard",
            precision="bfloat16",
            block=100,
        )
        assert outcome(again) == expected


def test_any_number_of_threads() -> None:
    problem, before = problem_of(crowded), torch.get_num_threads()
    outcomes = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            result = evaluate_ranking(
                **problem, convention="sysu30k", precision="bfloat16", block=256
            )
            outcomes.append(outcome(result))
    finally:
        torch.set_num_threads(before)
    assert outcomes[1:] == outcomes[:1] * 2


@pytest.mark.parametrize("kind", [plain, near_duplicates, equal_images])
def test_low_precision_is_used_and_given_up_where_it_decides_nothing(kind: Any) -> None:
    problem = problem_of(kind)
    cpu = torch.device("cpu")
    queries, gallery = (
        FeatureTable(problem[f"{side}_feature"], side, cpu) for side in ("query", "gallery")
    )
    pairs = relate(*(problem[f"{s}_{x}"] for s in ("query", "gallery") for x in ("pid", "camid")))
    scorer = BlockScorer(queries, gallery, pairs, "bfloat16")
    fine = []
    for block in scorer.blocks(64):
        fine.append(block.is_fine)
        if kind is not plain:
            scorer.spent += 0.9
    assert fine[0]
    if all(fine):
        pytest.skip("this processor's bfloat16 products are not summed in float32")
    assert fine == [True] + [False] * 14 if kind is plain else fine[4:] == [True] * 11


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_in_low_precision(kind: Any) -> None:
    problem = problem_of(kind)
    score = slow_scores(problem)
    order = np.argsort(-score, axis=1, kind="stable")[:, :20]
    for slab, block in ((30, 128), (7, 300)):
        index, found = nearest(
            problem["query_feature"],
            problem["gallery_feature"],
            20,
            slab=slab,
            block=block,
            precision="bfloat16",
        )
        np.testing.assert_array_equal(index, order)
        np.testing.assert_array_equal(found, np.take_along_axis(score, order, 1))


def work(rank: int, size: int, folder: Path, kinds: list[Any]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    world = World(rank=rank, size=size)
    found: list[Any] = []
    for number, kind in enumerate(kinds):
        problem = problem_of(kind)
        rule: Any = ["pessimistic", "optimistic", "mean"][number % 3]
        result = evaluate_ranking(
            **problem, convention="sysu30k", block=64, precision="bfloat16", world=world, ties=rule
        )
        found.append(outcome(result))
    problem = problem_of(plain)
    problem["gallery_feature"][700, 5] = np.nan  # in the last one's share
    try:
        evaluate_ranking(**problem, convention="sysu30k", block=64, world=world)
    except BagreidError as error:
        found.append(str(error))
    few = {
        key: value[:40] if key.startswith("gallery") else value for key, value in problem.items()
    }
    few["gallery_broken"] = np.array([3])
    found.append(outcome(evaluate_ranking(**few, convention="standard", block=30, world=world)))
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_one_to_four_processes_say_the_same(tmp_path: Path) -> None:
    kinds = [near_duplicates, equal_images, all_zero, crowded]
    context = multiprocessing.get_context("fork")
    torch.set_num_threads(1)  # more would not survive the fork
    said = []
    for size in (1, 2, 3, 4):
        folder = tmp_path / str(size)
        folder.mkdir()
        processes = [
            context.Process(target=work, args=(rank, size, folder, kinds)) for rank in range(size)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
        assert [process.exitcode for process in processes] == [0] * size
        said += [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]
    assert said[1:] == said[:1] * 9
    assert "row 700: the gallery features of 1 images hold NaN" in said[0][4]
