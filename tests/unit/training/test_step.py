"""One step: no waiting for the device, parts of a batch, and what is left behind when it fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bagreid.catalog import open_catalog
from bagreid.contracts import BagBatch, BagreidError
from bagreid.data.loader import bag_loader
from bagreid.models import ModelConfig
from bagreid.plan import PlanConfig
from bagreid.recipes import DataConfig, RunConfig, demo, training_setup
from bagreid.training.config import LossConfig
from bagreid.training.phases import Phases
from bagreid.training.setup import check_setup, idle_share, make_plan
from bagreid.training.state import RunState
from bagreid.training.step import FACTS, StepNews, Stepper
from bagreid.training.supervision import SupervisionConfig
from bagreid.world import World

Inference = Literal["posterior", "argmax", "balanced"]


def small_run(root: Path, **changes: Any) -> RunConfig:
    base = demo()
    train = dataclasses.replace(base.train, epochs=2, workers=0, precision="fp32")
    config = dataclasses.replace(
        base,
        data=DataConfig(root=root),
        plan=PlanConfig(groups=6, images_per_group=3),
        augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),
        supervision=dataclasses.replace(base.supervision, trust_until=1e-9),
        train=train,
    )
    return dataclasses.replace(config, **changes)


def with_train(config: RunConfig, **train: Any) -> RunConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **train))


class Ready:
    """A run that can step."""

    def __init__(self, config: RunConfig, world: World | None = None) -> None:
        catalog, setup, world = (
            open_catalog(config.data.root),
            training_setup(config),
            world or World(),
        )
        self.plan = make_plan(catalog, setup.plan, setup.train.seed)
        self.state = RunState(catalog, setup, world)
        self.phases = Phases()
        total = self.plan.steps_per_epoch * setup.train.epochs
        self.step = Stepper(self.state, setup, world, self.plan, total, self.phases)
        self.batches: Iterator[BagBatch] = bag_loader(
            catalog, self.plan, setup.augment, seed=0, epoch=0, epochs=2,
            parts=setup.train.accumulate,
        )  # fmt: skip

    def __call__(self) -> StepNews:
        return self.step(self.batches)

    def facts(self) -> dict[str, float]:
        return dict(zip(FACTS, self().facts.tolist(), strict=True))


WAITING = (
    "_local_scalar_dense",  # .item(), int(), bool(), .tolist()
    "nonzero",
    "_unique",
    "unique_",
    "masked_select",
    "is_nonzero",
    "equal",
)
"""Operators whose result's shape or use needs the values: on a GPU they wait for all before."""


class NoWaiting(TorchDispatchMode):
    """Fails on an operator that would wait for a GPU, in the phases that run on one.

    What looks a batch up in the tables runs on the CPU beside the loader, whatever the device.
    """

    def __init__(self, phases: Phases) -> None:
        super().__init__()
        self._phases = phases
        self.seen = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._phases.name not in ("load", "copy", "between steps"):
            self.seen += 1
            name = function.overloadpacket.__name__
            assert name not in WAITING, f"{name} in phase {self._phases.name}"
            by_mask = name in ("index", "index_put_", "index_put") and any(
                isinstance(index, Tensor) and index.dtype is torch.bool for index in args[1]
            )
            assert not by_mask, f"indexing by a mask in phase {self._phases.name}"
        return function(*args, **(kwargs or {}))


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of candidates are looked at on the CPU only; here they count as lying on a GPU."""
    from bagreid.graph import unary

    monkeypatch.setattr(unary, "check_candidates", lambda *_, **__: None)


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize(
    ("inference", "candidates"),
    [("posterior", "all_bags"), ("argmax", "drawn_bag"), ("balanced", "drawn_bag")],
)
@pytest.mark.parametrize("backbone", ["resnet10t", "mgn"])
def test_a_step_never_waits_for_the_device(
    small_archive: Path, inference: Inference, candidates: Any, backbone: str
) -> None:
    config = small_run(small_archive)
    told = dataclasses.replace(
        config.supervision, inference=inference, candidates=candidates, teacher_decay=0.9
    )
    config = dataclasses.replace(config, supervision=told)
    if backbone == "mgn":
        size = dataclasses.replace(config.augment, height=96, width=32)
        config = dataclasses.replace(config, model=ModelConfig(backbone="mgn"), augment=size)
    ready = Ready(config)
    ready()
    with NoWaiting(ready.phases) as watch:
        ready()
    assert watch.seen > 100


def test_the_watch_sees_a_wait() -> None:
    phases = Phases()
    mask = torch.tensor([True, False])
    for waits in (lambda: float(mask.sum()), lambda: mask[mask], lambda: mask.nonzero()):
        with pytest.raises(AssertionError), NoWaiting(phases), phases("loss"):
            waits()


def test_parts_of_a_batch_add_up_to_its_gradient(small_archive: Path) -> None:
    """Without batch norm in training, pairs and triplets, parts make no difference but rounding."""
    alone = LossConfig(pairwise_weight=0.0, triplet_weight=0.0)
    config = small_run(small_archive, loss=alone)
    whole, parts = Ready(config), Ready(with_train(config, accumulate=4))
    for ready in (whole, parts):
        ready.state.network.eval()  # its batch norms then see no batch
    one, two = whole.facts(), parts.facts()
    for name in ("total", "unary", "gradient_norm"):
        assert one[name] == pytest.approx(two[name], rel=1e-5), name
    names = dict(parts.state.network.named_parameters())
    for name, parameter in whole.state.network.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, names[name].grad, rtol=1e-4, atol=1e-6)


def test_a_step_that_fails_before_the_update_can_be_taken_back(small_archive: Path) -> None:
    ready = Ready(small_run(small_archive))
    ready()
    before = {name: value.clone() for name, value in ready.state.network.state_dict().items()}

    def breaking() -> Iterator[BagBatch]:
        yield from ()
        raise BagreidError("the disk is gone")

    real, ready.batches = ready.batches, breaking()
    with pytest.raises(BagreidError):
        ready()
    batch = next(real)
    short = dataclasses.replace(batch, groups=batch.groups[:-1])
    ready.batches = iter([short])
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        ready()
    assert ready.state.sound
    ready.state.guard.roll_back()
    for name, value in ready.state.network.state_dict().items():
        assert "tracked" in name or torch.equal(value, before[name]), name


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_as_full_precision_does(
    small_archive: Path, precision: Literal["bf16", "fp16"]
) -> None:
    full = Ready(small_run(small_archive))
    half = Ready(with_train(small_run(small_archive), precision=precision))
    for _ in range(2):
        one, two = full.facts(), half.facts()
        assert not two["skipped"]
        assert one["total"] == pytest.approx(two["total"], rel=0.05)
        assert one["gradient_norm"] == pytest.approx(two["gradient_norm"], rel=0.2)
    assert two["scale"] == (2.0**16 if precision == "fp16" else 1.0)


def test_a_compiled_network_computes_what_the_plain_one_does(small_archive: Path) -> None:
    told = SupervisionConfig(inference="argmax", candidates="drawn_bag", teacher_decay=0.0)
    small = ModelConfig(backbone="test_resnet", neck="bn")  # compiling takes long enough
    config = small_run(small_archive, supervision=told, model=small)
    plain, compiled = Ready(config), Ready(with_train(config, compile=True))
    for _ in range(2):
        one, two = plain.facts(), compiled.facts()
        assert one["total"] == pytest.approx(two["total"], rel=1e-3)
        assert one["gradient_norm"] == pytest.approx(two["gradient_norm"], rel=1e-2)
    assert plain.state.network.state_dict().keys() == compiled.state.network.state_dict().keys()


def test_groups_that_do_not_divide_cost_waiting(small_archive: Path) -> None:
    config = small_run(small_archive, plan=PlanConfig(groups=12, images_per_group=15))
    setup = training_setup(config)
    assert idle_share(setup, World(size=4)) == 0
    assert idle_share(setup, World(size=8)) == pytest.approx(1 - 12 / 16)
    check_setup(setup, World(size=12))
    with pytest.raises(BagreidError, match="12 groups a batch, computed in 1 parts, cannot be sha"):
        check_setup(setup, World(size=13))
    with pytest.raises(BagreidError, match=r"lower train\.accumulate"):
        check_setup(training_setup(with_train(config, accumulate=5)), World(size=3))


def test_without_an_average_no_second_network_is_kept(small_archive: Path) -> None:
    told = SupervisionConfig(inference="argmax", candidates="drawn_bag", teacher_decay=0.0)
    ready = Ready(small_run(small_archive, supervision=told))
    assert ready.state.evaluated is ready.state.network
    assert "teacher" not in ready.state.collect()
    ready()
