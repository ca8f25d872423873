"""One step: a batch in, the state of a run moved once, or left as it was.

Nothing here waits for the device: what the host wants to know of a step is sent to it
(`bagreid.training.arrivals`). (On several GPUs PyTorch's `SyncBatchNorm` does: each layer waits for
its counts.) Until "update" nothing but gradients and running statistics changes,
and the statistics can be put back; "update" talks to no other process and to no disk. So a step
that fails, wherever it does, leaves a state that can be saved.

Shape letters: N images.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bagreid.contracts import BagBatch, BagreidError
from bagreid.data.augment import train_views
from bagreid.models import ModelOutput
from bagreid.plan import BatchPlan
from bagreid.training.criterion import LossTerms, compute_loss, heads_of
from bagreid.training.guards import Verdict
from bagreid.training.phases import Phases
from bagreid.training.setup import TrainingSetup
from bagreid.training.state import RunState
from bagreid.training.supervision import Question, Targets
from bagreid.world import World, all_sum, gather_rows, send

FACTS = ("skipped", "counted", "total", "unary", "pairwise", "triplet", "gradient_norm", "scale")
"""What `StepNews.facts` holds."""


class StepNews(NamedTuple):
    """What a step has to tell, on the device.

    Attributes:
        facts: ``(8,)`` float32, see `FACTS`.
        seen: ``(N, 4)`` float64 of the global batch: row shown, pseudo label, its confidence, and
            the row of a broken image that was replaced (of any, listed from above; −1 below).
        reliability: ``(S,)`` float32, how far each kind of bag is to be trusted.
    """

    facts: Tensor
    seen: Tensor
    reliability: Tensor


class _Part(NamedTuple):
    terms: LossTerms
    seen: Tensor
    totals: Tensor | None


class Stepper:
    """Moves the state of a run by one step.

    Args:
        state: What is moved.
        setup: How.
        world: Who computes with whom; every rank must step.
        plan: Knows the ranks' shares of a batch.
        total_steps: Steps of the whole run.
        phases: Told where a step is.
    """

    def __init__(
        self,
        state: RunState,
        setup: TrainingSetup,
        world: World,
        plan: BatchPlan,
        total_steps: int,
        phases: Phases,
    ) -> None:
        self._state, self._setup, self._world = state, setup, world
        self._total_steps, self._phases = total_steps, phases
        self._parts = setup.train.accumulate
        self._shares = [plan.shares(world.size, part, self._parts) for part in range(self._parts)]
        self._images = sum(map(sum, self._shares))
        self._trained = _wrapped(state.network, setup, world)
        self._shown: Tensor | None = None
        self._infers = setup.supervision.needs_teacher
        self._teacher = _compiled(state.evaluated, setup) if self._infers else None

    def __call__(self, batches: Iterator[BagBatch]) -> StepNews:
        """Does one step.

        Args:
            batches: Gives this rank's parts of the batch.

        Returns:
            What is to tell of it.
        """
        state = self._state
        state.guard.begin()
        state.optimizer.zero_grad(set_to_none=True)
        done = [self._part(batches, number) for number in range(self._parts)]
        share = torch.tensor([sum(share) / self._images for share in self._shares])
        terms_PT = torch.stack([torch.stack(tuple(part.terms)) for part in done])
        terms = LossTerms(*send(share.to(terms_PT.dtype), self._world.device) @ terms_PT)
        totals = [part.totals for part in done if part.totals is not None]
        evidence = all_sum(torch.stack(totals).sum(dim=0), self._world) if totals else None
        with self._phases("update"):
            verdict = self._update(terms.total, evidence)
        facts = torch.stack([*verdict[:2], *terms, verdict.norm, state.guard.scale])
        seen = torch.cat([part.seen for part in done])
        return StepNews(facts, seen, state.supervisor.prior.reliability)

    def _part(self, batches: Iterator[BagBatch], number: int) -> _Part:
        state, phases, share = self._state, self._phases, self._state.step / self._total_steps
        with phases("load"):
            batch = next(batches)
        # what a network draws at random (stochastic depth) follows from step, part and rank
        drawn_from = (self._setup.train.seed, state.step, number, self._world.rank)
        torch.manual_seed(hash(drawn_from) % 2**63)
        with phases("copy"):
            question = state.supervisor.ask(batch).to(self._world.device)
            pixels = send(batch.images, self._world.device)
            views = send(batch.views, self._world.device)
        with phases("augment"):
            # into the place of the batch before, whose backward pass is done
            self._shown = images = train_views(
                pixels,
                views,
                self._setup.augment,
                memory_format=state.memory_format,
                out=self._shown,
            )
        last = number == self._parts - 1
        with self._no_exchange(not last):
            with phases("forward"), self._autocast():
                output: ModelOutput = self._trained(images)
            with phases("teacher"), self._autocast(), torch.no_grad():
                teacher = None if self._teacher is None else self._teacher(images)
            with phases("targets"):
                targets = state.supervisor.answer(question, output, teacher, share)
            with phases("loss"), self._autocast():
                terms = self._loss(question, output, targets, self._shares[number])
            with phases("backward"):
                weight = sum(self._shares[number]) / self._images
                loss = state.guard.scaled(terms.total * weight if self._parts > 1 else terms.total)
                loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            terms = terms._replace(total=terms.total.detach())
            seen = self._seen(batch, targets, self._shares[number])
            return _Part(terms, seen, self._explained(question, targets, share))

    def _loss(
        self, question: Question, output: ModelOutput, targets: Targets, counts: tuple[int, ...]
    ) -> LossTerms:
        supervisor = self._state.supervisor
        each = [supervisor.of_head(question, logits, targets) for logits in heads_of(output)]
        return compute_loss(output, each, self._setup.loss, self._world, counts)

    def _seen(self, batch: BagBatch, targets: Targets, counts: tuple[int, ...]) -> Tensor:
        lost = torch.full((len(batch.rows),), -1.0, dtype=torch.float64)
        lost[: len(batch.replaced)] = torch.tensor(batch.replaced, dtype=torch.float64)
        known = send(torch.stack([batch.rows.double(), lost], dim=1), self._world.device)
        label, confidence = targets.label.double(), targets.confidence.double()
        seen = torch.stack([known[:, 0], label, confidence, known[:, 1]], dim=1)
        return gather_rows(seen, self._world, counts)

    def _explained(self, question: Question, targets: Targets, share: float) -> Tensor | None:
        supervisor = self._state.supervisor
        if not self._infers or supervisor.trust(share) <= 0:
            return None
        return supervisor.prior.responsibilities(question.evidence, targets.weight)

    @torch.no_grad()
    def _update(self, loss: Tensor, evidence: Tensor | None) -> Verdict:
        state = self._state
        state.sound = False
        verdict = state.guard.update(state.optimizer, loss)
        if state.teacher is not None:
            state.teacher.follow(state.network, state.step)
        if evidence is not None:
            prior = state.supervisor.prior
            before = [buffer.clone() for buffer in prior.buffers()]
            prior.update(evidence, self._images)
            for buffer, old in zip(prior.buffers(), before, strict=True):
                torch.where(verdict.skipped > 0, old, buffer, out=buffer)
        state.step += 1
        state.sound = True
        return verdict

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._state.precision is torch.float32:
            return nullcontext()
        return torch.autocast(self._world.device.type, dtype=self._state.precision)

    def _no_exchange(self, keep: bool) -> AbstractContextManager[Any]:
        """Keeps gradients to this rank while more parts of the batch are to come."""
        if keep and isinstance(self._trained, DistributedDataParallel):
            held: AbstractContextManager[Any] = self._trained.no_sync()
            return held
        return nullcontext()


def _wrapped(network: nn.Module, setup: TrainingSetup, world: World) -> nn.Module:
    """The network as it is called in training: compiled where asked, gradients exchanged."""
    network = _compiled(network, setup)
    if world.size == 1:
        return network
    devices = [world.local_rank] if world.device.type == "cuda" else None
    with warnings.catch_warnings():
        # its successor is newer than the oldest PyTorch supported
        warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
        return DistributedDataParallel(
            network, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True
        )


def _compiled(network: nn.Module, setup: TrainingSetup) -> nn.Module:
    """A way to call a network that shares its weights; the network itself stays as it is."""
    if not setup.train.compile:
        return network
    _check_compiler()
    return cast("nn.Module", torch.compile(network, dynamic=False))


def _check_compiler() -> None:
    """Finds out before the first step that there is no compiler, and says so in one line.

    Raises:
        BagreidError: There is none.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:
        raise BagreidError(
            "train.compile needs a C++ compiler, and there is none here",
            remedy="Install g++, or set $CXX, or leave train.compile out",
        ) from error
