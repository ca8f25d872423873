"""Exact ranking against the bare float32 matrix product it cannot do without.

Both go over the same gallery in blocks, in turns, in one run. The bare product is timed at several
block sizes and the fastest counts. The features are random, with matches correlated to their
queries so that rank-1 is near 27 %, as on SYSU-30k.

Usage: python benchmarks/ranking.py [--gallery 47973] [--repeats 7]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import tyro
from machine import write_result
from rich.console import Console
from rich.table import Table

from bagreid.evaluation import RankingResult, evaluate_ranking

LIMIT = 1.5


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    queries: int = 1000
    """Query images, each with one match in the gallery."""
    gallery: int = 47973
    """Gallery images."""
    dim: int = 2048
    """Length of a feature."""
    repeats: int = 7
    """Rounds; each times every contestant once."""
    correlation: float = 0.075
    """How much of its query a match holds; decides how hard the ranking is."""


def make_problem(args: Args) -> dict[str, Any]:
    rng = np.random.Generator(np.random.Philox(key=30))
    gallery = rng.standard_normal((args.gallery, args.dim), dtype=np.float32)
    query = rng.standard_normal((args.queries, args.dim), dtype=np.float32)
    gallery[: args.queries] += np.float32(args.correlation) * query
    for features in (query, gallery):
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    person = np.arange(args.queries)
    return {
        "query_feature": query,
        "query_pid": person,
        "query_camid": np.full(args.queries, 2),
        "gallery_feature": gallery,
        "gallery_pid": np.append(person, np.full(args.gallery - args.queries, -1000)),
        "gallery_camid": np.ones(args.gallery, dtype=np.int64),
    }


def bare_product(problem: dict[str, Any], block: int) -> None:
    """Only the products, into one buffer that is used again: nothing can be faster in float32."""
    query = torch.from_numpy(problem["query_feature"])
    gallery = torch.from_numpy(problem["gallery_feature"])
    buffer = torch.empty(len(query) * block)
    for start in range(0, len(gallery), block):
        part = gallery[start : start + block]
        torch.mm(query, part.T, out=buffer[: len(query) * len(part)].view(len(query), len(part)))


def time_in_turns(
    contestants: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():  # a warm-up: threads, buffers, page cache
        run()
    for _ in range(repeats):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def report(args: Args, seconds: dict[str, list[float]], result: RankingResult) -> dict[str, Any]:
    floor = min(min(times) for name, times in seconds.items() if name.startswith("bare"))
    rounds = zip(
        *(times for name, times in seconds.items() if name.startswith("bare")), strict=True
    )
    paired = [ours / min(bare) for ours, bare in zip(seconds["exact"], rounds, strict=True)]
    ratio = min(seconds["exact"]) / floor
    table = Table("", "fastest s", "median s", "x the bare product")
    for name, times in seconds.items():
        median = statistics.median(times)
        table.add_row(name, f"{min(times):.3f}", f"{median:.3f}", f"{min(times) / floor:.2f}")
    console = Console()
    console.print(f"{args.queries:,} queries x {args.gallery:,} images x {args.dim:,} dimensions")
    console.print(table)
    console.print(
        f"exact ranking / bare float32 product: {ratio:.2f} (fastest runs), "
        f"{statistics.median(paired):.2f} (median over rounds); limit {LIMIT}"
    )
    return {
        "sizes": {"queries": args.queries, "gallery": args.gallery, "dim": args.dim},
        "repeats": args.repeats,
        "seconds": seconds,
        "bare_gflops": 2e-9 * args.queries * args.gallery * args.dim / floor,
        "ratio_of_fastest": ratio,
        "median_ratio": statistics.median(paired),
        "limit": LIMIT,
        "rank1": result.rank(1),
        "undecided": result.counts.undecided,
    }


def main() -> int:
    args = tyro.cli(Args, description=__doc__)
    problem = make_problem(args)

    def exact() -> RankingResult:
        return evaluate_ranking(**problem, convention="sysu30k")

    contestants: dict[str, Callable[[], object]] = {
        f"bare, blocks of {block}": partial(bare_product, problem, block) for block in (2048, 4096)
    }
    contestants["exact"] = exact
    seconds = time_in_turns(contestants, args.repeats)
    record = report(args, seconds, exact())
    write_result("ranking", record)
    return 0 if record["ratio_of_fastest"] <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
