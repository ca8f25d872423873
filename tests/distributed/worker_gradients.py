"""Run by torchrun: one training step's gradients on this rank's share of a global batch."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch

from bagreid.catalog import open_catalog
from bagreid.plan import PlanConfig
from bagreid.recipes import demo, training_setup, with_method
from bagreid.training.loop import Trainer
from bagreid.world import open_world


def main(root: str, out: str, method: str) -> None:
    torch.set_num_threads(1)
    config = with_method(demo(), method)  # type: ignore[arg-type]
    config = dataclasses.replace(
        config,
        plan=PlanConfig(groups=4, images_per_group=4),
        augment=dataclasses.replace(config.augment, height=32, width=16),
        train=dataclasses.replace(config.train, precision="fp32", workers=0, epochs=2),
    )
    with open_world("cpu") as world:
        catalog = open_catalog(Path(root))
        trainer = Trainer(catalog, training_setup(config), world, Path(out).parent / "work")
        trainer.network.double()
        trainer.teacher.network.double()
        trainer.step = trainer.total_steps // 2  # the teacher is trusted by now
        batch = next(iter(trainer._batches()))
        batch = dataclasses.replace(batch, images=batch.images.double())
        terms, targets = trainer._step(trainer._wrapped(), batch)
        if world.is_main:
            gradients = {
                name: parameter.grad
                for name, parameter in trainer.network.named_parameters()
                if parameter.grad is not None
            }
            buffers = dict(trainer.network.named_buffers())
            prior = dict(trainer.supervisor.prior.named_buffers())
            loss = {name: value.detach() for name, value in terms._asdict().items()}
            content = {"gradients": gradients, "buffers": buffers, "prior": prior, "loss": loss}
            torch.save(content, out)
        del targets


if __name__ == "__main__":
    main(*sys.argv[1:])
