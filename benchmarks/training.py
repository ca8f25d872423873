"""Training at SYSU-30k's size: what DGL costs beside plain cross-entropy, and what bounds a step.

The catalog is SYSU-30k's (29.6 million images, 28,310 identities, 84,930 bags); its tars are holes
but for the images that are looked at. Every contender trains the same network on the same batches,
one after the other, step by step in turn, so that a busy moment meets them all:

- plain cross-entropy: written by hand around PyTorch, as anybody would;
- DGL as released: argmax pseudo labels of the drawn bag, graph loss, weak triplet;
- the released recipe: balanced assignment, classification alone;
- ours: teacher, neighbours, prior, bag constraint.

Then images/s of the loader alone, of the training step alone on images that are there, and of both
together; and fast-reid's loader beside ours, on the same images (see training_loader.py).

Usage: python benchmarks/training.py [--device cuda] [--work-dir /dev/shm/bagreid-training]
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
import tyro
from machine import write_result
from pictures import make_pictures
from rich.console import Console
from rich.table import Table
from scale_archive import fabricate
from torch.utils.flop_counter import FlopCounterMode
from training_loader import Looped, measure_loaders, show

from bagreid.catalog import Catalog, open_catalog
from bagreid.contracts import BagBatch
from bagreid.data.augment import train_views
from bagreid.data.loader import bag_loader
from bagreid.models import build_model
from bagreid.plan import BatchPlan
from bagreid.recipes import RunConfig, r50_sysu30k, training_setup
from bagreid.training.config import LossConfig
from bagreid.training.phases import Phases
from bagreid.training.setup import make_plan, precision_of
from bagreid.training.state import RunState
from bagreid.training.step import Stepper
from bagreid.training.supervision import SupervisionConfig, Supervisor
from bagreid.world import World

SYSU_IMAGES = 29_126_188
LIMITS = {"dgl_overhead": 1.05, "together": 0.95}
"""Most time of a DGL step over plain cross-entropy's; least share of the slower of loader and
model that both together reach."""
_MODEL = ("forward", "backward")
_PICTURES = 400
_BATCHES = 40
"""Batches of the plan whose images are there; they are shown again and again."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options of the benchmark."""

    work_dir: Path = Path("/dev/shm/bagreid-training")  # noqa: S108 - memory is what is wanted
    """Where the archive goes; made anew each time."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network computes."""
    backbone: str = "resnet50"
    """Which network; mgn is shown images of 384×128 in batches of 64, as its recipe does."""
    steps: int = 6
    """Steps of each contender that are timed."""
    workers: int = 1
    """Processes that load, where loader and model are measured together."""
    seconds: float = 20.0
    """How long the loader alone is measured."""
    rivals: bool = True
    """Measure fast-reid's loader beside ours; it comes from PyPI on first use."""
    name: str = "training"
    """Name of the result."""


def contenders(base: RunConfig) -> dict[str, RunConfig]:
    """Those that go through our own step."""
    released = SupervisionConfig(inference="argmax", candidates="drawn_bag", teacher_decay=0.0)
    ours = SupervisionConfig(teacher_decay=0.999, prior_decay=0.999, trust_until=1e-9)
    full = LossConfig()
    return {
        "DGL as released": dataclasses.replace(base, supervision=released, loss=full),
        "the released recipe": base,
        "ours": dataclasses.replace(base, supervision=ours, loss=full),
    }


class Timed:
    """A training step and the time it takes.

    Args:
        step: Does one.
        device: Where.
    """

    def __init__(self, step: Callable[[], object], device: torch.device) -> None:
        self._step, self._device = step, device
        self.seconds: list[float] = []

    def __call__(self, *, count: bool = True) -> None:
        """Steps once."""
        _wait(self._device)
        begun = time.perf_counter()
        self._step()
        _wait(self._device)
        if count:
            self.seconds.append(time.perf_counter() - begun)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def plain(
    config: RunConfig, state: RunState, batches: Iterator[BagBatch], world: World
) -> Callable[[], object]:
    """Cross-entropy by hand, on the same pixels, with the same network and optimiser."""
    augment, classes = config.augment, len(state.catalog.identities)
    half = state.precision is not torch.float32

    def step() -> None:
        batch = next(batches)
        pixels = batch.images.to(world.device, non_blocking=True)
        views = batch.views.to(world.device)
        images = train_views(pixels, views, augment, memory_format=state.memory_format)
        label = (batch.bags % classes).to(world.device)
        with torch.autocast(world.device.type, dtype=state.precision, enabled=half):
            loss = F.cross_entropy(state.network(images).logits.float(), label)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()

    return step


@dataclass
class Ours:
    """One of our runs, ready to step."""

    state: RunState
    stepper: Stepper
    phases: Phases
    spent: dict[str, float]


def ours(
    config: RunConfig, catalog: Catalog, plan: BatchPlan, world: World, like: RunState | None = None
) -> Ours:
    """Builds a run; its phases' times are added up.

    Args:
        config: The run.
        catalog: The archive.
        plan: Its batches.
        world: Where it computes.
        like: A state whose network and optimiser it shall use: two networks of the same kind may
            differ by several hundredths in speed, by where their weights happen to lie.
    """
    setup = training_setup(config)
    if like is None:
        state = RunState(catalog, setup, world)
        state.network.train()
    else:
        state = copy.copy(like)
        state.supervisor = Supervisor(catalog, setup.supervision)
        state.teacher = None
    phases, spent = Phases(), dict[str, float]()
    phases.watch(lambda name: _Stopwatch(name, spent, world.device))
    total = plan.steps_per_epoch * setup.train.epochs
    return Ours(state, Stepper(state, setup, world, plan, total, phases), phases, spent)


class _Stopwatch:
    """Adds up a phase's time; waits for the device at its end, or it would time the asking."""

    def __init__(self, name: str, spent: dict[str, float], device: torch.device) -> None:
        self._name, self._spent, self._device = name, spent, device

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        _wait(self._device)
        took = time.perf_counter() - self._begun
        self._spent[self._name] = self._spent.get(self._name, 0.0) + took


def step_times(
    base: RunConfig, catalog: Catalog, plan: BatchPlan, batches: list[BagBatch], args: Args
) -> dict[str, Any]:
    """All contenders in turn, step by step."""
    world = World(device=torch.device(args.device))
    images = len(batches[0].rows)
    configs = contenders(base)
    whole = ours(configs["ours"], catalog, plan, world)
    runs = {
        name: whole if name == "ours" else ours(config, catalog, plan, world, whole.state)
        for name, config in configs.items()
    }
    by_hand = plain(base, whole.state, itertools.cycle(batches), world)
    timed = {"plain cross-entropy": Timed(by_hand, world.device)}
    for name, run in runs.items():
        timed[name] = Timed(partial(run.stepper, itertools.cycle(batches)), world.device)
    for each in timed.values():
        each(count=False)
    for run in runs.values():
        run.spent.clear()
    for turn in range(args.steps):
        order = list(timed.values())
        for each in order if turn % 2 else reversed(order):
            each()
    least = {name: min(each.seconds) for name, each in timed.items()}
    middle = {name: statistics.median(each.seconds) for name, each in timed.items()}
    base_least, base_middle = least["plain cross-entropy"], middle["plain cross-entropy"]
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "fastest_s": least[name],
            "median_s": middle[name],
            "all_s": timed[name].seconds,
            "over_plain_fastest": least[name] / base_least,
            "over_plain_median": middle[name] / base_middle,
            "images_per_second": images / middle[name],
            "phases_s": {
                key: value / args.steps for key, value in runs[name].spent.items()
            } if name in runs else None,
        }
        for name in timed
    ]  # fmt: skip
    for row in rows:
        spent = row["phases_s"]
        if spent is not None:
            inside = sum(spent.get(name, 0.0) for name in _MODEL)
            row["outside_model"] = 1 - inside / sum(spent.values())
    return {"images_a_step": images, "steps": args.steps, "contenders": rows}


def model_flops(base: RunConfig, catalog: Catalog) -> float:
    """Floating-point operations of forward and backward pass, an image."""
    setup = training_setup(base)
    model = build_model(setup.model, len(catalog.identities)).train()
    images = torch.zeros(4, 3, setup.augment.height, setup.augment.width)
    with FlopCounterMode(display=False) as counter:
        model(images).logits.sum().backward()
    return float(counter.get_total_flops()) / len(images)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product: what the machine can do at its best."""
    size = 8192 if device.type == "cuda" else 2048
    one = torch.randn(size, size, device=device).to(dtype)
    best = 0.0
    for _ in range(6):
        _wait(device)
        begun = time.perf_counter()
        one @ one
        _wait(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - begun))
    return best


def together(
    base: RunConfig, catalog: Catalog, plan: BatchPlan, batches: list[BagBatch], args: Args
) -> dict[str, Any]:
    """Images/s of the loader alone, the step alone and both, twice each in turn."""
    world = World(device=torch.device(args.device))
    run = ours(contenders(base)["DGL as released"], catalog, plan, world)
    images = len(batches[0].rows)
    rates: dict[str, list[float]] = {"loader": [], "model": [], "both": []}

    shown = Looped(plan, _BATCHES)

    def loader() -> Iterator[BagBatch]:
        return bag_loader(catalog, shown, base.augment, seed=0, epoch=0, workers=args.workers)

    def rate(step: Callable[[], object], least: float, steps: int) -> float:
        step()
        _wait(world.device)
        begun, done = time.perf_counter(), 0
        while done < steps or time.perf_counter() - begun < least:
            step()
            done += 1
        _wait(world.device)
        return done * images / (time.perf_counter() - begun)

    for _ in range(2):
        alone = loader()
        rates["loader"].append(rate(partial(next, alone), args.seconds / 2, 4))
        alone.close()  # type: ignore[attr-defined]
        there = itertools.cycle(batches)
        rates["model"].append(rate(partial(run.stepper, there), 0, args.steps))
        fed = loader()
        rates["both"].append(rate(partial(run.stepper, fed), 0, args.steps))
        fed.close()  # type: ignore[attr-defined]
    best = {name: max(values) for name, values in rates.items()}
    slower = min(best["loader"], best["model"])
    return {
        "workers": args.workers,
        "images_per_second": rates,
        "share_of_slower": best["both"] / slower,
        "epoch_hours": SYSU_IMAGES / best["both"] / 3600,
        "workers_needed": best["model"] / (best["loader"] / max(args.workers, 1)),
    }


def recipe(args: Args) -> RunConfig:
    """The run that is timed."""
    base = r50_sysu30k()
    model = dataclasses.replace(base.model, pretrained=False, backbone=args.backbone)
    train = dataclasses.replace(base.train, device=args.device)
    base = dataclasses.replace(base, model=model, train=train)
    if args.backbone == "mgn":
        augment = dataclasses.replace(
            base.augment, height=384, width=128, resize=None, test_size=None
        )
        model = dataclasses.replace(model, embedding="backbone")
        plan = dataclasses.replace(base.plan, groups=12, images_per_group=5)
        base = dataclasses.replace(base, augment=augment, model=model, plan=plan)
    return base


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    console = Console()
    shutil.rmtree(args.work_dir, ignore_errors=True)
    root, cache = args.work_dir / "archive", args.work_dir / "cache"
    console.print("Fabricating SYSU-30k's catalog …")
    fabricate(root, cache, make_pictures(_PICTURES), batches=_BATCHES)
    catalog = open_catalog(root, cache=cache)
    base = recipe(args)
    plan = make_plan(catalog, base.plan, base.train.seed)
    source = bag_loader(catalog, plan, base.augment, seed=0, epoch=0)
    batches = [copied(batch) for batch in itertools.islice(source, 4)]
    device = torch.device(args.device)
    precision = precision_of(base.train.precision, device)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if args.device == "cuda" else "cpu",
        "backbone": args.backbone,
        "precision": str(precision),
        "identities": len(catalog.identities),
        "limits": LIMITS,
    }
    result["step"] = step_times(base, catalog, plan, batches, args)
    _show_step(result["step"], console)
    result["together"] = together(base, catalog, plan, batches, args)
    console.print(result["together"])
    if args.rivals:
        result["loaders"] = measure_loaders(
            catalog, plan, base.augment, args.work_dir / "files", rounds=3, seconds=2.5
        )
        show(result["loaders"], console)
    flops, product = model_flops(base, catalog), product_rate(device, precision)
    plain_rate = result["step"]["contenders"][1]["images_per_second"]
    result["arithmetic"] = {
        "gflop_an_image": flops / 1e9,
        "matrix_product_tflops": product / 1e12,
        "share_of_matrix_product": flops * plain_rate / product,
    }
    if args.device == "cuda":
        result["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    console.print(result["arithmetic"])
    console.print(f"Written to {write_result(args.name, result)}")
    shutil.rmtree(args.work_dir, ignore_errors=True)


def copied(batch: BagBatch) -> BagBatch:
    """A batch whose pixels nobody takes back."""
    return dataclasses.replace(
        batch, images=batch.images.clone(memory_format=torch.preserve_format)
    )


def _show_step(found: dict[str, Any], console: Console) -> None:
    table = Table(title=f"One step of {found['images_a_step']} images", title_justify="left")
    table.add_column("contender")
    for heading in ("fastest", "median", "× plain (fastest)", "× plain (median)", "outside model"):
        table.add_column(heading, justify="right")
    for row in found["contenders"]:
        outside = row.get("outside_model")
        table.add_row(
            row["name"],
            f"{row['fastest_s']:.3f} s",
            f"{row['median_s']:.3f} s",
            f"{row['over_plain_fastest']:.3f}",
            f"{row['over_plain_median']:.3f}",
            "" if outside is None else f"{outside:.1%}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
