"""How far a scan is, on a terminal: a line for all tars, and one for each being read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from bagreid.catalog.members import BuildProgress


@contextmanager
def scan_progress(console: Console | None = None) -> Iterator[BuildProgress]:
    """Shows images, images and bytes a second and the time left, while something is read.

    Args:
        console: Where; None takes standard error, and nothing is shown unless it is a terminal.

    Yields:
        What is to be told how far each file is.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[images]}"),
        DownloadColumn(binary_units=False),
        SpeedColumn(),
        TimeRemainingColumn(),
    )
    console = console or Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield _Display(progress)


class _Display:
    """Adds up what is told of single files.

    What is complete at the first word of it was read by an earlier run: it counts for the images,
    not for the speed or the time left.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._begun = time.monotonic()
        self._lines: dict[Path | None, TaskID] = {}
        self._files: dict[Path, tuple[int, int, int]] = {}
        self._sums: tuple[int, ...] = (0, 0, 0)
        self._known: set[Path] = set()
        self._known_images = 0

    def __call__(self, path: Path, images: int, passed: int, total: int) -> None:
        before = self._files.get(path)
        if before is None and 0 < total == passed:
            self._known.add(path)
            self._known_images += images
        if path in self._known:
            passed = total = 0
        else:
            self._show_file(path, images, passed, total)
        after = self._files[path] = (images, passed, total)
        old = before or (0, 0, 0)
        self._sums = tuple(s + a - o for s, a, o in zip(self._sums, after, old, strict=True))
        if len(self._files) > 1:
            self._show_all()

    def _show_file(self, path: Path, images: int, passed: int, total: int) -> None:
        if total and not 0 < passed < total:
            if path in self._lines:
                self._progress.remove_task(self._lines.pop(path))
            return
        told = f"{images:,} images" if images else ""
        self._update(path, path.name, passed, total, told)

    def _show_all(self) -> None:
        images, passed, total = self._sums
        elapsed = max(time.monotonic() - self._begun, 1e-3)
        rate = round((images - self._known_images) / elapsed)
        what = f"{len(self._files):,} files"
        self._update(None, what, passed, total, f"{images:,} images, {rate:,}/s")

    def _update(self, line: Path | None, what: str, passed: int, total: int, images: str) -> None:
        if line not in self._lines:
            self._lines[line] = self._progress.add_task(what, total=None, images="")
        self._progress.update(
            self._lines[line],
            description=what,
            completed=passed,
            total=total or None,
            images=images,
        )
