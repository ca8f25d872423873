"""The tables: what is here beside what is published, and the release's Table 1 and Table 2."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from bagreid.catalog.published import title_of
from bagreid.catalog.statistics import Statistics
from bagreid.report.statistics.datasets import (
    IMAGENET,
    PUBLISHED_SETS,
    DataSet,
    this_archive,
)
from bagreid.report.wording import MINUS

Cell = str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        name: Stem of its files.
        title: Its heading.
        header: Names of the columns.
        rows: Its cells; ``None`` where there is nothing to say.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def csv(self) -> str:
        """The table for programs: plain numbers, empty cells where nothing is known."""
        return csv_text(self.header, [["" if c is None else c for c in row] for row in self.rows])

    def markdown(self) -> str:
        """The table for people and read-me files."""
        lines = [f"**{self.title}**", "", _line(self.header)]
        lines.append(_line(["---", *("---:" if self._numbers(n) else "---" for n in self._rest())]))
        lines += [_line([shown(cell) for cell in row]) for row in self.rows]
        return "\n".join(lines) + "\n"

    def _rest(self) -> range:
        return range(1, len(self.header))

    def _numbers(self, column: int) -> bool:
        return any(isinstance(row[column], int) for row in self.rows)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as CSV.

    Args:
        header: Names of the columns.
        rows: The cells.

    Returns:
        The text, a line a row.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def shown(cell: Cell) -> str:
    """A cell for people: thousands set apart, a dash for nothing."""
    if cell is None:
        return "\u2013"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def counts_table(statistics: Statistics) -> Table:
    """Every published count with this archive's beside it.

    Args:
        statistics: The archive's numbers.

    Returns:
        The table; with the differences where the archive is meant to be the whole set.
    """
    header = ["", "here", "published"]
    rows: list[list[Cell]] = []
    for entry in statistics.counts:
        if entry.published is None:
            continue
        row: list[Cell] = [entry.name, entry.here, entry.published]
        if statistics.full_set:
            row.append(signed(entry.here - entry.published))
        rows.append(row)
    if statistics.full_set:
        header.append("difference")
    title = f"What is here, beside what is published of {title_of(statistics.labelled)}"
    return Table(name="counts", title=title, header=header, rows=rows)


def signed(difference: int) -> str:
    """A difference with its sign: ``+1,204``; ``none`` for 0."""
    if not difference:
        return "none"
    return f"{MINUS if difference < 0 else '+'}{abs(difference):,}"


def table_1(statistics: Statistics) -> Table:
    """The release's Table 1, re-identification sets side by side, and this archive.

    Args:
        statistics: The archive's numbers.

    Returns:
        A row a data set; the archive comes last.
    """
    return Table(
        name="table1",
        title="Table 1: person re-identification sets",
        header=["data set", "identities", "scene", "annotation", "cameras", "images"],
        rows=[
            [s.name, s.identities, s.scene, s.annotation, s.cameras, s.images]
            for s in (*PUBLISHED_SETS, this_archive(statistics))
        ],
    )


def table_2(statistics: Statistics) -> Table:
    """The release's Table 2, against ImageNet-1k, and this archive.

    Args:
        statistics: The archive's numbers.

    Returns:
        A row a data set; images a category are images by categories, rounded.
    """
    sets: tuple[DataSet, ...] = (IMAGENET, PUBLISHED_SETS[-1], this_archive(statistics))
    return Table(
        name="table2",
        title="Table 2: beside ImageNet-1k",
        header=["data set", "categories", "images", "images a category", "annotation"],
        rows=[
            [
                s.name,
                s.identities,
                s.images,
                round(s.images / s.identities) if s.identities else None,
                s.annotation,
            ]
            for s in sets
        ],
    )
