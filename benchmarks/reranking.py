"""k-reciprocal re-ranking from sparse sets beside whole tables: memory, time, and their growth.

Three questions: does it find what the dense algorithm finds, and at what price, on the largest
gallery whose tables fit (--dense); how does its time grow (--growth); and how much memory does it
take at the size of SYSU-30k (--full). Its time there is that of the neighbour search, which
compares half of all pairs; to measure the memory alone, --search-dim lets the search see fewer
dimensions, while all other stages run on whole features.

Features are random: a query has one match, everyone else is there a dozen times.

Usage: python benchmarks/reranking.py [--dense 20000] [--full [--search-dim 64]]
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tyro
from machine import write_result
from processes import own_process, unmapped
from reranking_tasks import Outcome, Problem, dense, narrow_search, ours
from rich.console import Console
from rich.table import Table

FULL = 479_730
"""Gallery images of SYSU-30k."""

LIMIT_MB = 6000.0
"""What re-ranking may take, mapped features included."""

_STAGES = ("neighbours", "encoding", "ranking", "in all", "plain ranking")


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    full: bool = False
    """Also re-rank the gallery of SYSU-30k."""
    dense: int = 3000
    """Images in all that the dense algorithm is compared on; 32 bytes of memory for each pair."""
    growth: tuple[int, ...] = (4000, 8000, 16000)
    """Gallery sizes that time is measured at."""
    queries: int = 1000
    """Query images, each with one match in the gallery."""
    dim: int = 2048
    """Length of a feature."""
    search_dim: int | None = None
    """With --full: dimensions that the neighbour search sees; all where it is not given."""
    work_dir: Path = Path("work_dirs/reranking")
    """Where features (4 GB with --full) and the state of an interrupted search go."""


@dataclass(frozen=True)
class Measured:
    """A run in a process of its own.

    Attributes:
        found: What it gave.
        own_mb: The most memory beside pages of mapped files.
        all_mb: The most memory, mapped features included.
    """

    found: Any
    own_mb: float
    all_mb: float

    def record(self) -> dict[str, Any]:
        """As plain values."""
        outcome: Outcome = self.found
        return {
            "seconds": outcome.seconds,
            "peak_mb_beside_mapped_files": self.own_mb,
            "peak_mb": self.all_mb,
            "rank1": outcome.rank1,
            "mean_ap": outcome.mean_ap,
            "before": outcome.before,
        }


def measured(task: Callable[..., Any], *arguments: Any) -> Measured:
    """Runs a task in a fresh process with all cores, and watches its memory."""
    done, peak = threading.Event(), [0.0, 0.0]
    with own_process(threads=len(os.sched_getaffinity(0))) as pool:
        process = pool.submit(os.getpid).result()

        def watch() -> None:
            while not done.wait(0.02):
                peak[0] = max(peak[0], unmapped(process))
                peak[1] = max(peak[1], psutil.Process(process).memory_info().rss / 1e6)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            found = pool.submit(task, *arguments).result()
        finally:
            done.set()
            watcher.join()
    return Measured(found, *peak)


def against_dense(args: Args, console: Console) -> dict[str, Any]:
    queries = min(args.queries, args.dense // 3)
    problem = Problem(
        folder=args.work_dir, queries=queries, gallery=args.dense - queries, dim=args.dim
    )
    problem.write()
    runs = {
        "ours": measured(ours, problem, None),
        "dense, float64": measured(dense, problem, np.float64),
        "dense, float32": measured(dense, problem, np.float32),
    }
    wanted = runs["dense, float64"].found.ranks
    console.print(f"{queries:,} queries, {args.dense:,} images in all, {args.dim:,} dimensions")
    table = Table("", "s", "peak MB", "rank-1", "mAP", "ranks as dense in float64")
    for name, run in runs.items():
        found: Outcome = run.found
        table.add_row(
            name,
            f"{found.seconds['in all']:.2f}",
            f"{run.own_mb:,.0f}",
            f"{found.rank1:.2%}",
            f"{found.mean_ap:.3%}",
            f"{(found.ranks == wanted).sum():,} of {queries:,}",
        )
    console.print(table)
    return {
        "images": args.dense,
        "queries": queries,
        "runs": {
            name: run.record() | {"ranks_as_dense_float64": int((run.found.ranks == wanted).sum())}
            for name, run in runs.items()
        },
    }


def growth(args: Args, console: Console) -> list[dict[str, Any]]:
    records = []
    table = Table("gallery", *_STAGES, "peak MB", title="seconds")
    for size in args.growth:
        problem = Problem(folder=args.work_dir, queries=args.queries, gallery=size, dim=args.dim)
        problem.write()
        run = measured(ours, problem, None)
        records.append({"gallery": size, **run.record()})
        row = [f"{run.found.seconds[stage]:.2f}" for stage in _STAGES]
        table.add_row(f"{size:,}", *row, f"{run.own_mb:,.0f}")
        problem.path.unlink()
    console.print(table)
    seconds = [record["seconds"]["neighbours"] for record in records]
    if len(records) > 1:
        images = [record["gallery"] + args.queries for record in records]
        power = np.log(seconds[-1] / seconds[-2]) / np.log(images[-1] / images[-2])
        whole = seconds[-1] * ((FULL + args.queries) / images[-1]) ** 2
        console.print(
            f"The search grows as N^{power:.2f} at the end; as N² from there it would take "
            f"{whole / 60:.0f} minutes for {FULL:,} images."
        )
    return records


def full(args: Args, console: Console) -> dict[str, Any]:
    problem = Problem(folder=args.work_dir, queries=args.queries, gallery=FULL, dim=args.dim)
    problem.write()
    keep = args.work_dir / f"neighbours-{args.dim}-{args.search_dim or args.dim}"
    record: dict[str, Any] = {"gallery": FULL, "search_dim": args.search_dim or args.dim}
    peaks = []
    if args.search_dim is not None:
        # a narrow search that finds as many near images: cosines as far from those of strangers
        cosine = min(0.9, problem.cosine * (args.dim / args.search_dim) ** 0.5)
        narrow = replace(problem, dim=args.search_dim, cosine=cosine)
        narrow.write()
        search = measured(narrow_search, problem, narrow, keep)
        record["narrow_search"] = {"seconds": search.found, "peak_mb": search.all_mb}
        peaks.append(search)
    run = measured(ours, problem, keep)
    peaks.append(run)
    record |= run.record()
    record["peak_mb"] = max(each.all_mb for each in peaks)
    record["peak_mb_beside_mapped_files"] = max(each.own_mb for each in peaks)
    shutil.rmtree(keep)
    console.print(f"{args.queries:,} queries x {FULL:,} images x {args.dim:,} dimensions")
    if args.search_dim is not None:
        console.print(f"The search saw {args.search_dim} dimensions: ranks mean nothing here.")
    for stage, seconds in run.found.seconds.items():
        console.print(f"  {stage:<16}{seconds:10,.1f} s")
    console.print(
        f"  peak memory {record['peak_mb']:,.0f} MB with mapped features, "
        f"{record['peak_mb_beside_mapped_files']:,.0f} MB beside them; limit {LIMIT_MB:,.0f}"
    )
    return record


def main() -> int:
    args = tyro.cli(Args, description=__doc__)
    console = Console(highlight=False, width=120)
    record: dict[str, Any] = {"dim": args.dim, "limit_mb": LIMIT_MB}
    record["against_dense"] = against_dense(args, console)
    record["growth"] = growth(args, console)
    if args.full:
        record["full"] = full(args, console)
    write_result("reranking_full" if args.full else "reranking", record)
    equal = record["against_dense"]["runs"]["ours"]["ranks_as_dense_float64"]
    good = equal == record["against_dense"]["queries"]
    return 0 if good and (not args.full or record["full"]["peak_mb"] <= LIMIT_MB) else 1


if __name__ == "__main__":
    raise SystemExit(main())
