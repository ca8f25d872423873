"""``bagreid runs``: the runs of a folder, what became of them, and how to go on with them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bagreid.cli.parsing import parse_options
from bagreid.contracts import BagreidError

if TYPE_CHECKING:
    from bagreid.report.runs import Run

WIDTH = 150
"""Columns where the table goes to no terminal."""

_COLOURS = {"running": "green", "finished": "bold", "failed": "red", "hung": "red"}


@dataclass(frozen=True, kw_only=True)
class Args:
    """What ``bagreid runs`` takes."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("work_dirs")
    """Where to look for work dirs, also inside each other."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print them as JSON, for programs."""


def main(argv: Sequence[str], *, prog: str) -> int:
    """Lists runs.

    Args:
        argv: The arguments behind the verb.
        prog: How the command is called in its help.

    Returns:
        The exit code, 0.

    Raises:
        BagreidError: There is no such folder.
    """
    args = parse_options(
        Args,
        argv,
        prog=prog,
        description="List the runs below a folder, the latest first: state, progress, result, and "
        "for those that were stopped, killed or failed the command that goes on with them.",
    )
    from bagreid.report.runs import list_runs

    if not args.folder.is_dir():
        raise BagreidError(
            "there is no such folder",
            path=args.folder,
            remedy="Name the folder that holds your work dirs",
        )
    now = time.time()
    runs = list_runs(args.folder, now)
    if args.json:
        print(json.dumps(record(runs), indent=2))
        return 0
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    if not runs:
        console.print(f"There are no runs below {args.folder}.", highlight=False, markup=False)
        return 0
    console.print(table(runs, now))
    for line in remarks(runs):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def record(runs: Sequence[Run]) -> dict[str, object]:
    """The runs as plain values."""
    rows = [asdict(run) | {"path": str(run.path), "problems": list(run.problems)} for run in runs]
    return {"schema": "bagreid.runs/1", "runs": rows}


def table(runs: Sequence[Run], now: float) -> Table:
    """The runs as people read them.

    Args:
        runs: The runs.
        now: Unix time.
    """
    made = Table(header_style="bold")
    made.add_column("Run", overflow="fold", min_width=12)
    made.add_column("State")
    made.add_column("Epoch", justify="right", no_wrap=True)
    shares = ("Rank-1, %", "mAP, %", "Labels right, %")
    for name in ("Step", *shares, "Images/s", "Time", "Seen", "Size"):
        made.add_column(name, justify="right")
    for run in runs:
        made.add_row(*_row(run, now))
    return made


def _row(run: Run, now: float) -> list[Text]:
    from bagreid.report.wording import duration, percent

    shares = (run.rank1, run.mean_ap, run.labels_right)
    rank1, mean_ap, labels = ("" if share is None else percent(share) for share in shares)
    if run.gallery is not None:
        rank1 += f" among {_short(run.gallery)}"
    elif rank1:
        rank1 += " in validation"
    rate = run.images_per_second
    cells = [
        run.name,
        "",
        _of(run.epoch, run.epochs),
        _of(run.step, run.total_steps),
        rank1,
        mean_ap,
        labels,
        "" if rate is None else f"{rate:,.0f}",
        "" if run.seconds is None else duration(run.seconds),
        "" if run.seen is None else ago(now - run.seen),
        size(run.size),
    ]
    texts = [Text(cell) for cell in cells]
    texts[1] = Text(state_of(run), style=_COLOURS.get(run.state, "yellow"))
    return texts


def state_of(run: Run) -> str:
    """What became of a run, and whether one can go on with it."""
    if not run.is_over:
        return run.state
    word = "unfinished" if run.state == "unknown" else run.state
    if run.resume:
        return f"{word}, resumable"
    return word if run.has_checkpoint else f"{word}, no checkpoint yet"


def remarks(runs: Sequence[Run]) -> list[str]:
    """What the table has no room for: reasons, what could not be read, and commands."""
    lines = [f"{run.name}: {run.why}" for run in runs if run.why]
    lines += [f"{run.name}: {problem}" for run in runs for problem in run.problems]
    commands = [run.resume for run in runs if run.resume]
    if commands:
        lines += ["", "Go on with what is resumable by:", *(f"  {line}" for line in commands)]
    return lines


def ago(seconds: float) -> str:
    """How long ago something was, in one unit."""
    units = [(86_400, "d"), (3_600, "h"), (60, "min")]
    for length, unit in units:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "now" if seconds < 15 else f"{seconds:.0f} s ago"


def size(number: float) -> str:
    """Bytes in a unit that gives few digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def _of(done: int | None, total: int | None) -> str:
    if done is None:
        return ""
    return f"{done:,}" if total is None else f"{done:,}/{total:,}"


def _short(number: int) -> str:
    return f"{number:,}" if number < 10_000 else f"{number / 1000:,.0f}k"
