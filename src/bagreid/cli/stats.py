"""``bagreid stats ROOT``: an archive in figures, tables and one page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from bagreid.cli.parsing import parse_options
from bagreid.contracts import BagreidError, QuarantineChoice

if TYPE_CHECKING:
    from rich.console import Console

    from bagreid.catalog import Catalog
    from bagreid.catalog.image_sizes import SizeProgress
    from bagreid.contracts import IntArray
    from bagreid.report.statistics.tables import Table

SAMPLE = 4096
"""Images whose size is read unless one asks for more: shares are then right to 1.6 points."""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class StatsArgs:
    """What ``bagreid stats`` is asked."""

    root: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ROOT")]
    """The archive: the outer or the inner folder, tars or extracted files, or a link to it; or the
    URL of a folder (http, s3 …)."""

    out: Path | None = None
    """Folder for the page and its files; work_dirs/stats/<name of the archive> when left out."""

    sizes: Annotated[str, tyro.conf.arg(metavar="N|all")] = str(SAMPLE)
    """Images whose height and width are read from their headers: a number of them, spread over the
    archive, or all."""

    seed: int = 0
    """What the sample of sizes is drawn by."""

    pictures: bool = True
    """Whether the page shows examples, which are images of people."""

    quarantine: QuarantineChoice = "auto"
    """The list of images known to be broken, which are not read. auto: the one beside the catalog;
    off: none; or a file of yours."""

    workers: int = field(default_factory=_cores)
    """Processes that read image headers."""

    cache: Path | None = None
    """Folder for catalogs; without it $BAGREID_CACHE, or ~/.cache/bagreid."""

    def __post_init__(self) -> None:
        if self.sizes != "all" and not (self.sizes.isascii() and self.sizes.isdigit()):
            raise ValueError(f"sizes must be a number of images or 'all', not {self.sizes!r}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")

    @property
    def sample(self) -> int | None:
        """How many images' sizes are read; None for all."""
        return None if self.sizes == "all" else int(self.sizes)


def main(argv: Sequence[str], *, prog: str) -> int:
    """Parses, counts, writes the page, and says where it is.

    Args:
        argv: Arguments behind the verb.
        prog: How the program is called in messages.

    Returns:
        The exit code.
    """
    args = parse_options(
        StatsArgs,
        argv,
        prog=prog,
        description="Counts an archive and writes a page about it, with every figure as SVG, PNG "
        "and CSV beside it. The page holds images of people: do not pass it on.",
    )
    from rich.console import Console

    from bagreid.catalog import open_catalog
    from bagreid.cli.scan_progress import scan_progress
    from bagreid.report.statistics import write_statistics

    with scan_progress() as tell:
        catalog = open_catalog(args.root, cache=args.cache, progress=tell)
    name = _name(args.root, catalog)
    skipped, stale = _known_broken(catalog, args.quarantine)
    out = _outside(args.out or Path("work_dirs") / "stats" / name, catalog.root)
    with _progress() as advance:
        report = write_statistics(
            catalog,
            out,
            name=name,
            skipped=skipped,
            stale=stale,
            sample=args.sample,
            seed=args.seed,
            workers=args.workers,
            pictures=args.pictures,
            progress=advance,
        )
    console = Console(highlight=False)
    console.print(report.headline, style="bold", soft_wrap=True)
    _print(console, report.counts)
    console.print(f"Do not pass it on: {report.page}", soft_wrap=True, markup=False)
    return 0


def _name(root: str, catalog: Catalog) -> str:
    """The last part of what the user named, whatever that links to."""
    from bagreid.catalog.remote.urls import url_of

    named = catalog.source if url_of(root) else os.path.abspath(root)  # noqa: PTH100 - links stay
    return Path(named).name or "archive"


def _known_broken(catalog: Catalog, choice: QuarantineChoice) -> tuple[IntArray, int]:
    """Rows of the images in quarantine, and how many entries of the list fit none any more."""
    import numpy as np

    from bagreid.catalog.quarantine import chosen_path, load

    path = chosen_path(catalog, choice)
    if path is None:
        return np.zeros(0, np.int64), 0
    listed = load(path)
    rows = listed.rows(catalog)
    return rows, len(listed) - len(rows)


def _outside(out: Path, root: Path) -> Path:
    """The output folder, refused where it would lie in the archive, which is only ever read."""
    if out.resolve().is_relative_to(root.resolve()):
        raise BagreidError(
            "the folder lies inside the archive, which is only read",
            path=out,
            remedy="Choose a place outside it with --out",
        )
    return out


@contextmanager
def _progress() -> Iterator[SizeProgress]:
    """A line for the image headers: how many, their rate, and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeftColumn

    columns = (
        TextColumn("image sizes"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} images/s,"),
        TimeLeftColumn(),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None, rate="-")

        def advance(done: int, asked: int) -> None:
            speed = bar.tasks[0].speed
            told = "-" if speed is None else f"{speed:,.0f}"
            bar.update(task, completed=done, total=asked, rate=told)

        yield advance


def _print(console: Console, counts: Table) -> None:
    from rich.table import Table as RichTable

    from bagreid.report.statistics.tables import shown

    table = RichTable()
    for place, name in enumerate(counts.header):
        table.add_column(name, justify="right" if place else "left")
    for row in counts.rows:
        table.add_row(*(shown(cell) for cell in row))
    console.print(table)
