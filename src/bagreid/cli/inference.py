"""What `extract` and `evaluate` share: processes, a checkpoint run over an archive, progress."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rich.console import Console

from bagreid.contracts import BagreidError, IntArray, QuarantineChoice

if TYPE_CHECKING:
    from bagreid.catalog import Catalog
    from bagreid.evaluation import ImageFeatures
    from bagreid.evaluation.blocks import Progress
    from bagreid.evaluation.protocol import Extract
    from bagreid.world import World

STOPPED = 3
"""The exit code of a verb that was stopped and goes on if it is started again."""


class InferenceOptions(Protocol):
    """The options that decide how features are computed."""

    @property
    def batch_size(self) -> int:
        """Images at a time."""

    @property
    def feature(self) -> Literal["backbone", "logits"] | None:
        """What is compared."""

    @property
    def workers(self) -> int:
        """Processes that decode."""

    @property
    def precision(self) -> Literal["fp32", "bf16", "fp16"]:
        """What the network computes in."""

    @property
    def dtype(self) -> Literal["float32", "float16", "bfloat16", "float64"] | None:
        """Type of the stored features."""

    @property
    def quarantine(self) -> QuarantineChoice:
        """Which list of broken images is read and added to."""


@contextmanager
def joined(device: str, prog: str) -> Iterator[World]:
    """The processes that torchrun started, as one: one of them says what is wrong.

    Args:
        device: Where to compute.
        prog: How the program is called in messages.

    Yields:
        Who this process is.

    Raises:
        BagreidError: What was raised inside, where a process is alone.
    """
    from bagreid.evaluation.cooperation import one_voice
    from bagreid.world import open_world

    with open_world(device) as world, one_voice(world, prog), _terminated_as_interrupted():
        yield world


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM stops like Ctrl-C: files are closed, workers ended, and people told."""

    def stop(number: int, frame: Any) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    before = None
    with suppress(ValueError):  # only the main thread may take signals
        before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def kept_in(keep: Path | None, world: World, *, always: bool = False) -> Iterator[Path | None]:
    """Where features go: many processes meet in a folder, a temporary one if need be.

    Args:
        keep: The folder that people named.
        world: Who computes with whom.
        always: Whether one process needs a folder, too.

    Yields:
        The folder; None: in memory.

    Raises:
        BagreidError: The processes are on several machines, and no folder is named.
    """
    from bagreid.world import of_main

    if keep is not None or (world.size == 1 and not always):
        yield keep
        return
    if int(os.environ.get("LOCAL_WORLD_SIZE", world.size)) != world.size:
        raise BagreidError(
            "the processes are on several machines, and features must lie where all see them",
            remedy="Name such a folder with --keep",
        )
    aside = of_main(world, lambda: tempfile.mkdtemp(prefix="bagreid-features-"))
    try:
        yield Path(aside)
    finally:
        if world.is_main:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def network_extractor(
    checkpoint: Path,
    catalog: Catalog,
    options: InferenceOptions,
    *,
    keep: Path | None,
    verb: str,
    world: World,
) -> Iterator[Extract]:
    """A checkpoint as a function from catalog rows to features.

    Args:
        checkpoint: The checkpoint.
        catalog: The archive.
        options: How to compute.
        keep: A folder for the features, one sub-folder a split; None keeps them in memory.
        verb: Which verb runs, for the list of broken images.
        world: Who computes with whom.

    Yields:
        The function; it shows its progress on standard error. What becomes of broken images is
        said there, too.

    Raises:
        BagreidError: When the checkpoint is none, or the list of broken images is damaged.
    """
    from bagreid.data.quarantine import BrokenImages
    from bagreid.evaluation.computing import memory_format
    from bagreid.evaluation.extraction import extract_features, view_of_tests
    from bagreid.evaluation.identity import digest_of_file
    from bagreid.models import embedder, load_for_inference, projection_of
    from bagreid.world import on_all

    known = on_all(world, lambda: BrokenImages.open(catalog, options.quarantine, verb))
    model, meta = on_all(
        world, lambda: load_for_inference(checkpoint, world.device, feature=options.feature)
    )
    model.to(memory_format=memory_format(options.precision, world.device))
    weights = on_all(world, lambda: digest_of_file(checkpoint))
    aside = said_aside(world)
    aside.print(str(meta.report))
    if (line := known.opening()) is not None:
        aside.print(line)
    embed, projection, augment = embedder(model), projection_of(model), view_of_tests(meta)

    def extract(rows: IntArray | range) -> ImageFeatures:
        side = "query" if rows == catalog.split("query") else "gallery"
        with progress_line(f"{side} features", "images", shown=world.is_main) as progress:
            rate = Rate(progress)
            images = extract_features(
                embed,
                catalog,
                rows,
                augment,
                projection=projection,
                batch_size=options.batch_size,
                workers=options.workers,
                device=world.device,
                precision=options.precision,
                stored=options.dtype,
                out_dir=None if keep is None else keep / side,
                source=str(checkpoint),
                weights=weights,
                known=known,
                world=world,
                say=aside.print,
                progress=rate,
            )
        if (line := rate.line()) is not None:
            aside.print(f"{side}: {line}")
        return images

    yield extract
    if world.is_main and (line := known.closing()) is not None:
        aside.print(line)


@contextmanager
def projected_in(
    keep: Path | None,
    folder: Path,
    checkpoint: Path,
    sides: tuple[ImageFeatures, ImageFeatures],
    world: World,
) -> Iterator[tuple[ImageFeatures, ImageFeatures]]:
    """The logits of features that `bagreid extract` wrote, on disk.

    Args:
        keep: A folder for the logits; None: a temporary one.
        folder: Where the features are.
        checkpoint: The checkpoint they are of.
        sides: Query and gallery in that folder.
        world: Who computes with whom.

    Yields:
        Query and gallery.

    Raises:
        BagreidError: The features are of another checkpoint, or nobody knows.
    """
    from bagreid.evaluation.folders import read_meta
    from bagreid.evaluation.identity import digest_of_file
    from bagreid.evaluation.logits import project_features
    from bagreid.models import load_for_inference, projection_of
    from bagreid.world import on_all

    weights = on_all(world, lambda: digest_of_file(checkpoint))
    metas = on_all(world, lambda: [read_meta(folder / side) for side in ("query", "gallery")])
    made_with = {meta.get("job", {}).get("weights") for meta in metas}
    if made_with != {weights}:
        raise BagreidError(
            f"these features are not of {checkpoint}, whose digest is {weights}",
            path=folder,
            remedy="Give the checkpoint they were extracted with",
        )
    model, _ = on_all(world, lambda: load_for_inference(checkpoint, world.device, feature="logits"))
    projection = projection_of(model)
    assert projection is not None
    with kept_in(keep, world, always=True) as place:
        assert place is not None
        found = []
        for side, images in zip(("query", "gallery"), sides, strict=True):
            with progress_line(f"{side} logits", "images", shown=world.is_main) as progress:
                found.append(
                    project_features(
                        images,
                        projection,
                        weights=weights,
                        out_dir=place / side,
                        source=str(checkpoint),
                        world=world,
                        say=said_aside(world).print,
                        progress=progress,
                    )
                )
        yield found[0], found[1]


def said_aside(world: World) -> Console:
    """Where notes go: standard error, of the first process alone."""
    return Console(
        stderr=True, highlight=False, markup=False, soft_wrap=True, quiet=not world.is_main
    )


class Rate:
    """Passes progress on, and measures it.

    Args:
        progress: Told what this is told.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Notes how far the work is."""
        self._last = time.monotonic(), done
        self._first = self._first or self._last
        self._progress(done, total)

    def line(self) -> str | None:
        """The images and their rate, the first batch, which warms up, left out; None without."""
        if self._first is None or self._last is None or self._last[1] <= self._first[1]:
            return None
        images, seconds = self._last[1] - self._first[1], self._last[0] - self._first[0]
        return f"{images:,} images, {images / max(seconds, 1e-9):,.0f} images/s"


@contextmanager
def progress_line(what: str, unit: str, *, shown: bool = True) -> Iterator[Progress]:
    """A line on standard error with the rate and the time left.

    Args:
        what: What is being done.
        unit: What is counted.
        shown: Whether this process shows it.

    Yields:
        A function that takes the number done and the total.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} " + unit + "/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not (shown and console.is_terminal)
    ) as bar:
        task = bar.add_task("", total=None, rate="-")

        def advance(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            rate = "-" if speed is None else f"{speed:,.0f}"
            bar.update(task, completed=done, total=total, rate=rate)

        yield advance


def say_broken(console: Console, catalog: Catalog, rows: Sequence[int]) -> None:
    """Lists images that could not be decoded, the first ten by name."""
    if not rows:
        return
    console.print(f"{len(rows):,} images do not decode; they are scored last:")
    for row in rows[:10]:
        ref = catalog.ref(row)
        console.print(f"  {ref.name} ({ref.path}, byte {ref.offset:,})", soft_wrap=True)
