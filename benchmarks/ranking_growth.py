"""Time and memory of an exact ranking against the size of the gallery and the number of queries.

From 10,000 images to the gallery of SYSU-30k, beside the bare float32 product, each in a process of
its own. Writes a plot beside the figures.

Usage: python benchmarks/ranking_growth.py
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ranking
import tyro
from machine import RESULTS, write_result
from processes import own_process
from ranking_contenders import BLOCKS, OURS
from rich.console import Console
from rich.table import Table

from bagreid.report.statistics.axes import across, power_axis, upwards
from bagreid.report.statistics.marks import Disc, Figure, Key, Label, Mark, Polyline
from bagreid.report.statistics.raster import png_file
from bagreid.report.statistics.svg import svg_file

GALLERIES = (10_000, 30_000, 100_000, 240_000, ranking.FULL)
QUERIES = (100, 200, 500, 1000)
BARE = f"bare float32 product, blocks of {BLOCKS[-1]}"
_TITLES = {OURS: "bagreid", BARE: "bare float32 product"}


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    repeats: int = 2
    """Rounds; each times every size once."""
    work_dir: Path = Path("work_dirs/ranking")
    """Where the features are, or go (4 GB)."""


def measure(args: Args) -> list[dict[str, Any]]:
    """Rows: contender, queries, gallery, fastest seconds, peak memory."""
    options = ranking.Args(gallery=ranking.FULL, work_dir=args.work_dir)
    problem = ranking.make_problem(options)
    sizes = [(1000, gallery) for gallery in GALLERIES]
    sizes += [(queries, ranking.FULL) for queries in QUERIES[:-1]]
    cores = len(os.sched_getaffinity(0))
    seen: dict[tuple[str, int, int], ranking.Stand] = {}
    with ExitStack() as stack:
        for queries, gallery in sizes:
            part = replace(problem, queries=queries, gallery=gallery)
            for name in (OURS, BARE):
                pool = stack.enter_context(own_process(threads=cores))
                seen[name, queries, gallery] = ranking.Stand(name, part, pool)
        for _ in range(args.repeats):
            for stand in seen.values():
                stand.turn()
    return [
        {
            "contender": name,
            "queries": queries,
            "gallery": gallery,
            "seconds": min(stand.seconds),
            "peak_mb": stand.peak_mb,
        }
        for (name, queries, gallery), stand in seen.items()
    ]


def picture(rows: Sequence[dict[str, Any]]) -> Figure:
    """Seconds against the gallery's size on the left, peak memory on the right."""
    rows = [{**row, "ms": 1e3 * row["seconds"]} for row in rows]
    left = _panel(rows, "ms", "milliseconds, 1,000 queries", 50.0)
    right = _panel(rows, "peak_mb", "peak MB beside mapped files", 410.0)
    return Figure(
        name="ranking_growth",
        title="Exact ranking of 1,000 queries against a growing gallery",
        note="2,048 dimensions, float32 on disk; memory beside the pages of mapped files.",
        description="Time grows with the gallery, memory does not.",
        width=700,
        height=300,
        marks=[*left, *right],
        legend=[
            Key(name=title, tone=f"s{n}", shape="line") for n, title in enumerate(_TITLES.values())
        ],
        header=list(rows[0]),
        rows=[list(row.values()) for row in rows],
    )


def _panel(rows: Sequence[dict[str, Any]], what: str, title: str, left: float) -> list[Mark]:
    chosen = [row for row in rows if row["queries"] == QUERIES[-1]]
    values = [row[what] for row in chosen]
    x = power_axis(min(GALLERIES), max(GALLERIES), left, left + 270)
    y = power_axis(max(1, int(min(values))), round(max(values)), 250.0, 40.0)
    marks = [*across(x, 250.0, "gallery images"), *upwards(y, left, left + 270, title)]
    for number, name in enumerate(_TITLES):
        points = tuple(
            (x.at(row["gallery"]), y.at(row[what])) for row in chosen if row["contender"] == name
        )
        marks.append(Polyline(points=points, tone=f"s{number}"))
        marks += [Disc(x=at, y=up, radius=3, tone=f"s{number}") for at, up in points]
        last = next(row for row in reversed(chosen) if row["contender"] == name)
        at, up = points[-1]
        text = f"{last[what] / 1e3:,.1f} s" if what == "ms" else f"{last[what]:,.0f} MB"
        marks.append(Label(x=at + 8, y=up + 4, text=text, tone=f"s{number}"))
    return marks


def main() -> int:
    rows = measure(tyro.cli(Args, description=__doc__))
    table = Table("", "queries", "gallery", "s", "peak MB")
    for row in rows:
        name, *numbers = row.values()
        table.add_row(name, *(f"{n:,.2f}" if isinstance(n, float) else f"{n:,}" for n in numbers))
    Console().print(table)
    figure = picture(rows)
    (RESULTS / "ranking_growth.svg").write_text(svg_file(figure))
    (RESULTS / "ranking_growth.png").write_bytes(png_file(figure))
    write_result("ranking_growth", {"rows": rows})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
