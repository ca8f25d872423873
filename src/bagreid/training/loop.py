"""The training loop: step after step, from any step on, to the end or to a state that is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from bagreid.catalog import Catalog
from bagreid.contracts import BagBatch, BagreidError
from bagreid.data.loader import WorkerDiedError, bag_loader
from bagreid.data.quarantine import BrokenImages
from bagreid.files import write_beside
from bagreid.training.arrivals import Arrivals
from bagreid.training.checkpoint import Checkpoint, list_checkpoints
from bagreid.training.log import RunLog
from bagreid.training.optimizer import rate_factor, set_rate
from bagreid.training.phases import Phases
from bagreid.training.profiling import StepProfile
from bagreid.training.replaced import ReplacedImages, open_together
from bagreid.training.saving import CheckpointWriter
from bagreid.training.setup import TrainingSetup, check_setup, make_plan
from bagreid.training.state import RunState
from bagreid.training.status import RunStatus
from bagreid.training.step import FACTS, StepNews, Stepper
from bagreid.training.waiting import Waiting
from bagreid.training.watchdog import Watchdog
from bagreid.training.wishes import Wishes
from bagreid.world import World, barrier, is_lost_touch, lost_touch

_STEPS_AHEAD = 2
"""Steps that the host may be ahead of the device before it waits."""

Validate = Callable[[nn.Module, int], dict[str, float]]
"""Scores a network at an epoch: (network, epoch) → names and numbers for the log."""


class Interrupted(Exception):  # noqa: N818 - it is no error: the run was asked to stop
    """The run was asked to stop, and has saved where it stood."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(str(checkpoint))
        self.checkpoint = checkpoint


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


class _Stepped(NamedTuple):
    """What the host knows of a step when it starts it; ``step`` counts it."""

    step: int
    rate: float


class Trainer:
    """Holds a run and advances it to its end.

    Args:
        catalog: The archive to learn from.
        setup: Everything that decides the result.
        world: Who computes with whom.
        work_dir: Where logs and checkpoints go.
        provenance: What every checkpoint says of the code and the machines beside its state.

    Raises:
        BagreidError: The archive and the setup do not fit.
    """

    def __init__(
        self,
        catalog: Catalog,
        setup: TrainingSetup,
        world: World,
        work_dir: Path,
        provenance: dict[str, object] | None = None,
    ) -> None:
        self.catalog, self.setup, self.world, self.work_dir = catalog, setup, world, work_dir
        check_setup(setup, world)
        listed = BrokenImages.open(catalog, setup.quarantine, "train") if world.is_main else None
        self.broken = open_together(listed, world)
        self.replaced = ReplacedImages(self.broken, world, setup.most_broken)
        self.plan = make_plan(catalog, setup.plan, setup.train.seed)
        self.state = RunState(catalog, setup, world)
        self.total_steps = self.plan.steps_per_epoch * setup.train.epochs
        self.phases = Phases()
        self._waiting = Waiting(self.phases)
        self._provenance = provenance or {}
        self._arrivals: Arrivals[_Stepped] = Arrivals()
        self._in_a_row: list[set[int]] = []
        self._skipped = self._validated = 0
        self._branches = False
        self._saved: tuple[int, Path] | None = None

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    def load_pretrained(self, path: Path) -> str:
        """Starts network and teacher from a weight file; returns the account of what was loaded."""
        return self.state.load_pretrained(path)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes up the state of a checkpoint.

        Raises:
            BagreidError: It belongs to another archive or another network.
        """
        self.state.restore(checkpoint)
        self.replaced.restore(checkpoint.state["replaced"])
        self._skipped = checkpoint.state["skipped"]
        self._validated = checkpoint.state["validated"]
        newest = list_checkpoints(self.work_dir / "checkpoints")[-1:]
        self._branches = newest not in ([], [checkpoint.path])

    def run(
        self,
        validate: Validate | None = None,
        console: Console | None = None,
        *,
        status: RunStatus | None = None,
        profile: bool = False,
    ) -> TrainingResult:
        """Trains from the present step to the end; to be called once.

        Args:
            validate: Called with the teacher after every ``train.validate_every``-th epoch, on all
                ranks.
            console: Where people read the progress; None keeps silent.
            status: Told how far the run is.
            profile: Write down where the time of some steps goes.

        Returns:
            How the run ended.

        Raises:
            Interrupted: A signal asked the run to stop; the state is saved.
            BagreidError: The run cannot go on. Where the state was sound it is saved.
        """
        begun, first = time.monotonic(), self.step
        self.phases.step, self._status = self.step, status
        with ExitStack() as around:
            self._open(around, console if self.world.is_main else None, profile=profile)
            try:
                self._train(validate)
                path = self._stop()
                self._write_labels()
            except Interrupted:
                raise
            except Exception as error:
                self._rescue()
                if self.world.size > 1 and is_lost_touch(error):
                    raise lost_touch(error, self.world) from error
                raise
        seconds = time.monotonic() - begun
        images = self._images(self.step - first)
        return TrainingResult(
            self.state.evaluated,
            path,
            seconds,
            images / max(seconds, 1e-9),
            self.state.record.accuracy(),
            dict(self.replaced.counts),
        )

    def open_log(self, console: Console | None) -> RunLog:
        """The run's log, written on the main rank alone."""
        folder = self.work_dir if self.world.is_main else None
        return RunLog(
            folder,
            console,
            total_steps=self.total_steps,
            done_steps=self.step,
            epochs=self.setup.train.epochs,
        )

    def _open(self, around: ExitStack, console: Console | None, *, profile: bool) -> None:
        """Everything that goes on around the steps; it ends with the run."""
        train = self.setup.train
        self._console = console
        self._writer = around.enter_context(
            CheckpointWriter(
                self.work_dir / "checkpoints",
                keep=train.keep_checkpoints,
                describe=self.described(),
            )
        )
        self._log = around.enter_context(self.open_log(console))
        self._watchdog = None
        if train.hang_minutes:
            self._watchdog = around.enter_context(
                Watchdog(self.phases, self.world, self.work_dir, 60 * train.hang_minutes)
            )
        self._wishes = around.enter_context(Wishes(self.world))
        if profile:
            around.enter_context(
                StepProfile(self.phases, self.world, self.work_dir, self._images(1), console)
            )
        self._stepper = Stepper(
            self.state, self.setup, self.world, self.plan, self.total_steps, self.phases
        )

    def described(self) -> dict[str, object]:
        """What every checkpoint says beside the state."""
        return {
            "config": self.setup.resolved,
            "identities": self.catalog.identities.tolist(),
            "world": {
                "processes": self.world.size,
                "device": self.world.device.type,
                "precision": str(self.state.precision).removeprefix("torch."),
                "deterministic": torch.are_deterministic_algorithms_enabled(),
                "threads": torch.get_num_threads() if self.world.device.type == "cpu" else None,
            },
        } | self._provenance

    def _batches(self) -> Iterator[BagBatch]:
        """This rank's parts of all batches to come; workers that died are started anew."""
        parts, per_epoch = self.setup.train.accumulate, self.plan.steps_per_epoch
        given, deaths = self.step * parts, 0
        while given < self.total_steps * parts:
            step, part = divmod(given, parts)
            epoch, within = divmod(step, per_epoch)
            loader = bag_loader(
                self.catalog,
                self.plan,
                self.setup.augment,
                seed=self.setup.train.seed,
                epoch=epoch,
                start_step=within,
                epochs=self.setup.train.epochs - epoch,
                parts=parts,
                rank=self.world.rank,
                world_size=self.world.size,
                workers=self.setup.train.workers,
                quarantine=self.broken.known,
            )
            try:
                for batch in islice(loader, part, None):
                    given += 1
                    yield batch
            except WorkerDiedError as error:
                deaths += 1
                self._tell_of_death(error, deaths)

    def _tell_of_death(self, error: WorkerDiedError, deaths: int) -> None:
        most = self.setup.train.most_worker_deaths
        self._log.write("worker_death", self.step, count=deaths, why=error.message)
        if deaths > most:
            raise error
        self._say(f"{error.message}; started anew at step {self.step + 1} ({deaths} of {most})")

    def _train(self, validate: Validate | None) -> None:
        every, batches = self.setup.train.checkpoint_every, self._batches()
        self._since = time.monotonic(), self.step
        self._waiting.take()
        if self._branches:
            self._save()  # or later checkpoints, which it turns its back on, would pass for its own
        self._validate(validate)
        while self.step < self.total_steps:
            rate = self._set_rate()
            news = self._stepper(batches)
            self.phases.step = self.step
            if self._status is not None:
                self._status.at(self.step, (self.step - 1) // self.plan.steps_per_epoch)
            with self.phases("note"):
                self._arrivals.send(_Stepped(self.step, rate), *news)
                self._read_arrivals(keep=_STEPS_AHEAD)
            wish = self._wishes.agreed()
            if wish.stop:
                raise Interrupted(self._stop())
            last = self.step == self.total_steps
            if wish.save or (not last and self.step % every == 0):
                self._save()
            self._validate(validate)

    def _images(self, steps: int) -> int:
        return steps * self.setup.plan.groups * self.setup.plan.images_per_group

    def _set_rate(self) -> float:
        schedule, epochs = self.setup.schedule, self.setup.train.epochs
        factor = rate_factor(self.step, self.plan.steps_per_epoch, epochs, schedule)
        return set_rate(self.state.optimizer, factor)

    def _stop(self) -> Path:
        path = self._save()
        self._writer.finish()
        return path

    def _save(self) -> Path:
        """Starts a checkpoint of the state as it is, on the first rank; returns its path."""
        with self.phases("save"):
            self._read_arrivals()
            self.replaced.look()
            if found := self.replaced.take_new():
                self._log.write("broken", self.step, **found)
            if not self.world.is_main:
                return self.work_dir / "checkpoints"
            self._log.flush()
            return self._begin_save()

    def _begin_save(self) -> Path:
        if self._saved is None or self._saved[0] != self.step:
            self._saved = self.step, self._writer.save(self.step, self._content())
        return self._saved[1]

    def _content(self) -> dict[str, object]:
        epoch, step = divmod(self.step, self.plan.steps_per_epoch)
        return self.state.collect() | {
            "replaced": dict(self.replaced.counts),
            "skipped": self._skipped,
            "validated": self._validated,
            "plan": {
                "seed": self.setup.train.seed,
                "epoch": epoch,
                "step_of_epoch": step,
                "images_shown": self._images(self.step),
            },
            "schedule": {"step": self.step, "total_steps": self.total_steps},
        }

    def _rescue(self) -> None:
        """After an error: saves the state if it is whole, and says what became of it."""
        if not self.state.sound:
            return
        try:
            self.state.guard.roll_back()
            if self.world.is_main:
                path = self._save_last()
                self._say(f"The state after step {self.step:,} is saved: {path}")
        except Exception as error:
            # what made the run fail is what people must read; this comes on top of it
            said = " ".join(str(error).split())
            self._say(
                f"The state after step {self.step:,} could not be saved: {said}. "
                f"Kept: {self._newest_kept()}"
            )

    def _save_last(self) -> Path:
        """Saves on the way out, where a log that fails or a step's bad news stop nothing more."""
        with suppress(BagreidError):
            self._writer.finish()
        if self._saved is not None and not self._saved[1].exists():
            self._saved = None  # that save failed: what is on the disk is older
        is_heard = False
        while not is_heard:  # on a GPU some steps may have come after the one that ended the run
            with suppress(BagreidError):
                self._read_arrivals()
                is_heard = True
        with suppress(BagreidError):
            self._save()
        path = self._begin_save()
        self._writer.finish()
        return path

    def _newest_kept(self) -> str:
        with suppress(BagreidError):
            if found := list_checkpoints(self._writer.folder):
                return str(found[-1])
        return "no checkpoint"

    def _say(self, line: str) -> None:
        if self._console is not None:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _read_arrivals(self, *, keep: int = 0) -> None:
        """Takes down what steps have to tell, as far as it has come."""
        if self.world.is_main:
            self._writer.poll()
        for stepped, tensors in self._arrivals.take(keep=keep):
            self._note(stepped, StepNews(*tensors))

    def _note(self, stepped: _Stepped, news: StepNews) -> None:
        facts = dict(zip(FACTS, news.facts.tolist(), strict=True))
        rows, lost = news.seen[:, 0].long(), news.seen[:, 3].long()
        self.replaced.note(lost[lost >= 0].tolist())
        self._judge(stepped.step, facts, rows)
        if not facts["skipped"] and self.setup.supervision.source == "bag":
            self.state.record.note(rows, news.seen[:, 1].long(), news.seen[:, 2])
        if stepped.step % self.setup.train.log_every == 0 or stepped.step == self.total_steps:
            self._write_line(stepped, facts, news.reliability)
            self.replaced.check(f"The state after step {self.step:,} is saved")
        else:
            self._log.advance(stepped.step)

    def _judge(self, step: int, facts: dict[str, float], rows: Tensor) -> None:
        """Counts steps that gave no finite gradient, and stops after too many in a row."""
        if not facts["skipped"]:
            self._in_a_row = []
            return
        self._skipped += 1
        self._log.write("skipped", step, loss=facts["total"], gradient_norm=facts["gradient_norm"])
        if not facts["counted"]:
            return
        self._in_a_row.append(set(rows.tolist()))
        if len(self._in_a_row) < self.setup.train.most_skipped:
            return
        images = [self.catalog.name(row) for row in sorted(set().union(*self._in_a_row))]
        self._log.write("not_finite", step, steps=len(self._in_a_row), images=images)
        path = self._list_suspects(images)
        raise BagreidError(
            f"loss or gradient were no finite numbers in {len(self._in_a_row)} steps in a row, up "
            f"to step {step:,}; none of them changed the weights",
            path=path,
            remedy="It lists their images. Lower optimizer.learning_rate, or train with "
            "--train.precision fp32",
        )

    def _list_suspects(self, images: list[str]) -> Path:
        path = self.work_dir / "not_finite.txt"
        if self.world.is_main:
            with write_beside(path) as file:
                file.writelines(f"{name}\n".encode() for name in images)
        return path

    def _write_line(self, stepped: _Stepped, facts: dict[str, float], reliability: Tensor) -> None:
        now, (since, before) = time.monotonic(), self._since
        self._since = now, stepped.step
        agreement = self.state.record.take()
        epoch = (stepped.step - 1) // self.plan.steps_per_epoch
        self._log.step(
            stepped.step,
            epoch=epoch,
            loss={name: facts[name] for name in ("total", "unary", "pairwise", "triplet")},
            learning_rate=stepped.rate,
            gradient_norm=facts["gradient_norm"],
            images_per_second=self._images(stepped.step - before) / max(now - since, 1e-9),
            pseudo_label_accuracy=agreement.accuracy,
            pseudo_label_change=agreement.change,
            skipped=self._skipped,
            replaced=sum(self.replaced.counts.values()),
            waited=self._waiting.take(),
        )
        if self.setup.supervision.needs_teacher:
            kinds = zip(self.state.supervisor.kinds.tolist(), reliability.tolist(), strict=True)
            if known := {str(kind): share for kind, share in kinds if np.isfinite(share)}:
                self._log.write("reliability", stepped.step, epoch=epoch, bags_of=known)

    def _validate(self, validate: Validate | None) -> None:
        """Scores the network at the end of an epoch, where that is due and not done yet."""
        every, (done, within) = (
            self.setup.train.validate_every,
            divmod(self.step, self.plan.steps_per_epoch),
        )
        if validate is None or within or self.step == self.total_steps:
            return
        if every == 0 or done % every or done <= self._validated:
            return
        self._save()  # first: testing may take longer than whoever ends the run waits
        with self.phases("validate"), self._unwatched():
            scores = validate(self.state.evaluated, done - 1)
            self._log.write("validation", self.step, epoch=done - 1, **scores)
            if self.world.is_main:
                self._writer.note_score(self.step, scores["rank1"])
            barrier(self.world)
        self._validated = done
        self._since = time.monotonic(), self.step
        self._waiting.take()

    def _unwatched(self) -> AbstractContextManager[object]:
        return nullcontext() if self._watchdog is None else self._watchdog.paused()

    def _write_labels(self) -> None:
        if self.world.is_main and self.setup.supervision.source == "bag":
            identities, root = self.catalog.identities, self.catalog.root
            self.state.record.write(self.work_dir / "pseudo_labels.npz", identities, root)
