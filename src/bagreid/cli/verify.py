"""``bagreid verify ROOT``: all that a careful person would check after a long download."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from bagreid.cli.parsing import parse_options
from bagreid.cli.scan_progress import scan_progress
from bagreid.contracts import BagreidError, QuarantineChoice

if TYPE_CHECKING:
    from collections.abc import Callable

    from bagreid.catalog.survey import Survey
    from bagreid.cli.verdicts import Decoded
    from bagreid.data.soundness import Soundness

JOURNAL = "soundness.jsonl"
"""Its name in the archive's cache folder."""


@dataclass(frozen=True, kw_only=True)
class VerifyArgs:
    """What ``bagreid verify`` is asked."""

    root: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ROOT")]
    """The archive: the outer or the inner folder, tars or extracted files, or a link to it; or the
    URL of a folder (http, s3 …), whose tars are then read from there."""

    images: int | Literal["all"] | None = None
    """Also decode this many images drawn from all tars, or every one; a stopped 'all' goes on where
    it was."""

    seed: int = 0
    """Which images a sample holds follows from it."""

    full: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The archive must be the whole of SYSU-30k: every difference from the published counts is
    bad."""

    no_full: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """It need not be: it must only agree with itself. Without either option, what is there tells
    (lists or a bag file of full length, for instance)."""

    quarantine: QuarantineChoice = "auto"
    """The list of broken images that later runs leave out: the archive's own (auto), none (off), or
    this file. A sample adds to it; after 'all' it is what was found."""

    workers: int | None = None
    """Processes that read and decode; without it, one a core. 0: this one does."""

    cache: Path | None = None
    """Folder for catalogs; without it $BAGREID_CACHE, or ~/.cache/bagreid."""

    json: Path | None = None
    """Also write all of it to this JSON file, for programs."""

    def __post_init__(self) -> None:
        """Checks what contradicts itself."""
        if self.full and self.no_full:
            raise ValueError("--full and --no-full contradict each other")
        if isinstance(self.images, int) and self.images < 1:
            raise ValueError(f"--images must be 1 or more, or 'all', not {self.images}")
        if self.seed < 0:
            raise ValueError(f"--seed must be 0 or more, not {self.seed}")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"--workers must be 0 or more, not {self.workers}")


def main(argv: Sequence[str], *, prog: str) -> int:
    """Parses, surveys, checks, and prints what was found.

    Args:
        argv: Arguments behind the verb.
        prog: How the program is called in messages.

    Returns:
        The exit code: 0 when nothing is bad, 1 when something is.
    """
    args = parse_options(
        VerifyArgs,
        argv,
        prog=prog,
        description="Checks that an archive is whole and agrees with itself (and with the "
        "published counts, if it is meant to be the whole of SYSU-30k). Nothing in it is changed. "
        "The exit code is 0 when nothing is bad, 1 when something is.",
    )
    from rich.console import Console

    from bagreid.catalog.checks import check_archive, why_whole
    from bagreid.catalog.survey import survey_archive
    from bagreid.cli.verdicts import Report, pixel_verdict, print_report, write_report

    with scan_progress() as tell:
        survey = survey_archive(
            args.root, cache=args.cache, workers=_at_least_one(args.workers), progress=tell
        )
    if survey.layout is None:
        raise survey.layout_problems[0]
    why = None if args.no_full else "--full says so" if args.full else why_whole(survey)
    verdicts = check_archive(survey, full=why is not None)
    decoded = _decode(survey, args) if args.images is not None else None
    if decoded is not None:
        verdicts.append(pixel_verdict(survey, decoded))
    report = Report(
        root=args.root, survey=survey, why_whole=why, verdicts=tuple(verdicts), decoded=decoded
    )
    print_report(Console(highlight=False), report)
    if args.json is not None:
        write_report(args.json, report)
    return int(any(verdict.status == "bad" for verdict in verdicts))


def _at_least_one(workers: int | None) -> int | None:
    return None if workers is None else max(workers, 1)


def _decode(survey: Survey, args: VerifyArgs) -> Decoded:
    """Decodes the images asked for and quarantines the broken ones."""
    from bagreid.catalog.store import cache_directory
    from bagreid.cli.verdicts import Decoded
    from bagreid.data.soundness import Journal, check_images, choose_sample

    members, every = survey.members, args.images == "all"
    workers = len(os.sched_getaffinity(0)) if args.workers is None else args.workers
    rows = None
    if isinstance(args.images, int):
        rows = choose_sample(members.shard, args.images, args.seed)
    total = len(members) if rows is None else len(rows)
    journal = Journal(cache_directory(survey.root, args.cache) / JOURNAL) if every else None
    try:
        with journal or nullcontext(), _decode_progress(total) as tell:
            soundness = check_images(survey, rows, workers=workers, journal=journal, progress=tell)
            told = _quarantine(survey, args, soundness)
            if journal is not None:
                journal.finish()
    except KeyboardInterrupt:
        if every:
            print("What was decoded so far is kept: run it again to go on.", file=sys.stderr)
        raise
    return Decoded(soundness=soundness, every=every, seed=args.seed, quarantine=told)


def _quarantine(survey: Survey, args: VerifyArgs, soundness: Soundness) -> str:
    """Brings the list up to date; says where it is, or why that cannot be, or nothing."""
    from bagreid.catalog import open_catalog, quarantine
    from bagreid.catalog.store import cache_directory

    own = cache_directory(survey.root, args.cache) / quarantine.FILE
    path = args.quarantine if isinstance(args.quarantine, Path) else own
    something = soundness.broken or (args.images == "all" and path.exists())
    if args.quarantine == "off" or not something:
        return ""
    try:
        workers = _at_least_one(args.workers)
        catalog = open_catalog(args.root, cache=args.cache, workers=workers)
    except BagreidError as error:
        return f"not written, for the archive has no catalog yet ({error.message})"
    assert len(catalog) == len(survey.members), "a catalog has the rows of its survey"
    # A list entry holds a checksum, so it needs the bytes.
    found = {fault.row: fault.reason for fault in soundness.broken if not fault.unread}
    change = quarantine.replace if args.images == "all" else quarantine.add
    listed = change(catalog, found, found_by="verify", path=path)
    return f"{len(listed):,} in {path}"


@contextmanager
def _decode_progress(total: int) -> Iterator[Callable[[int, int], None]]:
    """Images decoded, their rate, and the time left; on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns: tuple[Any, ...] = (
        TextColumn("decoding"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} images"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("decoding", total=total, rate="")

        def tell(done: int, total: int) -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            progress.update(task, completed=done, total=total, rate=rate)

        yield tell
