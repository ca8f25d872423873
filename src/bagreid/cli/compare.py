"""``bagreid compare``: evaluations side by side, tested on the same queries, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from bagreid.cli.parsing import parse_options

if TYPE_CHECKING:
    from rich.console import Console

    from bagreid.report.comparison import Comparison
    from bagreid.report.comparison.pairing import Pair
    from bagreid.report.results import Evaluation

DESCRIPTION = """Sets evaluations side by side, and the first against each of the others, query by
query: exact McNemar for rank-1, bootstrap intervals of every difference.

Two methods: bagreid compare A.json B.json --out DIR

One method, for its curves alone: bagreid compare A.json --out DIR

Other queries or another gallery, drawn without a test: bagreid compare A.json B.json --unpaired"""

_SIZES = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True, kw_only=True)
class CompareArgs:
    """What ``bagreid compare`` is asked."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="A.json …")]
    """What bagreid evaluate wrote, one file a method (or the folder of a run with its
    evaluation.json); the first is set against each of the others."""

    out: Path | None = None
    """Folder for a page with CMC, needle curves, first-match ranks and query against query, each
    also as SVG, PNG and CSV, and for the numbers."""

    json: Path | None = None
    """Also write the numbers to this file."""

    unpaired: bool = False
    """Only draw: for evaluations on different queries, galleries or conventions."""

    seed: int = 0
    """What the bootstrap is drawn by."""

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("name at least one file that bagreid evaluate wrote")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")


def main(argv: Sequence[str], *, prog: str) -> int:
    """Parses, compares, prints, and writes what is wanted.

    Args:
        argv: Arguments behind the verb.
        prog: How the program is called in messages.

    Returns:
        The exit code.
    """
    args = parse_options(CompareArgs, argv, prog=prog, description=DESCRIPTION)
    from rich.console import Console

    from bagreid.files import write_json
    from bagreid.report.comparison import compare, write_comparison

    console = Console(highlight=False)
    comparison = compare(args.files, paired=not args.unpaired, seed=args.seed)
    _print_methods(console, comparison)
    for pair in comparison.pairs:
        _print_pair(console, pair, several=len(comparison.pairs) > 1)
    _print_cautions(console, comparison)
    if args.json is not None:
        write_json(args.json, comparison.numbers())
        _say_written(console, args.json)
    if args.out is not None:
        _say_written(console, write_comparison(comparison, args.out))
    return 0


def _say_written(console: Console, path: Path) -> None:
    console.print(f"written: {path}", style="dim", soft_wrap=True, markup=False)


def _print_methods(console: Console, comparison: Comparison) -> None:
    """Rank-k with intervals, and mAP."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("method")
    for name in ("rank-1", "rank-5", "rank-10", "mAP"):
        table.add_column(name, justify="right")
    for method in comparison.methods:
        evaluation = method.evaluation
        ranks = [_rank_cell(evaluation, k) for k in (1, 5, 10)]
        table.add_row(Text(method.name), *ranks, f"{evaluation.mean_ap:.2%}")
    console.print(table)
    _print_needle(console, comparison)


def _rank_cell(evaluation: Evaluation, k: int) -> str:
    share, interval = evaluation.rank(k), evaluation.interval(k)
    if share is None:
        return "–"
    return f"{share:.1%}" + (f"\n{interval[0]:.1%} – {interval[1]:.1%}" if interval else "")


def _print_needle(console: Console, comparison: Comparison) -> None:
    """Expected rank-1 in smaller galleries, where these are smaller than what was tested."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from bagreid.report.comparison.entries import needle_of

    having = [(m, int(m.curve.sizes[-1])) for m in comparison.methods if m.curve is not None]
    sizes = [size for size in _SIZES if any(size < most for _, most in having)]
    if not sizes:
        return
    table = Table(title="Expected rank-1 among so many wrong answers", title_justify="left")
    table.add_column("method")
    for header in (*(f"{size:,}" for size in sizes), "all"):
        table.add_column(header, justify="right")
    for method, most in having:
        asked = [*(size for size in sizes if size < most), most]
        curve = needle_of(method.evaluation, (1,), np.array(asked))
        shares = [f"{share:.1%}" for share in curve.share[:, 0].tolist()]
        cells = [*shares[:-1], *["–"] * (len(sizes) + 1 - len(shares)), shares[-1]]
        table.add_row(Text(method.name), *cells)
    console.print(table)


def _print_pair(console: Console, pair: Pair, *, several: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from bagreid.report.comparison.page import measure_rows
    from bagreid.report.comparison.verdict import verdict

    names = Text.assemble("A: ", pair.first.name, "\nB: ", pair.second.name)
    table = Table(title=names, title_justify="left")
    table.add_column("percent")
    headers = ("A", "B", "A − B", "95 % interval", "only A", "only B", "McNemar p")
    for header in headers:
        table.add_column(header, justify="right")
    for row in measure_rows(pair):
        cells = (row.first, row.second, row.difference, row.interval)
        last = (row.only_first, row.only_second, row.p_value)
        table.add_row(row.name, *cells, *(cell or "–" for cell in last))
    console.print(table)
    console.print(Text(verdict(pair, corrected=several)), style="bold", soft_wrap=True)


def _print_cautions(console: Console, comparison: Comparison) -> None:
    from bagreid.report.comparison.verdict import cautions

    for caution in cautions([(m.name, m.evaluation) for m in comparison.methods], comparison.pairs):
        console.print(caution, style="dim", soft_wrap=True, markup=False)
