"""``bagreid report``: one self-contained HTML page about a run or a demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bagreid.cli.parsing import parse_options


@dataclass(frozen=True, kw_only=True)
class Args:
    """What ``bagreid report`` takes."""

    work_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of a run, or of a demo with its comparison.json."""
    out: Path | None = None
    """Where to write the page; WORK_DIR/report.html when left out."""
    root: Path | None = None
    """Where the archive lies now, if it has moved since the run."""


def main(argv: Sequence[str], *, prog: str) -> int:
    """Writes the page, and prints its path and the headline.

    Args:
        argv: The arguments behind the verb.
        prog: How the command is called in its help.

    Returns:
        The exit code, 0.
    """
    args = parse_options(
        Args,
        argv,
        prog=prog,
        description="Write one self-contained HTML page about a run: results, curves, ranked "
        "lists, bags with their pseudo labels, configuration. The page holds images of people: "
        "do not publish it.",
    )
    from bagreid.report import write_report

    report = write_report(args.work_dir, out=args.out, root=args.root)
    print(report.headline.replace("\u00a0", " "))
    print(report.path)
    return 0
