"""The state of a run: everything that the next step depends on, built, saved and restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError
from bagreid.models import build_model
from bagreid.models.batch_norm import synchronise_batch_norm
from bagreid.models.weights import load_weights
from bagreid.training.checkpoint import Checkpoint
from bagreid.training.guards import StepGuard
from bagreid.training.optimizer import build_optimizer, restore_optimizer
from bagreid.training.record import PseudoLabelRecord
from bagreid.training.setup import TrainingSetup, memory_format_of, precision_of
from bagreid.training.supervision import Supervisor
from bagreid.training.teacher import Teacher
from bagreid.world import World


class RunState:
    """What training changes; between two steps it is whole.

    Args:
        catalog: The archive to learn from.
        setup: Everything that decides the result.
        world: Who computes with whom.

    Attributes:
        step: Steps done.
        sound: Whether all parts are of that step: not so for the moment in which they change.
        teacher: The moving average; None where it would be the network itself.
    """

    def __init__(self, catalog: Catalog, setup: TrainingSetup, world: World) -> None:
        self.catalog = catalog
        self.precision = precision_of(setup.train.precision, world.device)
        self.memory_format = memory_format_of(self.precision, world.device)
        self.supervisor = Supervisor(catalog, setup.supervision)
        self.supervisor.prior.to(world.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setup.train.seed)
            network = build_model(setup.model, len(catalog.identities))
        network = network.to(world.device).to(memory_format=self.memory_format)
        self.network = synchronise_batch_norm(network, world)
        told = setup.supervision
        has_teacher = told.needs_teacher or told.teacher_decay > 0
        self.teacher = Teacher(self.network, told.teacher_decay) if has_teacher else None
        self.guard = StepGuard(self.network, half=self.precision is torch.float16)
        self.optimizer = build_optimizer(self.network, setup.optimizer)
        self.record = PseudoLabelRecord(self.supervisor.truth)
        self.step = 0
        self.sound = True

    @property
    def evaluated(self) -> nn.Module:
        """The network that is tested: the teacher's, where there is one."""
        return self.network if self.teacher is None else self.teacher.network

    def load_pretrained(self, path: Path) -> str:
        """Starts network and teacher from a weight file; returns the account of what was loaded."""
        report = load_weights(self.network, path)
        if self.teacher is not None:
            self.teacher.network.load_state_dict(self.network.state_dict())
        self.guard.begin()
        return str(report)

    def collect(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        averaged = {} if self.teacher is None else {"teacher": self.evaluated.state_dict()}
        return averaged | {
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.guard.state_dict(),
            "prior": self.supervisor.prior.state_dict(),
            "pseudo_label": torch.from_numpy(self.record.label),
            "confidence": torch.from_numpy(self.record.confidence),
            "random": torch.get_rng_state(),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes up the state of a checkpoint.

        Raises:
            BagreidError: It belongs to another archive or another network.
        """
        self._check(checkpoint)
        state = checkpoint.state
        try:
            self.network.load_state_dict(state["model"])
            if self.teacher is not None:
                self.teacher.network.load_state_dict(state["teacher"])
            restore_optimizer(self.optimizer, state["optimizer"])
            self.guard.load_state_dict(state["scaler"])
            self.supervisor.prior.load_state_dict(state["prior"])
        except (RuntimeError, ValueError, KeyError) as error:
            said = " ".join(str(error).split())
            raise BagreidError(
                f"the checkpoint does not fit this run: {said}",
                path=checkpoint.path,
                remedy="To start from its weights use --pretrained",
            ) from error
        self.record.label[:] = state["pseudo_label"].numpy()
        self.record.confidence[:] = state["confidence"].numpy()
        torch.set_rng_state(state["random"])
        self.guard.begin()
        self.step = checkpoint.step

    def _check(self, checkpoint: Checkpoint) -> None:
        if checkpoint.identities != self.catalog.identities.tolist():
            raise BagreidError(
                f"the checkpoint knows {len(checkpoint.identities)} identities, other than the "
                f"{len(self.catalog.identities)} of this archive",
                path=checkpoint.path,
                remedy="To start from its weights use --pretrained",
            )
        known = len(checkpoint.state["pseudo_label"])
        if known != len(self.record.label):
            raise BagreidError(
                f"the checkpoint knows {known} train images, this archive has "
                f"{len(self.record.label)}",
                path=checkpoint.path,
                remedy="To start from its weights use --pretrained",
            )
