"""What `extract` and `evaluate` share: a checkpoint run over an archive, under a progress line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from rich.console import Console

from bagreid.contracts import BagreidError, IntArray, QuarantineChoice

if TYPE_CHECKING:
    from bagreid.catalog import Catalog
    from bagreid.evaluation import ImageFeatures
    from bagreid.evaluation.blocks import Progress
    from bagreid.evaluation.protocol import Extract


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
    def device(self) -> Literal["auto", "cpu", "cuda"]:
        """Where the network computes."""

    @property
    def quarantine(self) -> QuarantineChoice:
        """Which list of broken images is read and added to."""


@contextmanager
def network_extractor(
    checkpoint: Path,
    catalog: Catalog,
    options: InferenceOptions,
    *,
    keep: Path | None,
    verb: str,
) -> Iterator[Extract]:
    """A checkpoint as a function from catalog rows to features.

    Args:
        checkpoint: The checkpoint.
        catalog: The archive.
        options: How to compute.
        keep: A folder for the features, one sub-folder a split; None keeps them in memory.
        verb: Which verb runs, for the list of broken images.

    Yields:
        The function; it shows its progress on standard error. What becomes of broken images is
        said there, too.

    Raises:
        BagreidError: When the checkpoint is none, several processes were started, or the list of
            broken images is damaged.
    """
    from bagreid.data.quarantine import BrokenImages
    from bagreid.evaluation.extraction import extract_features, view_of_tests
    from bagreid.models import embedder, load_for_inference
    from bagreid.world import open_world

    with open_world(options.device) as world:
        if world.size > 1:
            raise BagreidError(
                f"{world.size} processes were started", remedy="Start this verb without torchrun"
            )
        known = BrokenImages.open(catalog, options.quarantine, verb)
        model, meta = load_for_inference(checkpoint, world.device, feature=options.feature)
        aside = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        aside.print(str(meta.report))
        if (line := known.opening()) is not None:
            aside.print(line)
        embed = embedder(model)
        augment = view_of_tests(meta)

        def extract(rows: IntArray | range) -> ImageFeatures:
            side = "query" if rows == catalog.split("query") else "gallery"
            with progress_line(f"{side} features", "images") as progress:
                return extract_features(
                    embed,
                    catalog,
                    rows,
                    augment,
                    batch_size=options.batch_size,
                    workers=options.workers,
                    device=world.device,
                    out_dir=None if keep is None else keep / side,
                    source=str(checkpoint),
                    known=known,
                    progress=progress,
                )

        yield extract
        if (line := known.closing()) is not None:
            aside.print(line)


@contextmanager
def progress_line(what: str, unit: str) -> Iterator[Progress]:
    """A line on standard error with the rate and the time left.

    Args:
        what: What is being done.
        unit: What is counted.

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
        *columns, console=console, transient=True, disable=not console.is_terminal
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
