"""Run by torchrun: one training step's gradients on this rank's share of a global batch."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch

from bagreid.catalog import open_catalog
from bagreid.data.loader import bag_loader
from bagreid.models import ModelConfig
from bagreid.plan import PlanConfig
from bagreid.recipes import RunConfig, demo, training_setup, with_method
from bagreid.training.guards import StepGuard
from bagreid.training.optimizer import build_optimizer
from bagreid.training.phases import Phases
from bagreid.training.setup import make_plan
from bagreid.training.state import RunState
from bagreid.training.step import FACTS, Stepper
from bagreid.world import open_world


def configured(method: str, parts: int) -> RunConfig:
    config = with_method(demo(), "argmax" if method == "mgn" else method)  # type: ignore[arg-type]
    augment = dataclasses.replace(config.augment, height=32, width=16)
    if method == "mgn":
        augment = dataclasses.replace(augment, height=96, width=32)
        config = dataclasses.replace(config, model=ModelConfig(backbone="mgn"))
    train = dataclasses.replace(
        config.train, precision="fp32", workers=0, epochs=2, accumulate=parts
    )
    plan = PlanConfig(groups=4, images_per_group=4)
    return dataclasses.replace(config, plan=plan, augment=augment, train=train)


def in_float64(state: RunState, config: RunConfig) -> None:
    """So that rounding does not hide a wrong gradient."""
    for network in (state.network, state.evaluated):
        network.double().register_forward_pre_hook(lambda _, images: (images[0].double(),))
    state.guard = StepGuard(state.network, half=False)
    state.optimizer = build_optimizer(state.network, config.optimizer)


def main(root: str, out: str, method: str, parts: str) -> None:
    torch.set_num_threads(1)
    config = configured(method, int(parts))
    with open_world("cpu") as world:
        catalog, setup = open_catalog(Path(root)), training_setup(config)
        plan = make_plan(catalog, setup.plan, setup.train.seed)
        state = RunState(catalog, setup, world)
        in_float64(state, config)
        total = 2 * plan.steps_per_epoch
        state.step = total // 2  # the teacher is trusted by now
        batches = bag_loader(
            catalog, plan, setup.augment, seed=0, epoch=1, parts=int(parts),
            rank=world.rank, world_size=world.size,
        )  # fmt: skip
        news = Stepper(state, setup, world, plan, total, Phases())(batches)
        if world.is_main:
            gradients = {
                name: parameter.grad
                for name, parameter in state.network.named_parameters()
                if parameter.grad is not None
            }
            content = {
                "gradients": gradients,
                "buffers": dict(state.network.named_buffers()),
                "prior": dict(state.supervisor.prior.named_buffers()),
                "facts": dict(zip(FACTS, news.facts, strict=True)),
                "seen": {"all": news.seen},
            }
            torch.save(content, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
