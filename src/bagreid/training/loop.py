"""The training loop: step after step, from any step on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bagreid.catalog import Catalog
from bagreid.contracts import BagBatch, BagreidError, QuarantineChoice
from bagreid.data import AugmentConfig
from bagreid.data.loader import bag_loader
from bagreid.data.quarantine import BrokenImages
from bagreid.files import write_beside
from bagreid.models import ModelConfig, ModelOutput, build_model
from bagreid.models.batch_norm import synchronise_batch_norm
from bagreid.models.weights import load_weights
from bagreid.plan import BatchPlan, PlanConfig, make_bag_plan, make_identity_plan
from bagreid.training.checkpoint import Checkpoint, save_checkpoint
from bagreid.training.config import LossConfig, OptimizerConfig, ScheduleConfig, TrainConfig
from bagreid.training.criterion import LossTerms, compute_loss
from bagreid.training.log import RunLog
from bagreid.training.optimizer import build_optimizer, rate_factor, set_rate
from bagreid.training.record import PseudoLabelRecord
from bagreid.training.replaced import ReplacedImages, open_together
from bagreid.training.supervision import SupervisionConfig, Supervisor, Targets
from bagreid.training.teacher import Teacher
from bagreid.world import World, all_objects, all_sum

Validate = Callable[[nn.Module, int], dict[str, float]]
"""Scores a network at an epoch: (network, epoch) → names and numbers for the log."""


class Interrupted(Exception):  # noqa: N818 - it is no error: the run was asked to stop
    """The run was asked to stop, and has saved where it stood."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(str(checkpoint))
        self.checkpoint = checkpoint


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """Everything that decides the result of a training run.

    Attributes:
        plan: Which images form which batch.
        augment: How they are shown.
        model: Which network.
        supervision: Where its targets come from.
        loss: What it is punished for.
        optimizer: How it moves.
        schedule: How fast.
        train: How long.
        quarantine: Which list of broken images is read and added to.
        most_broken: Share of the train images that may be broken.
        resolved: The whole configuration as plain values, kept in every checkpoint.
    """

    plan: PlanConfig
    augment: AugmentConfig
    model: ModelConfig
    supervision: SupervisionConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    train: TrainConfig
    quarantine: QuarantineChoice
    most_broken: float
    resolved: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        network: The network to evaluate: the moving average of the trained one.
        checkpoint: The last checkpoint.
        seconds: Time spent in this part of the run.
        images_per_second: Mean training rate of this part, over all ranks.
        pseudo_label_accuracy: Of the latest pseudo labels, where the truth is known.
        replaced: Broken images met, and how often each was replaced.
    """

    network: nn.Module
    checkpoint: Path
    seconds: float
    images_per_second: float
    pseudo_label_accuracy: float | None
    replaced: dict[int, int]


def make_plan(catalog: Catalog, config: PlanConfig, seed: int) -> BatchPlan:
    """The plan of an archive: by bags, or by the identities of its truth."""
    if config.kind == "identities":
        return make_identity_plan(catalog.truth(), config, seed)
    bags = (catalog.bags.folder_offset, catalog.bags.folder)
    return make_bag_plan(catalog.folder_start, catalog.folder_stop, bags, config, seed)


class Trainer:
    """Holds the state of a run and advances it step by step.

    Args:
        catalog: The archive to learn from.
        setup: Everything that decides the result.
        world: Who computes with whom.
        work_dir: Where logs and checkpoints go.

    Raises:
        BagreidError: The archive and the setup do not fit.
    """

    def __init__(
        self, catalog: Catalog, setup: TrainingSetup, world: World, work_dir: Path
    ) -> None:
        self.catalog, self.setup, self.world, self.work_dir = catalog, setup, world, work_dir
        if setup.plan.groups % world.size:
            raise BagreidError(
                f"{setup.plan.groups} groups a batch cannot be shared by {world.size} processes",
                remedy=f"Set plan.groups to a multiple of {world.size}",
            )
        if setup.plan.kind == "identities" and setup.supervision.source == "bag":
            raise BagreidError(
                "batches of identities are drawn by the truth, which training from bags never sees",
                remedy="Set plan.kind to windows or bag_file, or supervision.source to truth",
            )
        listed = BrokenImages.open(catalog, setup.quarantine, "train") if world.is_main else None
        self.broken = open_together(listed, world)
        self.replaced = ReplacedImages(self.broken, world, setup.most_broken)
        self.plan = make_plan(catalog, setup.plan, setup.train.seed)
        self.supervisor = Supervisor(catalog, setup.supervision)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setup.train.seed)
            network = build_model(setup.model, len(catalog.identities))
        self.precision = _precision(setup.train.precision, world.device)
        self.memory_format = _memory_format(self.precision, world.device)
        network = network.to(world.device).to(memory_format=self.memory_format)
        self.network = synchronise_batch_norm(network, world)
        self.teacher = Teacher(self.network, setup.supervision.teacher_decay)
        self.supervisor.prior.to(world.device)
        self.optimizer = build_optimizer(self.network, setup.optimizer)
        self.record = PseudoLabelRecord(self.supervisor.truth)
        self.step = 0
        self.total_steps = self.plan.steps_per_epoch * setup.train.epochs

    def load_pretrained(self, path: Path) -> str:
        """Starts network and teacher from a weight file; returns the account of what was loaded."""
        report = load_weights(self.network, path)
        self.teacher.network.load_state_dict(self.network.state_dict())
        return str(report)

    def state(self, replaced: dict[int, int]) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        return {
            "model": self.network.state_dict(),
            "teacher": self.teacher.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "prior": self.supervisor.prior.state_dict(),
            "pseudo_label": torch.from_numpy(self.record.label),
            "confidence": torch.from_numpy(self.record.confidence),
            "replaced": replaced,
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes up the state of a checkpoint.

        Raises:
            BagreidError: It belongs to another archive or another network.
        """
        if checkpoint.identities != self.catalog.identities.tolist():
            raise BagreidError(
                f"the checkpoint knows {len(checkpoint.identities)} identities, other than the "
                f"{len(self.catalog.identities)} of this archive",
                path=checkpoint.path,
                remedy="To start from its weights use --pretrained",
            )
        state = checkpoint.state
        if len(state["pseudo_label"]) != len(self.record.label):
            raise BagreidError(
                f"the checkpoint knows {len(state['pseudo_label'])} train images, this archive "
                f"has {len(self.record.label)}",
                path=checkpoint.path,
                remedy="To start from its weights use --pretrained",
            )
        self.network.load_state_dict(state["model"])
        self.teacher.network.load_state_dict(state["teacher"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.supervisor.prior.load_state_dict(state["prior"])
        self.record.label[:] = state["pseudo_label"].numpy()
        self.record.confidence[:] = state["confidence"].numpy()
        self.replaced.restore(state["replaced"])
        self.step = checkpoint.step

    def save(self, log: RunLog) -> Path:
        """Writes a checkpoint and what was found broken (on the main rank); returns its path."""
        folder = self.work_dir / "checkpoints"
        replaced = self.replaced.total()
        if found := self.replaced.take_new():
            log.write("broken", self.step, **found)
        if self.world.is_main:
            return save_checkpoint(
                folder,
                self.step,
                self.state(replaced),
                self.setup.resolved,
                self.catalog.identities.tolist(),
                keep=self.setup.train.keep_checkpoints,
            )
        return folder

    def run(
        self, validate: Validate | None = None, console: Console | None = None
    ) -> TrainingResult:
        """Trains from the present step to the end.

        Args:
            validate: Called with the teacher after every ``train.validate_every``-th epoch.
            console: Where people read the progress; None keeps silent.

        Returns:
            How the run ended.

        Raises:
            Interrupted: A signal asked the run to stop; the state is saved.
            BagreidError: The loss is no longer finite.
        """
        begun, first = time.monotonic(), self.step
        shown = console if self.world.is_main else None
        with self.open_log(shown) as log, _stop_on_signals() as asked:
            trained = self._wrapped()
            self._train(trained, log, asked, validate)
            path = self.save(log)
            self._write_labels()
        seconds = time.monotonic() - begun
        shown_images = (self.step - first) * self.setup.plan.groups
        rate = shown_images * self.setup.plan.images_per_group / max(seconds, 1e-9)
        accuracy = self.record.accuracy()
        return TrainingResult(
            self.teacher.network, path, seconds, rate, accuracy, self.replaced.total()
        )

    def open_log(self, console: Console | None) -> RunLog:
        """The run's log, written on the main rank alone."""
        folder = self.work_dir if self.world.is_main else None
        return RunLog(folder, console, total_steps=self.total_steps, done_steps=self.step)

    def _wrapped(self) -> nn.Module:
        if self.world.size == 1:
            return self.network
        devices = [self.world.local_rank] if self.world.device.type == "cuda" else None
        return DistributedDataParallel(self.network, device_ids=devices, broadcast_buffers=False)

    def _batches(self) -> Iterator[BagBatch]:
        epoch, step = divmod(self.step, self.plan.steps_per_epoch)
        return bag_loader(
            self.catalog,
            self.plan,
            self.setup.augment,
            seed=self.setup.train.seed,
            epoch=epoch,
            start_step=step,
            epochs=self.setup.train.epochs - epoch,
            rank=self.world.rank,
            world_size=self.world.size,
            workers=self.setup.train.workers,
            quarantine=self.broken.known,
        )

    def _train(
        self, trained: nn.Module, log: RunLog, asked: list[int], validate: Validate | None
    ) -> None:
        config = self.setup.train
        since, counted = time.monotonic(), 0
        for batch in self._batches():
            epoch = self.step // self.plan.steps_per_epoch
            rate = self._set_rate()
            terms, targets = self._step(trained, batch)
            self._note(batch, targets)
            self.step += 1
            counted += 1
            last = self.step == self.total_steps
            if last or self.step % config.log_every == 0:
                per_second = self._images(counted) / max(time.monotonic() - since, 1e-9)
                self._log(log, epoch, terms, rate, per_second)
                since, counted = time.monotonic(), 0
                self._refuse_a_rotten_archive(log)
            else:
                log.advance(self.step)
            if self._must_stop(asked):
                raise Interrupted(self.save(log))
            if not last and self.step % config.checkpoint_every == 0:
                self.save(log)
            if self.step % self.plan.steps_per_epoch == 0:
                self._validate(epoch, validate, log)
                since, counted = time.monotonic(), 0

    def _refuse_a_rotten_archive(self, log: RunLog) -> None:
        try:
            self.replaced.check(f"The state after step {self.step:,} is saved")
        except BagreidError:
            self.save(log)
            raise

    def _images(self, steps: int) -> int:
        return steps * self.setup.plan.groups * self.setup.plan.images_per_group

    def _set_rate(self) -> float:
        factor = rate_factor(
            self.step, self.plan.steps_per_epoch, self.setup.train.epochs, self.setup.schedule
        )
        return set_rate(self.optimizer, factor)

    def _step(self, trained: nn.Module, batch: BagBatch) -> tuple[LossTerms, Targets]:
        device = self.world.device
        # what a network draws at random (stochastic depth) follows from the step and the rank
        torch.manual_seed(hash((self.setup.train.seed, self.step, self.world.rank)) % 2**63)
        question = self.supervisor.ask(batch).to(device)
        images = batch.images.to(device, memory_format=self.memory_format, non_blocking=True)
        with self._autocast():
            output: ModelOutput = trained(images)
            with torch.no_grad():
                needed = self.setup.supervision.needs_teacher
                teacher = self.teacher.network(images) if needed else None
        share = self.step / self.total_steps
        targets = self.supervisor.answer(question, output, teacher, share)
        with self._autocast():
            terms = compute_loss(output, targets, self.setup.loss, self.world)
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.teacher.follow(self.network, self.step)
        if self.setup.supervision.needs_teacher and self.supervisor.trust(share) > 0:
            totals = self.supervisor.prior.responsibilities(question.evidence, targets.weight)
            count = len(images) * self.world.size
            self.supervisor.prior.update(all_sum(totals, self.world), count)
        return terms, targets

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision is torch.float32:
            return nullcontext()
        return torch.autocast(self.world.device.type, dtype=self.precision)

    def _note(self, batch: BagBatch, targets: Targets) -> None:
        self.replaced.note(batch.replaced)
        if self.setup.supervision.source == "truth":
            return
        seen = (batch.rows, targets.label.cpu(), targets.confidence.detach().cpu())
        for rows, labels, confidence in all_objects(seen, self.world):
            self.record.note(rows, labels, confidence)

    def _log(
        self, log: RunLog, epoch: int, terms: LossTerms, rate: float, per_second: float
    ) -> None:
        values = {name: float(value.detach()) for name, value in terms._asdict().items()}
        if not np.isfinite(values["total"]):
            raise BagreidError(
                f"the loss is {values['total']} at step {self.step}",
                path=self.work_dir,
                remedy="Lower optimizer.learning_rate, or train with --train.precision fp32",
            )
        agreement = self.record.take()
        log.write(
            "step",
            self.step,
            epoch=epoch,
            loss=values,
            learning_rate=rate,
            images_per_second=per_second,
            pseudo_label_accuracy=agreement.accuracy,
            pseudo_label_change=agreement.change,
        )
        if self.setup.supervision.needs_teacher:
            found = self.supervisor.prior.reliability.tolist()
            named = zip(map(str, self.supervisor.kinds.tolist()), found, strict=True)
            known = {kind: share for kind, share in named if np.isfinite(share)}
            if known:
                log.write("reliability", self.step, epoch=epoch, bags_of=known)
        say = f"epoch {epoch + 1}/{self.setup.train.epochs}  loss {values['total']:.3f}"
        if agreement.accuracy is not None:
            say += f"  labels right {agreement.accuracy:.1%}"
        log.advance(self.step, f"{say}  {per_second:.0f} images/s")

    def _validate(self, epoch: int, validate: Validate | None, log: RunLog) -> None:
        every = self.setup.train.validate_every
        last = epoch + 1 == self.setup.train.epochs
        if validate is None or last or every == 0 or (epoch + 1) % every:
            return
        log.write("validation", self.step, epoch=epoch, **validate(self.teacher.network, epoch))

    def _must_stop(self, asked: list[int]) -> bool:
        if self.world.size == 1:
            return bool(asked)
        if self.step % self.setup.train.log_every:
            return False
        mine = torch.tensor([float(len(asked))], device=self.world.device)
        return bool(all_sum(mine, self.world).item())

    def _write_labels(self) -> None:
        if not self.world.is_main or self.setup.supervision.source == "truth":
            return
        seen = np.flatnonzero(self.record.label >= 0)
        with write_beside(self.work_dir / "pseudo_labels.npz") as file:
            np.savez_compressed(
                file,
                rows=seen,
                pseudo_label=self.record.label[seen].astype(np.int64),
                confidence=self.record.confidence[seen].astype(np.float32),
                truth=self.record.truth[seen],
                identities=self.catalog.identities,
                root=np.array(str(self.catalog.root)),
            )


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name == "fp32":
        return torch.float32
    if name == "bf16" or device.type == "cuda":
        return torch.bfloat16
    # newer than the oldest PyTorch supported; without it float32 is right, if slower
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    has_bf16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if has_bf16 else torch.float32


def _memory_format(precision: torch.dtype, device: torch.device) -> torch.memory_format:
    """Channels last is faster on GPUs and in bf16; in float32 a CPU prefers planes."""
    if device.type == "cuda" or precision is torch.bfloat16:
        return torch.channels_last
    return torch.contiguous_format


@contextmanager
def _stop_on_signals() -> Iterator[list[int]]:
    """Collects SIGINT, SIGTERM and SIGUSR1 instead of dying of them; a second SIGINT kills."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        try:
            before[number] = signal.signal(number, note)
        except ValueError:  # only the main thread of a process may take signals
            break
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
