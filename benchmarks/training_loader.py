"""Images a second of our loader beside fast-reid's (PyPI 1.4.0), on the same images.

Ours reads them in place from the tars; fast-reid's reads them as files, extracted into memory. Both
make batches of 180 in 12 groups of 15, resized to 224×112; ours leaves crop, flip, jitter, erasing
and normalisation to the device, for whole batches, while fast-reid does all but the normalisation
in its workers. So ours is measured twice: as its workers leave a batch, and with the rest done by
one thread of the training process, which is the fair comparison where there is no GPU.

Fast-reid's loader is put together as its `build_reid_train_loader` does: its transforms, dataset,
sampler and collator in a torch DataLoader. Left out is `DataLoaderX`, which copies to a GPU in a
stream and cannot be made without one. Its package dates from before today's PyTorch and Python, so
that two names that it imports are put back first.

Usage: python benchmarks/training_loader.py [--seconds 4] [--rounds 5]
"""

from __future__ import annotations

import collections
import importlib
import itertools
import shutil
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import tyro
from machine import write_result
from pictures import make_pictures
from ranking_rivals import fetch
from rich.console import Console
from rich.table import Table
from scale_archive import fabricate
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader
from torchvision import transforms

from bagreid.catalog import Catalog, open_catalog
from bagreid.contracts import BagBatch, IntArray, PlannedBatch
from bagreid.data import AugmentConfig
from bagreid.data.augment import resize_into, train_views
from bagreid.data.datasets import pixels
from bagreid.data.decode import decode_jpeg
from bagreid.data.loader import bag_loader
from bagreid.plan import BatchPlan
from bagreid.recipes import r50_sysu30k
from bagreid.training.setup import make_plan

RIVAL = ("fastreid==1.4.0", "yacs==0.1.8", "tabulate==0.9.0", "termcolor==2.5.0")
_AHEAD = 2
"""Batches that a worker of either is ahead; these and one more are let pass before the clock."""
_PICTURES = 400

DOES = {
    "decode and resize": "the ceiling of one core: bytes in memory are decoded and resized",
    "ours": "reads from tars, decodes, resizes, into uint8 batches; draws what the device will do",
    "ours, augmented": "the same, then train_views in the training process with one thread: crop, "
    "flip, jitter, erasing, normalisation to float32",
    "fast-reid": "reads files, decodes and resizes by Pillow, crops, flips, jitters, erases image "
    "by image in the workers, to float32; normalisation is left to the device",
}


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    work_dir: Path = Path("/dev/shm/bagreid-training-loader")  # noqa: S108 - memory is wanted
    """Where the archive goes; made anew each time."""
    rivals: Path = Path("work_dirs/training/rivals")
    """Where fast-reid is unpacked; what is there is kept."""
    workers: tuple[int, ...] = (0, 1, 2)
    """Processes that load; 0: the training process does."""
    seconds: float = 4.0
    """How long each contender is measured in a round."""
    rounds: int = 5
    """How often all are measured in turn."""


class Looped:
    """The first batches of a plan, again and again.

    Args:
        plan: The plan.
        batches: How many.
    """

    steps_per_epoch = 10**9

    def __init__(self, plan: BatchPlan, batches: int) -> None:
        self._plan, self._batches = plan, batches

    def batch(
        self,
        epoch: int,
        step: int,
        rank: int = 0,
        world_size: int = 1,
        part: int = 0,
        parts: int = 1,
    ) -> PlannedBatch:
        """The batch of a step, but for the rounds before it."""
        return self._plan.batch(epoch, step % self._batches, rank, world_size, part, parts)

    def prepare(self, epoch: int) -> None:
        """Draws the tables of an epoch."""
        self._plan.prepare(epoch)

    def bag_rows(self, bag: int) -> IntArray:
        """All rows of a bag."""
        return self._plan.bag_rows(bag)


def extract(catalog: Catalog, rows: Sequence[int], folder: Path) -> list[tuple[str, int, int]]:
    """Writes images as files, a folder an identity; as (path, identity, camera)."""
    items = []
    for row in rows:
        group = int(catalog.group[row])
        path = folder / f"{group:010}" / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(catalog.read(row))
        items.append((str(path), group, 0))
    return items


def rival(folder: Path) -> types.ModuleType:
    """Imports fast-reid's loader; fetched where it is not there."""
    fetch(folder.absolute(), RIVAL, None)
    sys.path.append(str(folder.absolute()))
    gone = types.ModuleType("torch._six")
    gone.string_classes = (str, bytes)  # type: ignore[attr-defined]
    sys.modules.setdefault("torch._six", gone)
    collections.Mapping = Mapping  # type: ignore[attr-defined]
    warnings.filterwarnings("ignore", "TypedStorage is deprecated")
    return importlib.import_module("fastreid.data.build")


def rival_loader(
    build: types.ModuleType,
    items: list[tuple[str, int, int]],
    augment: AugmentConfig,
    images: int,
    group: int,
    workers: int,
) -> Iterator[Any]:
    """Fast-reid's batches without end."""
    cfg = importlib.import_module("fastreid.config").get_cfg()
    cfg.INPUT.SIZE_TRAIN = list(augment.canvas)
    cfg.INPUT.FLIP.ENABLED = True
    cfg.INPUT.FLIP.PROB = augment.flip
    cfg.INPUT.CJ.ENABLED = any(augment.jitter)
    cfg.INPUT.CJ.PROB = 1.0
    names = ("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE")
    for name, strength in zip(names, augment.jitter, strict=True):
        cfg.INPUT.CJ[name] = strength
    cfg.INPUT.REA.ENABLED = True
    cfg.INPUT.REA.PROB = augment.erase
    composed = build.build_transforms(cfg, is_train=True)
    # It knows no crop of another size than that of the resizing.
    composed.transforms.insert(1, transforms.RandomCrop((augment.height, augment.width)))
    sampler = build.samplers.NaiveIdentitySampler(items, images, group, seed=0)
    return iter(
        DataLoader(
            build.CommDataset(items, composed, relabel=True),
            num_workers=workers,
            batch_sampler=BatchSampler(sampler, images, drop_last=True),
            collate_fn=build.fast_batch_collator,
        )
    )


def ours(
    catalog: Catalog, plan: Looped, augment: AugmentConfig, workers: int, *, whole: bool
) -> Iterator[BagBatch | Tensor]:
    """Our batches without end; augmented where the whole work is asked for."""
    views: Tensor | None = None
    for batch in bag_loader(catalog, plan, augment, seed=0, epoch=0, workers=workers):
        if whole:
            views = train_views(batch.images, batch.views, augment, out=views)
            yield views
        else:
            yield batch


def bare(files: list[bytes], augment: AugmentConfig, images: int) -> Iterator[Tensor]:
    """Decodes and resizes without end, into the same memory."""
    room = pixels(images, augment.canvas)
    coming = itertools.cycle(files)
    while True:
        for place in range(images):
            resize_into(decode_jpeg(next(coming)), room[place], augment)
        yield room


def rate(batches: Iterator[Any], images: int, seconds: float, skipped: int) -> float:
    """Images a second, once it is under way."""
    for _ in range(skipped):
        next(batches)
    begun, done = time.perf_counter(), 0
    while (taken := time.perf_counter() - begun) < seconds:
        next(batches)
        done += images
    return done / taken


def measure_loaders(
    catalog: Catalog,
    plan: BatchPlan,
    augment: AugmentConfig,
    scratch: Path,
    *,
    batches: int = 20,
    workers: Sequence[int] = (0, 1, 2),
    rounds: int = 5,
    seconds: float = 4.0,
    rivals: Path = Args.rivals,
) -> dict[str, Any]:
    """Measures all contenders in turn, round after round.

    Args:
        catalog: The archive.
        plan: Which images form which batch.
        augment: What is done to them.
        scratch: Where the images go as files; best in memory.
        batches: So many batches of the plan, from its first, are shown again and again.
        workers: Processes that load.
        rounds: How often.
        seconds: How long each is measured in a round.
        rivals: Where fast-reid is unpacked.

    Returns:
        Plain values: for each contender its rates, the fastest and the median, and what it does.
    """
    drawn = [plan.batch(0, step) for step in range(batches)]
    images = len(drawn[0].rows)
    group = int((drawn[0].groups == 0).sum())
    rows = sorted({row for batch in drawn for row in batch.rows.tolist()})
    items = extract(catalog, rows, scratch)
    files = [bytes(catalog.read(row)) for row in rows[:2000]]
    looped, build = Looped(plan, batches), rival(rivals)
    contenders: list[tuple[str, int, Callable[[], Iterator[Any]]]] = [
        ("decode and resize", 0, partial(bare, files, augment, images))
    ]
    for count in workers:
        mine = partial(ours, catalog, looped, augment, count)
        theirs = partial(rival_loader, build, items, augment, images, group, count)
        contenders += [
            ("ours", count, partial(mine, whole=False)),
            ("ours, augmented", count, partial(mine, whole=True)),
            ("fast-reid", count, theirs),
        ]
    rates: list[list[float]] = [[] for _ in contenders]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(rounds):
            for (_, count, start), found in zip(contenders, rates, strict=True):
                found.append(rate(start(), images, seconds, _AHEAD * count + 1))
    finally:
        torch.set_num_threads(threads)
    return {
        "images": len(rows),
        "batch": images,
        "canvas": list(augment.canvas),
        "size": [augment.height, augment.width],
        "does": DOES,
        "contenders": [
            {
                "name": name,
                "workers": count,
                "fastest": max(found),
                "median": statistics.median(found),
                "rounds": found,
            }
            for (name, count, _), found in zip(contenders, rates, strict=True)
        ],
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Prints the rates side by side."""
    table = Table(title="Images a second", title_justify="left")
    for heading in ("loader", "workers", "fastest", "median"):
        table.add_column(heading, justify="left" if heading == "loader" else "right")
    for row in found["contenders"]:
        rates = (f"{row['fastest']:,.0f}", f"{row['median']:,.0f}")
        table.add_row(row["name"], str(row["workers"]), *rates)
    console.print(table)


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    console = Console()
    shutil.rmtree(args.work_dir, ignore_errors=True)
    root, cache = args.work_dir / "archive", args.work_dir / "cache"
    console.print("Fabricating SYSU-30k's catalog …")
    fabricate(root, cache, make_pictures(_PICTURES), batches=20)
    catalog, config = open_catalog(root, cache=cache), r50_sysu30k()
    found = measure_loaders(
        catalog,
        make_plan(catalog, config.plan, config.train.seed),
        config.augment,
        args.work_dir / "files",
        workers=args.workers,
        rounds=args.rounds,
        seconds=args.seconds,
        rivals=args.rivals,
    )
    show(found, console)
    console.print(f"Written to {write_result('training_loader', found)}")
    shutil.rmtree(args.work_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
