"""Comparing 28,310 logits through 2,049 dimensions beside comparing them explicitly.

Embeddings of people who look alike, as a ReLU and average pooling leave them, and a classifier of
all identities of SYSU-30k. The explicit logits are computed and compared in float64, block by block
(they would take 4.8 GB for 20,000 images); ours must give every match the same rank. Then the time
of ranking: projected features (float64 on disk) against the embeddings themselves (float32), each
the best of some rounds that take turns. What a checkpoint costs once (its decomposition) and an
image once (its projection, beside which the network takes 500 times as long) is told apart.

Usage: python benchmarks/logits.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from machine import write_result
from rich.console import Console
from torch import Tensor, nn

from bagreid.contracts import IntArray
from bagreid.evaluation import RankingResult, evaluate_ranking, open_features
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.logits import project_features
from bagreid.evaluation.sources import as_source
from bagreid.models.projection import logit_factor

MOST_TIME = 1.2
"""How much longer than the embeddings' the ranking of logits may take."""

LIKENESS = 0.33
"""How much of its query a match holds, beside 0.6 of its own: some matches are first, most not."""

_VIEWS = 2


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    queries: int = 1000
    """Query images, each with one match in the gallery."""
    gallery: int = 20_000
    """Gallery images."""
    dim: int = 2048
    """Length of an embedding."""
    classes: int = 28_310
    """Training identities."""
    rounds: int = 3
    """How often each ranking is timed."""
    block: int = 500
    """Images whose explicit logits are held at a time."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is compared.

    Attributes:
        query: ``(Q, D)`` float32 embeddings of unit length, with their norms.
        gallery: ``(G, D)`` likewise; the first Q are the queries' matches.
        classifier: D → C.
    """

    query: ImageFeatures
    gallery: ImageFeatures
    classifier: nn.Linear


def make_problem(args: Args, seed: int = 0) -> Problem:
    """Embeddings in a narrow cone, and a classifier with strong and weak directions."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.rand(args.dim, generator=generator)
    person = torch.randn(args.queries, args.dim, generator=generator)

    def images(count: int) -> Tensor:
        look = 0.6 * torch.randn(count, args.dim, generator=generator)
        look[: args.queries] += LIKENESS * person[:count]
        return torch.relu(_VIEWS * (middle + 0.5 * look))

    classifier = nn.Linear(args.dim, args.classes)
    with torch.no_grad():
        weight = torch.randn(args.classes, args.dim, generator=generator)
        weight *= torch.logspace(-2.5, -1, args.dim)
        classifier.weight.copy_(weight)
        classifier.bias.copy_(0.1 * torch.randn(args.classes, generator=generator))
    pids = np.arange(args.gallery)
    return Problem(
        query=_features(images(args.queries), pids[: args.queries], 2),
        gallery=_features(images(args.gallery), pids, 1),
        classifier=classifier,
    )


def _features(total: Tensor, pids: IntArray, camera: int) -> ImageFeatures:
    norms = torch.linalg.vector_norm(total, dim=1, dtype=torch.float64).numpy()
    unit = nn.functional.normalize(total).numpy()
    return ImageFeatures(
        features=unit, pids=pids, camids=np.full(len(pids), camera), norms=norms, kind="backbone"
    )


def explicit_ranks(problem: Problem, block: int) -> IntArray:
    """The rank of each query's match by float64 inner products of normalised logits.

    Args:
        problem: What is compared.
        block: Gallery images at a time.

    Returns:
        ``(Q,)`` int64, 0 = first; ties count against the match.
    """
    weight = problem.classifier.weight.detach().double()
    bias = problem.classifier.bias.detach().double()

    def logits(images: ImageFeatures, start: int, stop: int) -> Tensor:
        assert images.norms is not None
        unit = as_source(images.features).block(start, stop).double()
        total = unit * torch.from_numpy(images.norms[start:stop, None])
        return nn.functional.normalize(total @ weight.T + _VIEWS * bias)

    queries, images = len(problem.query.pids), len(problem.gallery.pids)
    query_QC = logits(problem.query, 0, queries)
    score_QG = torch.empty(queries, images, dtype=torch.float64)
    for start in range(0, images, block):
        gallery_bC = logits(problem.gallery, start, min(start + block, images))
        score_QG[:, start : start + block] = query_QC @ gallery_bC.T
    own_Q = score_QG.diagonal()
    rank_Q: IntArray = ((score_QG >= own_Q[:, None]).sum(1) - 1).numpy()
    return rank_Q


def rank(query: ImageFeatures, gallery: ImageFeatures) -> RankingResult:
    """The ranking of `bagreid evaluate`."""
    return evaluate_ranking(
        query.features, query.pids, query.camids,
        gallery.features, gallery.pids, gallery.camids, convention="sysu30k",
    )  # fmt: skip


def _timed(action: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    found = action()
    return time.perf_counter() - begun, found


def compare_logits(args: Args, folder: Path, *, explicit: bool = True) -> dict[str, Any]:
    """Runs it all.

    Args:
        args: The sizes.
        folder: Where features go.
        explicit: Whether to compute the explicit logits, which takes most of the time.

    Returns:
        Times in seconds, their ratio, and how many ranks differ.
    """
    problem = make_problem(args)
    embeddings = {"query": problem.query, "gallery": problem.gallery}
    factor_seconds, factor = _timed(lambda: logit_factor(problem.classifier))
    projection_seconds, _ = _timed(
        lambda: [
            project_features(images, factor, out_dir=folder / side)
            for side, images in embeddings.items()
        ]
    )
    for side, images in embeddings.items():
        unit = as_source(images.features).block(0, len(images.pids))
        np.save(folder / f"{side}.npy", unit.numpy())
    maps = {side: np.load(folder / f"{side}.npy", mmap_mode="r") for side in embeddings}
    stored = [
        ImageFeatures(features=maps[side], pids=images.pids, camids=images.camids)
        for side, images in embeddings.items()
    ]
    projected = [open_features(folder / side) for side in embeddings]
    seconds: dict[str, list[float]] = {"embeddings": [], "logits": []}
    for _ in range(args.rounds):
        for name, sides in (("embeddings", stored), ("logits", projected)):
            taken, result = _timed(lambda sides=sides: rank(*sides))  # type: ignore[misc]
            seconds[name].append(taken)
    found: dict[str, Any] = {
        "decomposition_seconds": factor_seconds,
        "projection_seconds": projection_seconds,
        "images_projected_per_second": (args.queries + args.gallery) / projection_seconds,
        "ranking_seconds": {name: min(taken) for name, taken in seconds.items()},
        "all_ranking_seconds": seconds,
        "ratio": min(seconds["logits"]) / min(seconds["embeddings"]),
        "limit": MOST_TIME,
        "rank1": result.rank(1),
        "mean_ap": result.mean_ap,
    }
    if explicit:
        taken, ranks = _timed(lambda: explicit_ranks(problem, args.block))
        found["explicit_seconds"] = taken
        found["ranks_that_differ"] = int(np.sum(ranks != result.first_match_rank))
    return found


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="bagreid-logits-") as name:
        found = compare_logits(args, Path(name))
    times = found["ranking_seconds"]
    console.print(
        f"{args.queries:,} queries against {args.gallery:,} images, {args.classes:,} logits each: "
        f"{found['ranks_that_differ']} ranks differ from those of explicit float64 logits "
        f"(rank-1 {found['rank1']:.1%}, explicit {found['explicit_seconds']:.0f} s)."
    )
    console.print(
        f"Ranking {times['logits']:.2f} s, {args.dim:,}-d embeddings {times['embeddings']:.2f} s: "
        f"{found['ratio']:.2f} times as long (at most {MOST_TIME}). Once a checkpoint "
        f"{found['decomposition_seconds']:.1f} s, {found['images_projected_per_second']:,.0f} "
        "images/s projected."
    )
    result = {"sizes": asdict(args), "result": found}
    console.print(f"written: {write_result('logits', result)}")


if __name__ == "__main__":
    main()
