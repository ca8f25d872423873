"""Exact ranking beside the bare float32 matrix product, FAISS, fast-reid, torchreid and sorting.

1,000 queries against the gallery of SYSU-30k, 479,730 images, with 2,048 dimensions in float32 on
disk. Every contender has a process of its own and takes its turn with all cores; the bare product
(all that must be computed, nothing compared) is timed at several block sizes and the fastest
counts. The features are random, with matches correlated to their queries so that rank-1 is near
27 %, as on SYSU-30k.

Usage: python benchmarks/ranking.py [--full]
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from machine import describe_machine, write_result
from processes import own_process, unmapped
from ranking_contenders import BLOCKS, CONTENDERS, OURS, OURS_FLOAT32, Outcome, Problem
from ranking_rivals import fetch
from rich.console import Console
from rich.table import Table

FULL = 479_730
"""Gallery images of SYSU-30k."""

FAST_REID = "fast-reid, Cython"
SLOW = "scaled"
"""In the names of contenders that take minutes: they are timed in the first round only."""

_CHUNK = 1 << 14
_BF16 = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    full: bool = False
    """The gallery of SYSU-30k instead of a tenth of it."""
    queries: int = 1000
    """Query images, each with one match in the gallery."""
    gallery: int = FULL // 10
    """Gallery images; --full overrides it."""
    dim: int = 2048
    """Length of a feature."""
    repeats: int = 3
    """Rounds; each times every contender once, the slowest in the first only."""
    rank1: float = 0.27
    """How hard the ranking is: about this share of queries finds its match first."""
    work_dir: Path = Path("work_dirs/ranking")
    """Where features (4 GB with --full) and the other toolboxes go; what is there is used again."""


def correlation(args: Args) -> float:
    """How much of its query a match holds, for about the share of first places wanted.

    Scores of strangers are normal with deviation 1/√D; a match's are as well, around this.
    """
    rng = np.random.Generator(np.random.Philox(key=31))
    # The best of G strangers, by inverting the maximum's distribution at uniform quantiles.
    normal = statistics.NormalDist()
    levels = rng.random(20_000) ** (1 / args.gallery)
    best = np.array([normal.inv_cdf(level) for level in levels.tolist()])
    best -= rng.standard_normal(len(best))
    return float(np.quantile(best, args.rank1) / np.sqrt(args.dim))


def make_problem(args: Args) -> Problem:
    """Writes the features, unless they are there."""
    work = args.work_dir.absolute()
    folder = work / f"{args.queries}x{args.gallery}x{args.dim}-{args.rank1:g}"
    problem = Problem(folder, work / "rivals")
    fetch(problem.rivals)
    if folder.exists():
        return problem
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.Philox(key=30))
    query = rng.standard_normal((args.queries, args.dim), dtype=np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    np.save(partial / "query.npy", query)
    gallery = np.lib.format.open_memmap(
        partial / "gallery.npy", "w+", np.float32, (args.gallery, args.dim)
    )
    share = correlation(args)
    for start in range(0, args.gallery, _CHUNK):
        rows = min(_CHUNK, args.gallery - start)
        chunk = rng.standard_normal((rows, args.dim), dtype=np.float32)
        chunk /= np.linalg.norm(chunk, axis=1, keepdims=True)
        matches = query[start : start + rows]
        chunk[: len(matches)] += np.float32(share) * matches
        chunk /= np.linalg.norm(chunk, axis=1, keepdims=True)
        gallery[start : start + rows] = chunk
    gallery.flush()
    partial.rename(folder)
    return problem


class Stand:
    """A contender's process.

    Args:
        name: Of the contender.
        problem: What it ranks.
        pool: Its process.
    """

    def __init__(self, name: str, problem: Problem, pool: ProcessPoolExecutor) -> None:
        self.name, self.problem, self.pool = name, problem, pool
        self.process: int = pool.submit(os.getpid).result()
        self.seconds: list[float] = []
        self.peak_mb = 0.0
        self.outcome = Outcome()

    def turn(self) -> None:
        """Times it once, and watches its memory."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done,))
        watcher.start()
        seconds, self.outcome = self.pool.submit(timed, self.name, self.problem).result()
        done.set()
        watcher.join()
        self.seconds.append(seconds if self.outcome.seconds is None else self.outcome.seconds)

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(0.02):
            self.peak_mb = max(self.peak_mb, unmapped(self.process))


def timed(name: str, problem: Problem) -> tuple[float, Outcome]:
    """Seconds that a contender takes, and what it finds."""
    begun = time.perf_counter()
    outcome = CONTENDERS[name](problem)
    return time.perf_counter() - begun, outcome


@contextmanager
def stands(problem: Problem) -> Iterator[list[Stand]]:
    """A process for each contender."""
    cores = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        yield [
            Stand(name, problem, stack.enter_context(own_process(threads=cores)))
            for name in CONTENDERS
        ]


def figures(there: list[Stand]) -> dict[str, float]:
    """Those that have a limit."""
    by_name = {stand.name: stand for stand in there}
    floor = min(min(stand.seconds) for stand in there[: len(BLOCKS)])
    ours = min(by_name[OURS].seconds)
    return {
        "over_bare_product": ours / floor,
        "float32_over_bare_product": min(by_name[OURS_FLOAT32].seconds) / floor,
        "faster_than_fast_reid": min(by_name[FAST_REID].seconds) / ours,
        "peak_mb": by_name[OURS].peak_mb,
    }


def limits() -> dict[str, float]:
    """What the figures are held to: from above, but for the factor over fast-reid."""
    low_precision = _BF16 & set(describe_machine()["flags"])
    return {
        "over_bare_product": 0.7 if low_precision else 1.15,
        "float32_over_bare_product": 1.15,
        "faster_than_fast_reid": 6.0,
        "peak_mb": 1500.0,
    }


def show(console: Console, there: list[Stand]) -> None:
    """Prints a row for each contender."""
    floor = min(min(stand.seconds) for stand in there[: len(BLOCKS)])
    table = Table("", "fastest s", "median s", "x bare product", "peak MB", "rank-1", "mAP")
    for stand in there:
        best, middle = min(stand.seconds), statistics.median(stand.seconds)
        found = stand.outcome
        shares = ["" if np.isnan(x) else f"{x:.3%}" for x in (found.rank1, found.mean_ap)]
        row = (f"{best:.2f}", f"{middle:.2f}", f"{best / floor:.2f}", f"{stand.peak_mb:,.0f}")
        table.add_row(stand.name, *row, *shares)
    console.print(table)


def main() -> int:
    args = tyro.cli(Args, description=__doc__)
    size = {"queries": args.queries, "gallery": FULL if args.full else args.gallery}
    args = Args(**{**vars(args), **size})
    problem = make_problem(args)
    console = Console(highlight=False, width=120)
    for side in problem.features():  # into the page cache
        for start in range(0, len(side), _CHUNK):
            side[start : start + _CHUNK].sum()
    with stands(problem) as there:
        for number in range(args.repeats):
            for stand in there:
                if number == 0 or SLOW not in stand.name:
                    stand.turn()
    console.print(f"{args.queries:,} queries x {args.gallery:,} images x {args.dim:,} dimensions")
    show(console, there)
    reached, held = figures(there), limits()
    good = {
        name: reached[name] >= limit if name == "faster_than_fast_reid" else reached[name] <= limit
        for name, limit in held.items()
    }
    for name, limit in held.items():
        verdict = "reached" if good[name] else "NOT reached"
        console.print(f"{name:<28}{reached[name]:10,.2f}   limit {limit:g}: {verdict}")
    record = {
        "sizes": size | {"dim": args.dim},
        "repeats": args.repeats,
        "contenders": {
            stand.name: {
                "seconds": stand.seconds,
                "peak_mb_beside_mapped_files": stand.peak_mb,
                "rank1": stand.outcome.rank1,
                "mean_ap": stand.outcome.mean_ap,
                **(stand.outcome.more or {}),
            }
            for stand in there
        },
        "figures": reached,
        "limits": held,
    }
    write_result("ranking_full" if args.full else "ranking", record)
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
