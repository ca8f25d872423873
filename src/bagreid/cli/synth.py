"""``bagreid synth OUT``: makes a synthetic archive in the released layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from bagreid.cli.parsing import parse_options
from bagreid.data.synthetic.config import SyntheticConfig

if TYPE_CHECKING:
    from bagreid.data.synthetic.archive import ArchiveSummary


_PICTURES = (".png", ".jpg")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class SynthArgs:
    """What ``bagreid synth`` is asked."""

    out: Annotated[Path, tyro.conf.Positional]
    """Where the archive goes: a new or an empty folder."""

    archive: Annotated[SyntheticConfig, tyro.conf.arg(name="")] = field(
        default_factory=SyntheticConfig
    )
    """Sizes and settings."""

    workers: int = field(default_factory=_cores)
    """Processes that render. The archive is the same, byte for byte, whatever their number."""

    contact_sheet: Path | None = None
    """Also draw some of its people, a row each, to this image file (.png or .jpg)."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        if self.contact_sheet is not None and self.contact_sheet.suffix not in _PICTURES:
            raise ValueError(f"contact-sheet must end in one of {', '.join(_PICTURES)}")


def main(argv: Sequence[str], *, prog: str) -> int:
    """Parses, writes the archive, and says what it holds.

    Args:
        argv: Arguments behind the verb.
        prog: How the program is called in messages.

    Returns:
        The exit code.
    """
    args = parse_options(
        SynthArgs,
        argv,
        prog=prog,
        description="Makes a synthetic archive: procedural people, in the released layout.",
    )
    summary = _write(args)
    if args.contact_sheet is not None:
        from bagreid.data.synthetic.contact_sheet import write_contact_sheet

        write_contact_sheet(args.contact_sheet, args.archive)
    _report(summary, args)
    return 0


def _write(args: SynthArgs) -> ArchiveSummary:
    """Runs under a progress line with the rate and the time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    from bagreid.data.synthetic.archive import write_archive

    columns = (
        TextColumn("rendering"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} images/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=args.archive.images, rate="-")

        def advance(done: int, _: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, rate="-" if speed is None else f"{speed:,.0f}")

        return write_archive(args.out, args.archive, workers=args.workers, progress=advance)


def _report(summary: ArchiveSummary, args: SynthArgs) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Synthetic archive {summary.root}", title_justify="left")
    table.add_column("what")
    table.add_column("number", justify="right")
    table.add_row("train images", f"{summary.train:,}")
    table.add_row("train folders, a person each", f"{args.archive.people:,}")
    table.add_row(
        "images of their folder's own person", f"{1 - summary.impure / summary.train:.1%}"
    )
    table.add_row("bags", f"{summary.bags:,}")
    table.add_row("query images, of new people", f"{summary.query:,}")
    table.add_row("gallery images", f"{summary.gallery:,}")
    table.add_row("tars", f"{len(summary.tars)}")
    table.add_row("size", f"{summary.size / 1e6:,.1f} MB")
    console = Console()
    console.print(table)
    console.print("Next: ", "bagreid catalog ", str(summary.root), sep="", style="bold")
