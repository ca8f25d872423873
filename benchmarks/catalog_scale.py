"""The catalog and the plan at SYSU-30k's size: 29,126,188 train and 480,730 test images.

The columns are fabricated, the rest is real: the catalog is written by the catalog's own writer and
opened in fresh processes, batches are planned and decoded in the workers of real loaders. Tars are
sparse files that hold images only where batches look. It takes 500 MB of disk.

Usage: python benchmarks/catalog_scale.py [--work-dir work_dirs/catalog_scale]
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from machine import write_result
from processes import Weight, bare_workers, in_own_process
from rich.console import Console
from rich.table import Table

KINDS = ("windows", "bag_file", "identities")
METHODS = ("fork", "spawn")
WORKERS = 2
OPENINGS = 9

LIMITS = {
    "open_ms": 100.0,
    "worker_mb": 150.0,
    "batch_ms": 1.0,
    "epoch_start_s": 2.0,
    "bytes_an_image": 20.0,
}
"""What the figures are held to."""

_OPEN = """
import json, sys, time
from pathlib import Path
begun = time.perf_counter()
from bagreid.catalog import open_catalog
imported = time.perf_counter()
catalog = open_catalog(Path(sys.argv[1]), cache=Path(sys.argv[2]))
opened = time.perf_counter()
row = int(catalog.size[len(catalog) // 2])
print(json.dumps({"import_ms": 1e3 * (imported - begun), "open_ms": 1e3 * (opened - imported)}))
"""


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    work_dir: Path = Path("work_dirs/catalog_scale")
    """Where the archive goes; it is made anew each time."""


def opening(root: Path, cache: Path) -> dict[str, Any]:
    """Opens the catalog in fresh processes; milliseconds."""
    command = [sys.executable, "-c", _OPEN, str(root), str(cache)]
    seen = [json.loads(subprocess.check_output(command)) for _ in range(OPENINGS)]
    return {
        "open_ms": statistics.median(one["open_ms"] for one in seen),
        "open_slowest_ms": max(one["open_ms"] for one in seen),
        "import_ms": statistics.median(one["import_ms"] for one in seen),
        "processes": OPENINGS,
    }


def worker_memory(root: Path, cache: Path) -> dict[str, Any]:
    """Megabytes of workers of each kind, over those of a worker that only imported torch."""
    import scale_tasks

    found: dict[str, Any] = {}
    for method in METHODS:
        bare = in_own_process(bare_workers, method, WORKERS)
        found[method] = {"bare": bare}
        for kind in KINDS:
            weights = in_own_process(scale_tasks.bag_workers, root, cache, kind, method, WORKERS)
            found[method][kind] = {
                **weights,
                "over_bare": weights["planned"]["uss"] - bare["uss"],
                "peak_over_bare": weights["peak"]["uss"] - bare["uss"],
            }
    return found


def measure(root: Path, cache: Path, console: Console) -> dict[str, Any]:
    """Everything, each in processes of its own, one after another."""
    # Imported here: a process that is weighed imports this file, and should be as bare as can be.
    import scale_tasks

    console.print("fabricating the archive …")
    result: dict[str, Any] = {"catalog": in_own_process(scale_tasks.make_archive, root, cache)}
    console.print("opening, planning …")
    result["opening"] = opening(root, cache)
    result["plan"] = {
        kind: in_own_process(scale_tasks.plan_times, root, cache, kind) for kind in KINDS
    }
    result["names_as_lists"] = in_own_process(scale_tasks.list_cost, root, cache)
    console.print("weighing workers …")
    result["workers"] = worker_memory(root, cache)
    alone = in_own_process(scale_tasks.bag_workers, root, cache, "windows", "fork", 1)
    result["one_worker_alone"] = alone
    return result


def figures(result: dict[str, Any]) -> dict[str, float]:
    """The worst of each figure that has a limit."""
    weighed = [result["workers"][method][kind] for method in METHODS for kind in KINDS[:2]]
    return {
        "open_ms": result["opening"]["open_ms"],
        "worker_mb": max(weight["over_bare"] for weight in weighed),
        "batch_ms": max(times["batch_ms"] for times in result["plan"].values()),
        "epoch_start_s": max(times["epoch_start_s"] for times in result["plan"].values()),
        "bytes_an_image": result["catalog"]["bytes_an_image"],
    }


def show(console: Console, result: dict[str, Any]) -> None:
    """Prints tables."""
    catalog, opened = result["catalog"], result["opening"]
    console.print(
        f"{catalog['rows']:,} images; the catalog takes {catalog['bytes'] / 1e6:,.0f} MB, "
        f"{catalog['bytes_an_image']:.2f} bytes an image; it opens in {opened['open_ms']:.1f} ms "
        f"(slowest {opened['open_slowest_ms']:.1f}, imports before that "
        f"{opened['import_ms']:.0f})"
    )
    table = Table("plan", "made s", "epoch starts s", "batch ms", "slowest batch ms")
    for kind, times in result["plan"].items():
        names = ("make_s", "epoch_start_s", "batch_ms", "batch_slowest_ms")
        table.add_row(kind, *(f"{times[name]:.2f}" for name in names))
    console.print(table)
    table = Table("worker, MB (10⁶ bytes)", "USS", "over bare", "own", "PSS", "peak, decoding")
    for method, kinds in result["workers"].items():
        bare = kinds["bare"]
        table.add_row(f"{method}, bare import torch", *_megabytes(bare, None), "")
        for kind in KINDS:
            seen = kinds[kind]
            weight = seen["planned"]
            peak = f"{seen['peak']['uss']:.0f}"
            table.add_row(f"{method}, {kind}", *_megabytes(weight, seen["over_bare"]), peak)
    alone = result["one_worker_alone"]
    over = alone["planned"]["uss"] - result["workers"]["fork"]["bare"]["uss"]
    peak = f"{alone['peak']['uss']:.0f}"
    table.add_row("fork, windows, one worker", *_megabytes(alone["planned"], over), peak)
    console.print(table)
    lists = result["names_as_lists"]
    console.print(
        f"names of folders and bags as lists: {lists['own']:.1f} MB, {lists['ms']:.0f} ms"
    )


def _megabytes(weight: Weight, over: float | None) -> tuple[str, str, str, str]:
    difference = "" if over is None else f"{over:+.0f}"
    return f"{weight['uss']:.0f}", difference, f"{weight['own']:.0f}", f"{weight['pss']:.0f}"


def main() -> int:
    args = tyro.cli(Args, description=__doc__)
    console = Console(highlight=False, width=110)
    shutil.rmtree(args.work_dir, ignore_errors=True)
    result = measure(
        args.work_dir.absolute() / "archive", args.work_dir.absolute() / "cache", console
    )
    show(console, result)
    reached = figures(result)
    for name, limit in LIMITS.items():
        verdict = "reached" if reached[name] <= limit else "NOT reached"
        console.print(f"{name:<16}{reached[name]:10.2f}   limit {limit:g}: {verdict}")
    write_result("catalog_scale", {"limits": LIMITS, "figures": reached, **result})
    return 0 if all(reached[name] <= limit for name, limit in LIMITS.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
