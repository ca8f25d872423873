"""``bagreid shrink SRC OUT``: writes an archive again with smaller images, tar to tar."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from bagreid.cli.parsing import parse_options
from bagreid.data.shrinking.config import ShrinkConfig
from bagreid.files import write_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from bagreid.data.shrinking import ShrinkSummary, Tally
    from bagreid.data.shrinking.archive import ShrinkProgress

_FIRST_LEFT = 10


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class ShrinkArgs:
    """What ``bagreid shrink`` is asked."""

    src: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """The archive's folder, its images in tars, or the URL of one; or a single tar. It is only
    read."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Where the new one goes: a new folder, or the one in which an earlier run was stopped. For a
    single tar it may be a path in .tar."""

    images: Annotated[ShrinkConfig, tyro.conf.arg(name="")] = field(default_factory=ShrinkConfig)
    """Size and quality."""

    workers: int = field(default_factory=_cores)
    """Processes that shrink; one more reads and writes (with 0 it does all). The new tars are the
    same, byte for byte, whatever their number."""

    cache: Path | None = None
    """Folder for catalogs; without it $BAGREID_CACHE, or ~/.cache/bagreid."""

    json: Path | None = None
    """Also write the counts to this JSON file, for programs."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers must be 0 or more, not {self.workers}")


def main(argv: Sequence[str], *, prog: str) -> int:
    """Parses, shrinks, and says what was saved.

    Args:
        argv: Arguments behind the verb.
        prog: How the program is called in messages.

    Returns:
        The exit code.
    """
    args = parse_options(
        ShrinkArgs,
        argv,
        prog=prog,
        description="Writes an archive again with smaller images, tar to tar, as the release was "
        "made: same members, same order, same headers but for size and checksum. Lists, bag file "
        "and truth are copied. Run again after any interruption, it goes on where it was.",
    )
    from rich.console import Console

    from bagreid.data.shrinking import shrink_archive

    with _progress() as (scanning, begin):
        summary = shrink_archive(
            args.src,
            args.out,
            args.images,
            workers=args.workers,
            cache=args.cache,
            scanning=scanning,
            begin=begin,
        )
    console = Console(highlight=False)
    _print_counts(console, summary)
    _print_notes(console, summary)
    if args.json is not None:
        _write_json(args.json, summary)
    return 0


@contextmanager
def _progress() -> Iterator[tuple[Any, Any]]:
    """Two lines: for the scan, and for the shrinking with images/s, bytes and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield _Scanning(progress), _Shrinking(progress)


class _Scanning:
    """The line of the scan that comes first: all tars together."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._passed: dict[Path, tuple[int, int, int]] = {}
        self._task: Any = None

    def __call__(self, path: Path, members: int, passed: int, total: int) -> None:
        self._passed[path] = members, passed, total
        members, passed, total = map(sum, zip(*self._passed.values(), strict=True))
        if self._task is None:
            self._task = self._progress.add_task("looking at tars", total=None, said="")
        said = f"{members:,} images, {passed / 1e9:,.1f} GB"
        self._progress.update(self._task, completed=passed, total=total, said=said)


class _Shrinking:
    """The line of the shrinking: what earlier runs did counts, but not as this run's speed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, earlier: Tally, total: int) -> ShrinkProgress:
        import time

        for line in self._progress.tasks:
            self._progress.remove_task(line.id)
        task = self._progress.add_task("shrinking", total=total, completed=earlier.read, said="")
        first: list[tuple[float, int]] = []

        def tell(tally: Tally) -> None:
            if not first:
                first.append((time.monotonic(), tally.images))
            began, images = first[0]  # not before: the workers took their time to start
            rate = (tally.images - images) / max(time.monotonic() - began, 1e-3)
            said = f"{rate:,.0f} images/s, {_bytes(tally.read)} in, {_bytes(tally.written)} out,"
            self._progress.update(task, completed=tally.read, said=said)

        return tell


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if abs(count) >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def _print_counts(console: Console, summary: ShrinkSummary) -> None:
    from rich.table import Table

    total = summary.total
    counts = {
        "images": total.images,
        "shrunk": total.shrunk,
        "copied, for they are small enough": total.small,
        "copied, for they would not take fewer bytes": total.no_gain,
        "copied, for they are no JPEGs": total.no_jpeg,
        "copied, for they are broken": total.broken,
        "other members (folders, links, files), copied": total.others,
        "members with names that are not safe, left out": total.unsafe,
        "bytes behind the end marks of tars, left out": total.behind_end,
    }
    always = {"images", "shrunk", "copied, for they are small enough"}
    always.add("copied, for they are broken")
    table = Table(title=f"{summary.out}", title_justify="left", show_header=False)
    table.add_column("", overflow="fold")
    table.add_column("", justify="right")
    for name, count in counts.items():
        if count or name in always:
            table.add_row(name, f"{count:,}")
    table.add_section()
    saved = total.read - total.written
    share = f" ({saved / total.read:.1%})" if total.read else ""
    table.add_row("bytes of all tars before", f"{total.read:,}")
    table.add_row("after", f"{total.written:,}")
    table.add_row("saved", f"{saved:,}{share}")
    console.print(table)
    if summary.earlier.images:
        what = "All" if summary.earlier.read == total.read else f"{summary.earlier.images:,}"
        console.print(f"{what} of these images were done by earlier runs.")


def _print_notes(console: Console, summary: ShrinkSummary) -> None:
    total = summary.total
    for what, notes, count in (
        ("broken images", summary.broken, total.broken),
        ("members left out", summary.left_out, total.unsafe),
    ):
        if notes:
            console.print(f"{what} (first {len(notes):,} of {count:,}):", soft_wrap=True)
            for note in notes:
                console.print(f"  {note.member}: {note.why}", markup=False, soft_wrap=True)
    if summary.notes is not None:
        console.print(f"All of them: {summary.notes}", markup=False, soft_wrap=True)
    if summary.quarantined:
        console.print(summary.quarantined, markup=False, soft_wrap=True)
    for pair in summary.plan.copies:
        console.print(f"[dim]copied: {pair.name}[/]", soft_wrap=True)
    left = summary.plan.left
    if left:
        names = ", ".join(path.name for path in left[:_FIRST_LEFT])
        more = f" and {len(left) - _FIRST_LEFT:,} more" if len(left) > _FIRST_LEFT else ""
        console.print(
            f"Left behind, for they are no part of the archive: {names}{more}",
            markup=False,
            soft_wrap=True,
        )


def _write_json(path: Path, summary: ShrinkSummary) -> None:
    from bagreid.catalog.remote import source_of

    def numbers(tally: Tally) -> dict[str, int]:
        return {"images": tally.images, **asdict(tally)}

    names = [pair.name for pair in summary.plan.tars]
    data = {
        "schema": "bagreid.shrink-report/1",
        "source": source_of(summary.plan.source),
        "out": str(summary.out),
        "total": numbers(summary.total),
        "earlier": numbers(summary.earlier),
        "tars": {name: numbers(tally) for name, tally in zip(names, summary.tallies, strict=True)},
        "copied": [pair.name for pair in summary.plan.copies],
        "left": [str(path) for path in summary.plan.left],
        "notes": None if summary.notes is None else str(summary.notes),
    }
    write_json(path, data)
