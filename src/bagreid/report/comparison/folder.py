"""A comparison from its files to its page, its figures and its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bagreid.contracts import BagreidError
from bagreid.files import write_beside, write_json
from bagreid.report.comparison.entries import Entry, read_entries
from bagreid.report.comparison.figures import (
    Drawn,
    cmc_figure,
    drawn,
    needle_figures,
    rank_figures,
)
from bagreid.report.comparison.numbers import SCHEMA, numbers
from bagreid.report.comparison.page import headline, render
from bagreid.report.comparison.pairing import Pair, pair_up
from bagreid.report.comparison.scatter import rank_scatter
from bagreid.report.fields import read_json
from bagreid.report.statistics.marks import Figure
from bagreid.report.statistics.raster import png_file
from bagreid.report.statistics.svg import svg_file
from bagreid.report.statistics.tables import csv_text

PAGE = "compare.html"
NUMBERS = "compare.json"

_STEM = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Evaluations side by side.

    Attributes:
        entries: The evaluations, the first one first.
        methods: The same with their needle curves.
        pairs: The first against each of the others; none where they are not to be tested.
        seed: What the bootstrap was drawn by.
    """

    entries: tuple[Entry, ...]
    methods: tuple[Drawn, ...]
    pairs: tuple[Pair, ...]
    seed: int

    @property
    def headline(self) -> str:
        """The outcome in a sentence."""
        return headline(self.entries, self.pairs)

    def numbers(self) -> dict[str, Any]:
        """All of it as plain values."""
        paths = [str(entry.path) for entry in self.entries]
        return numbers(self.methods, self.pairs, seed=self.seed, paths=paths)


def compare(paths: Sequence[Path], *, paired: bool = True, seed: int = 0) -> Comparison:
    """Sets evaluations side by side, and tests the first against each of the others.

    Args:
        paths: Files that bagreid evaluate wrote, or folders with an ``evaluation.json``.
        paired: Whether to test, which needs the same queries and the same gallery.
        seed: What the bootstrap's draws follow from.

    Returns:
        The comparison.

    Raises:
        BagreidError: When a file is absent or broken, or two are not of the same test.
    """
    entries = read_entries(paths)
    pairs = pair_up(entries, seed=seed) if paired and len(entries) > 1 else []
    methods = [drawn(entry.name, place, entry.evaluation) for place, entry in enumerate(entries)]
    return Comparison(entries=tuple(entries), methods=tuple(methods), pairs=tuple(pairs), seed=seed)


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """Writes the page, with every figure as SVG, PNG and CSV beside it, and the numbers.

    Args:
        comparison: What to show.
        out: The folder; it is made.

    Returns:
        The page's path.

    Raises:
        BagreidError: When the folder cannot be written.
    """
    methods, pairs = comparison.methods, comparison.pairs
    cmc = cmc_figure(methods)
    curves = [*([cmc] if cmc else []), *needle_figures(methods)]
    ranks = rank_figures(methods)
    scatters = [
        rank_scatter(pair, "ranks" if len(pairs) == 1 else f"ranks-{place}", (0, place))
        for place, pair in enumerate(pairs, 1)
    ]
    drawn_now = [*curves, *ranks, *scatters]
    for figure in drawn_now:
        _draw(figure, out)
    stems = [figure.name for figure in drawn_now]
    _remove_older(out, stems)
    write_json(out / NUMBERS, {**comparison.numbers(), "figures": stems})
    page = out / PAGE
    _put(page, render(comparison.entries, pairs, curves, ranks, scatters).encode())
    return page


def _remove_older(out: Path, stems: Sequence[str]) -> None:
    """Removes figures that an earlier comparison left in the folder and this one has not."""
    try:
        before = read_json(out / NUMBERS)
        before.expect_schema(SCHEMA)
        figures = before.data.get("figures")
    except BagreidError:  # nothing there, or nothing of ours
        return
    for stem in figures if isinstance(figures, list) else []:
        if stem not in stems and _STEM.fullmatch(str(stem)):
            for suffix in (".svg", ".png", ".csv"):
                (out / f"{stem}{suffix}").unlink(missing_ok=True)


def _draw(figure: Figure, out: Path) -> None:
    _put(out / f"{figure.name}.svg", svg_file(figure).encode())
    _put(out / f"{figure.name}.png", png_file(figure))
    _put(out / f"{figure.name}.csv", csv_text(figure.header, figure.rows).encode())


def _put(path: Path, data: bytes) -> None:
    with write_beside(path, remedy="Choose a place with --out") as file:
        file.write(data)
