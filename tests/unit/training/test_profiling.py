"""The profile of real steps: it accounts for all time, and blames the one that is to blame."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import torch
from rich.console import Console
from torch import nn
from torch.autograd import DeviceType  # type: ignore[attr-defined]

from bagreid.catalog import Catalog, open_catalog
from bagreid.contracts import BagBatch, ImageRef
from bagreid.data import AugmentConfig
from bagreid.data.loader import bag_loader
from bagreid.plan import PlanConfig, make_bag_plan
from bagreid.training.phases import Phases
from bagreid.training.profiling import StepProfile, operators_of
from bagreid.training.timing import BETWEEN, PhaseTime, StepTimer, StepTimes
from bagreid.training.verdict import judge
from bagreid.training.waiting import Waiting
from bagreid.world import World

IMAGES = 4


class SlowDisk:
    """A catalog on a disk that takes its time."""

    def __init__(self, catalog: Catalog, seconds: float) -> None:
        self.catalog, self.seconds = catalog, seconds

    def read_many(self, rows: Sequence[int]) -> list[memoryview]:
        time.sleep(self.seconds)
        return self.catalog.read_many(rows)

    def ref(self, row: int) -> ImageRef:
        return self.catalog.ref(row)


@pytest.fixture(scope="module")
def catalog(small_archive: Path) -> Catalog:
    torch.set_num_threads(1)
    return open_catalog(small_archive)


def batches(catalog: Catalog, seconds: float = 0.0) -> Iterator[BagBatch]:
    config = PlanConfig(groups=2, images_per_group=IMAGES // 2)
    bags = (catalog.bags.folder_offset, catalog.bags.folder)
    plan = make_bag_plan(catalog.folder_start, catalog.folder_stop, bags, config, 0)
    augment = AugmentConfig(height=32, width=16)
    store = SlowDisk(catalog, seconds)
    return bag_loader(store, plan, augment, seed=0, epoch=0, epochs=99)  # type: ignore[arg-type]


def train(
    batches: Iterator[BagBatch], profile: StepProfile, phases: Phases, steps: int, width: int = 8
) -> None:
    """Real steps of a small network."""
    network = nn.Sequential(
        nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.AdaptiveAvgPool2d(1)
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with profile:
        for step in range(steps):
            with phases("load"):
                batch = next(batches)
            with phases("forward"):
                loss = network(batch.images.float()).square().mean()
            with phases("backward"):
                loss.backward()
            with phases("update"):
                optimizer.step()
                optimizer.zero_grad()
            phases.step = step + 1


def profiled(
    catalog: Catalog, work_dir: Path, *, steps: int = 12, seconds: float = 0.0, width: int = 8
) -> tuple[dict[str, Any], str]:
    """The profile of a small run, and what people were told."""
    phases, said = Phases(), io.StringIO()
    console = Console(file=said, width=100)
    profile = StepProfile(phases, World(), work_dir, IMAGES, console, steps=5, traced=2)
    train(batches(catalog, seconds), profile, phases, steps, width)
    path = work_dir / "profile" / "profile.json"
    return orjson.loads(path.read_bytes()) if path.exists() else {}, said.getvalue()


def test_phases_account_for_the_whole_step(catalog: Catalog, tmp_path: Path) -> None:
    found, said = profiled(catalog, tmp_path, width=32)
    phases = {phase["name"]: phase for phase in found["phases"]}
    assert list(phases) == ["load", "forward", "backward", "update", BETWEEN]
    whole = found["step_seconds"]["mean"]
    # with what lies between them they are the step, to rounding; without it they miss little
    assert sum(p["host_seconds"] for p in phases.values()) == pytest.approx(whole, rel=1e-9)
    assert sum(p["share"] for p in phases.values()) == pytest.approx(1, rel=1e-9)
    assert phases[BETWEEN]["share"] < 0.25
    assert (found["steps"], found["first_step"]) == (5, 3)
    assert found["images_per_second"] == pytest.approx(IMAGES / whole)
    assert found["step_seconds"]["least"] <= whole <= found["step_seconds"]["most"]
    assert found["verdict"]["said"] in said
    assert found["verdict"]["said"] in (tmp_path / "profile" / "profile.txt").read_text()


def test_the_trace_shows_phases_and_operators(catalog: Catalog, tmp_path: Path) -> None:
    found, _ = profiled(catalog, tmp_path)
    names = [each["name"] for each in found["operators"]]
    assert len(names) == 10
    assert "aten::mkldnn_convolution" in names or "aten::convolution_backward" in names
    assert not any(name.startswith("phase") for name in names)
    hosts = [each["host_seconds"] for each in found["operators"]]
    assert hosts == sorted(hosts, reverse=True)
    path = tmp_path / "profile" / found["trace"]
    events = orjson.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    shown = [event["name"] for event in events if event.get("ph") == "X"]
    assert shown.count("phase backward") == 2
    assert not list(path.parent.glob("partial*"))


def test_a_slow_disk_is_blamed(catalog: Catalog, tmp_path: Path) -> None:
    found, said = profiled(catalog, tmp_path, seconds=0.05)
    assert found["verdict"]["bound"] == "loader"
    assert "--train.workers" in said
    (load,) = (phase for phase in found["phases"] if phase["name"] == "load")
    assert load["host_seconds"] >= 0.05


def test_a_large_network_is_blamed(catalog: Catalog, tmp_path: Path) -> None:
    def ready() -> Iterator[BagBatch]:
        lying = next(batches(catalog))
        while True:
            yield lying

    phases = Phases()
    profile = StepProfile(phases, World(), tmp_path, IMAGES, None, steps=3, traced=1)
    train(ready(), profile, phases, 8, width=64)
    found = orjson.loads((tmp_path / "profile" / "profile.json").read_bytes())
    assert found["verdict"]["bound"] == "device"


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 6, 8, 9])
def test_a_short_run_gives_what_it_can(catalog: Catalog, tmp_path: Path, steps: int) -> None:
    found, said = profiled(catalog, tmp_path, steps=steps)
    if steps < 4:
        assert found == {}
        assert "too short" in said
        return
    assert found["steps"] == min(steps - 3, 5)
    assert (found["trace"] is None) == (steps < 9)
    assert ("too short for a trace" in said) == (steps < 9)


def test_a_profile_that_cannot_be_written_stops_nothing(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "profile").write_text("in the way")
    _, said = profiled(catalog, tmp_path)
    assert "could not be written" in said


def test_other_ranks_look_at_nothing(tmp_path: Path) -> None:
    phases = Phases()
    with StepProfile(phases, World(rank=1, size=2), tmp_path, 4, None), phases("load"):
        pass
    assert not list(tmp_path.iterdir())


def test_the_profile_is_not_counted_as_waiting_for_images(tmp_path: Path) -> None:
    phases = Phases()
    waiting = Waiting(phases)
    with StepProfile(phases, World(), tmp_path, 4, None, steps=1, traced=1):
        for step in range(6):
            with phases("load"):
                pass
            phases.step = step + 1
        # nearly all of this time went into starting the profiler and writing its trace
        assert (tmp_path / "profile" / "trace.json.gz").exists()
        assert waiting.take() < 0.5


def test_an_inner_phase_is_taken_from_the_outer_one() -> None:
    timer = StepTimer(torch.device("cpu"))
    timer.border()
    with timer.phase("outer"):
        time.sleep(0.01)
        with timer.phase("inner"):
            time.sleep(0.02)
    timer.border()
    with timer.phase("outer"):  # of a step that is not over
        pass
    times = timer.times()
    by_name = {phase.name: phase.host for phase in times.phases}
    assert by_name["inner"] >= 0.02
    assert 0.01 <= by_name["outer"] <= times.mean - 0.02
    assert sum(by_name.values()) == pytest.approx(times.mean)


def on_gpu(**milliseconds: float) -> StepTimes:
    """Device times as they would come of a GPU."""
    phases = tuple(PhaseTime(name, 0.0, part / 1000) for name, part in milliseconds.items())
    mean = sum(milliseconds.values()) / 1000
    return StepTimes(10, mean, mean, mean, phases)


@pytest.mark.parametrize(
    ("times", "busy", "bound", "number"),
    [
        (on_gpu(load=50, copy=1, forward=30, backward=19), 0.5, "loader", "50%"),
        (on_gpu(load=5, copy=25, forward=70), 0.95, "copies", "25%"),
        (on_gpu(load=1, copy=1, forward=98), 0.45, "host", "45%"),
        (on_gpu(load=1, copy=1, forward=38, backward=60), 0.97, "device", "backward (60%)"),
        (on_gpu(load=0, copy=0, forward=1), None, "device", "forward"),
        (on_gpu(load=20, copy=30, forward=50), 0.5, "copies", "30%"),
    ],
)
def test_the_verdict_follows_the_device(
    times: StepTimes, busy: float | None, bound: str, number: str
) -> None:
    verdict = judge(times, busy)
    assert verdict.bound == bound
    assert number in verdict.said


def test_a_checkpoint_among_the_steps_does_not_hide_a_slow_loader() -> None:
    times = on_gpu(load=10, forward=10, save=1000)
    assert times.share("load") < 0.01
    assert judge(times.without("save"), None).bound == "loader"


def event(key: str, device: DeviceType, device_us: float, *, named: bool = False) -> Any:
    return SimpleNamespace(
        key=key, count=2, self_cpu_time_total=4.0, self_device_time_total=device_us,
        device_type=device, is_user_annotation=named,
    )  # fmt: skip


def test_the_time_of_a_gpu_is_counted_once() -> None:
    """PyTorch lists it by operator, by kernel, and by every span that somebody named."""
    events = [
        event("aten::mm", DeviceType.CPU, 6e6),
        event("aten::add", DeviceType.CPU, 2e6),
        event("phase forward", DeviceType.CPU, 0.0, named=True),
        event("gemm_kernel", DeviceType.CUDA, 6e6),
        event("add_kernel", DeviceType.CUDA, 2e6),
        event("phase forward", DeviceType.CUDA, 9e6, named=True),
        event("Optimizer.step#SGD.step", DeviceType.CUDA, 5e6, named=True),
    ]
    found, computed = operators_of(events, 2, on_gpu=True)
    assert computed == 4.0
    assert [(each.name, each.device) for each in found] == [("aten::mm", 3.0), ("aten::add", 1.0)]
    found, computed = operators_of(events[:3], 2, on_gpu=False)
    assert computed is None
    assert [(each.name, each.device) for each in found] == [("aten::mm", None), ("aten::add", None)]
