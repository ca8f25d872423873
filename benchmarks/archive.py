"""One archive, read in every way at hand: time to index and to open, memory, and throughput.

A million images of 144 by 288 pixels in tars as downloaded (payloads repeat), all of it in memory:
bagreid beside Python's `tarfile`, torchvision's `ImageFolder` (on a part, extracted), `webdataset`
(sequential by nature) and `litdata` (a part, packed into its chunks). Contenders work in processes
of their own, with one thread each, and take turns. Above them stands the ceiling: the same JPEGs,
already in memory, decoded and resized by as many processes, handed over to nobody.

Usage: python benchmarks/archive.py [--images 1000000]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from archive_setup import PARTS, Setup
from machine import write_result
from processes import bare_workers, in_own_process, memory, own_process
from rich.console import Console
from rich.table import Table

LIMITS = {"headers_a_second": 300_000.0, "headers_over_tarfile": 10.0, "share_of_ceiling": 0.9}
"""What ours are held to, from below."""

WORKERS = (0, 1, 2)

NOTES = {
    "ceiling": "in memory",
    "ImageFolder": "a part",
    "webdataset": "sequential",
    "litdata": "a part",
    "litdata, its own order": "a part, by chunks",
}

PROGRAM = {"bagreid catalog --workers 1": 1, "bagreid catalog --workers 2": 2}
"""Rows of the whole program, with its number of workers."""

ONCE = ("tarfile", "ceiling")
"""Contenders that are opened once, for it takes long."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    images: int = 1_000_000
    """Images of the archive."""
    files: int = 50_000
    """Images of the part that is extracted for ImageFolder."""
    packed: int = 100_000
    """Images of the part that litdata packs."""
    rounds: int = 3
    """How often everything is timed."""
    seconds: float = 2.0
    """About how long one timing of throughput takes."""
    work_dir: Path = Path("work_dirs/archive")
    """Where everything is written (4 GB); what is there is used again. In /dev/shm it stays in
    memory even where the system drops its page cache early, as some virtual machines do."""


def prepare(setup: Setup) -> dict[str, int]:
    """Makes the archive, its extracted part, and the catalog; reads it all once.

    Args:
        setup: Where, and how large.

    Returns:
        The archive in numbers.
    """
    # Imported here: a process that is weighed imports this file, and should be as bare as can be.
    import archive_files
    from contenders import Bagreid

    archive_files.make_archive(setup)
    ours = Bagreid(setup)
    ours.open()
    archive_files.extract_part(setup, ours.name, ours.read)
    archive_files.warm(setup)
    return archive_files.describe(setup)


Stands = dict[str, ProcessPoolExecutor]


@contextmanager
def all_stands(setup: Setup) -> Iterator[Stands]:
    """A process for each contender, all of them waiting for their turn."""
    import stands
    from contenders import CONTENDERS

    with ExitStack() as stack:
        yield {
            name: stack.enter_context(own_process(stands.begin, name, setup)) for name in CONTENDERS
        }


def headers(there: Stands, rounds: int) -> dict[str, Any]:
    """Headers a second of one core, ours and tarfile's, tar by tar in turns."""
    import stands

    seen: dict[str, list[tuple[int, float, float]]] = {"bagreid": [], "tarfile": []}
    for part in range(rounds * PARTS):
        for name, scans in seen.items():
            scans.append(there[name].submit(stands.scan, part % PARTS).result())
    rates = {
        name: {
            "best": max(members / clock for members, clock, _ in scans),
            "median": statistics.median(members / clock for members, clock, _ in scans),
            "best_of_processor_time": max(members / used for members, _, used in scans),
        }
        for name, scans in seen.items()
    }
    return {**rates, "ratio": rates["bagreid"]["best"] / rates["tarfile"]["best"]}


def indexing(there: Stands, setup: Setup, rounds: int) -> dict[str, Any]:
    """Seconds to index, and to open what is indexed."""
    import stands

    times: dict[str, list[float]] = {"bagreid": [], **{name: [] for name in PROGRAM}}
    for _ in range(rounds):
        times["bagreid"].append(there["bagreid"].submit(stands.index).result())
        for name, workers in PROGRAM.items():
            times[name].append(run_program(setup, workers))
    pack = there["litdata"].submit(stands.index).result()
    opened = {
        name: [stand.submit(stands.open_).result() for _ in range(1 if name in ONCE else rounds)]
        for name, stand in there.items()
    }
    again = {name: min(times) for name, times in opened.items() if name != "ceiling"}
    return {
        "index": {
            **{name: _row(min(seen), setup.images, setup) for name, seen in times.items()},
            "tarfile": _row(again["tarfile"], setup.images, setup),
            "ImageFolder": _row(again["ImageFolder"], setup.files, setup),
            "litdata": _row(pack, setup.packed, setup),
        },
        "open_again": again,
        "rounds": {**times, "open": opened},
    }


def run_program(setup: Setup, workers: int) -> float:
    """Seconds that `bagreid catalog` takes as a program, from its start to its end."""
    command = [sys.executable, "-m", "bagreid", "catalog", str(setup.root)]
    command += ["--cache", str(setup.cache), "--rebuild", "--workers", str(workers)]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _row(seconds: float, images: int, setup: Setup) -> dict[str, float]:
    """Seconds for so many images, and what they make for all."""
    return {
        "images": images,
        "seconds": seconds,
        "images_a_second": images / seconds,
        "seconds_for_all": seconds / images * setup.images,
    }


def throughput(there: Stands, args: Args) -> dict[str, Any]:
    """Images a second of all contenders, in turns."""
    import stands

    rates: dict[str, dict[str, dict[int, list[float]]]] = {
        what: {name: {workers: [] for workers in WORKERS} for name in there}
        for what in ("bytes", "pixels")
    }
    for seed in range(args.rounds):
        for what, by_name in rates.items():
            for workers in WORKERS:
                for name, stand in there.items():
                    seen = stand.submit(stands.rate, what, workers, args.seconds, seed).result()
                    by_name[name][workers].append(seen)
    return {
        what: {
            name: {
                f"{workers} workers": {"best": max(seen), "median": statistics.median(seen)}
                for workers, seen in by_workers.items()
            }
            for name, by_workers in by_name.items()
        }
        for what, by_name in rates.items()
    }


def weights(setup: Setup) -> dict[str, Any]:
    """Memory of each contender, one after another, nothing else running."""
    import stands
    from contenders import CONTENDERS

    found: dict[str, Any] = {
        "bare import torch": {
            "main": in_own_process(memory),
            "worker": in_own_process(bare_workers, "fork", WORKERS[-1]),
        }
    }
    for name in CONTENDERS:
        if name != "ceiling":
            found[name] = in_own_process(stands.weigh, name, setup, WORKERS[-1])
    return found


def show_indexing(console: Console, result: dict[str, Any]) -> None:
    """Prints how fast headers are found, and what indexing takes."""
    found = result["headers"]
    for name in ("bagreid", "tarfile"):
        console.print(
            f"{name:<8} finds {found[name]['best']:>9,.0f} headers a second on one core "
            f"(median {found[name]['median']:,.0f})"
        )
    console.print(f"ratio {found['ratio']:.1f}\n")
    table = Table("to index", "images", "s", "images/s", "s for all", "x ours", "to open again, ms")
    index, again = result["indexing"]["index"], result["indexing"]["open_again"]
    ours = index["bagreid"]["seconds_for_all"]
    for name, row in index.items():
        whole = row["seconds_for_all"]
        table.add_row(
            name,
            f"{row['images']:,}",
            f"{row['seconds']:.2f}",
            f"{row['images_a_second']:,.0f}",
            f"{whole:.2f}" + ("" if row["images"] == result["archive"]["images"] else " (scaled)"),
            f"{whole / ours:.2f}",
            f"{1e3 * again[name]:,.1f}" if name in again else "",
        )
    table.add_row("webdataset", "", "none needed: it only reads in sequence", "", "", "", "")
    console.print(table)


def show_throughput(console: Console, rates: dict[str, Any]) -> None:
    """Prints images a second, and shares of the ceiling."""
    for what, title in (("bytes", "bytes only"), ("pixels", "decoded and resized")):
        table = Table("images/s, " + title, *(f"{workers} workers" for workers in WORKERS))
        ceiling = rates[what]["ceiling"]
        for name, seen in rates[what].items():
            cells = [
                f"{seen[key]['best']:>9,.0f}  {seen[key]['best'] / ceiling[key]['best']:>6.3f}"
                for key in seen
            ]
            table.add_row(f"{name} ({NOTES[name]})" if name in NOTES else name, *cells)
        console.print(table)


def show_memory(console: Console, found: dict[str, Any]) -> None:
    """Prints what processes take."""
    table = Table("memory, MB (10⁶ bytes)", "main PSS", "worker PSS", "worker USS", "its own")
    for name, seen in found.items():
        main, worker = seen["main"], seen["worker"]
        cells = (main["pss"], worker["pss"], worker["uss"], worker["own"])
        title = f"{name} ({NOTES[name]})" if name in NOTES else name
        table.add_row(title, *(f"{cell:,.0f}" for cell in cells))
    console.print(table)


def figures(result: dict[str, Any]) -> dict[str, float]:
    """Those that have a limit."""
    pixels = result["throughput"]["pixels"]
    shares = [
        seen["best"] / pixels["ceiling"][workers]["best"]
        for workers, seen in pixels["bagreid"].items()
    ]
    return {
        "headers_a_second": result["headers"]["bagreid"]["best"],
        "headers_over_tarfile": result["headers"]["ratio"],
        "share_of_ceiling": min(shares),
    }


def main() -> int:
    args = tyro.cli(Args, description=__doc__)
    begun = time.monotonic()
    work = args.work_dir.absolute()
    # litdata keeps things in the user's home otherwise.
    for name in ("DATA_OPTIMIZER_CACHE_FOLDER", "DATA_OPTIMIZER_DATA_CACHE_FOLDER"):
        os.environ[name] = str(work / "litdata-cache")
    images = args.images
    setup = Setup(work, images, min(args.files, images), min(args.packed, images))
    console = Console(highlight=False, width=120)
    result: dict[str, Any] = {"archive": in_own_process(prepare, setup)}
    console.print(f"{images:,} images in {PARTS} tars are ready ({time.monotonic() - begun:.0f} s)")
    with all_stands(setup) as there:
        result["headers"] = headers(there, args.rounds)
        result["indexing"] = indexing(there, setup, args.rounds)
        show_indexing(console, result)
        result["throughput"] = throughput(there, args)
        show_throughput(console, result["throughput"])
    result["memory"] = weights(setup)
    show_memory(console, result["memory"])
    reached = figures(result)
    for name, limit in LIMITS.items():
        verdict = "reached" if reached[name] >= limit else "NOT reached"
        console.print(f"{name:<22}{reached[name]:12,.2f}   at least {limit:g}: {verdict}")
    result |= {"rounds": args.rounds, "seconds": time.monotonic() - begun}
    write_result("archive", {"limits": LIMITS, "figures": reached, **result})
    return 0 if all(reached[name] >= limit for name, limit in LIMITS.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
