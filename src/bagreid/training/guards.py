"""A step that gives no finite gradient changes nothing, and nobody waits for the device to know it.

Whether the loss and the gradient's norm are finite is decided where they are computed. The fused
optimisers take the verdict as a tensor (`found_inf`, which `torch.amp.GradScaler` sets too) and
leave weights and moments alone; the running statistics of the batch norms, which the forward pass
has moved by then, are put back. The host reads the verdicts when they have arrived, some steps
later, and stops the run where too many came in a row.

In float16 a gradient may overflow for no fault of its own, so the loss is multiplied by a scale,
which is halved after each overflow and doubled after 2,000 steps without (arXiv 1710.03740). A
gradient that overflows while the scale can still fall is no fault of the run and is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bagreid.models.batch_norm import join_statistics

FIRST_SCALE = 2.0**16
"""Scale of the loss in float16 at the start; `torch.amp.GradScaler` begins with the same."""

GROW_AFTER = 2_000
"""Steps without an overflow after which the scale doubles."""


class Verdict(NamedTuple):
    """What became of a step; scalars on the device.

    Attributes:
        skipped: 1.0 where the weights were left as they are.
        counted: 1.0 where that is a fault of the run, not of float16's scale.
        norm: The Euclidean norm of the whole gradient.
    """

    skipped: Tensor
    counted: Tensor
    norm: Tensor


class StepGuard(nn.Module):
    """Lets only finite steps change the state.

    Args:
        network: The network in its final place and format; its batch norms' statistics are laid
            side by side here.
        half: Whether float16 is computed in.
    """

    scale: Tensor
    since_overflow: Tensor

    def __init__(self, network: nn.Module, *, half: bool) -> None:
        super().__init__()
        self._scales = half
        self._statistics = join_statistics(network)
        self._before = self._statistics.clone()
        device = self._statistics.device
        start = FIRST_SCALE if half else 1.0
        self.register_buffer("scale", torch.tensor(start, device=device))
        self.register_buffer("since_overflow", torch.tensor(0.0, device=device))

    @torch.no_grad()
    def begin(self) -> None:
        """Remembers the statistics as they are before a step."""
        self._before.copy_(self._statistics)

    @torch.no_grad()
    def roll_back(self) -> None:
        """Takes back what a step has changed before its update."""
        self._statistics.copy_(self._before)

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to take the gradient of."""
        return loss * self.scale if self._scales else loss

    @torch.no_grad()
    def update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> Verdict:
        """Lets the optimiser step if loss and gradient are finite.

        Args:
            optimizer: A fused one; the gradients of its parameters are there.
            loss: Scalar, unscaled; the same on every rank.

        Returns:
            What became of the step.
        """
        norm = _norm(optimizer) / self.scale
        finite = loss.isfinite() & norm.isfinite()
        skipped = (~finite).float()
        optimizer.grad_scale = self.scale if self._scales else None  # type: ignore[attr-defined]
        optimizer.found_inf = skipped  # type: ignore[attr-defined]
        optimizer.step()
        torch.where(finite, self._statistics, self._before, out=self._statistics)
        self._before.copy_(self._statistics)  # whoever rolls back from now on keeps this step
        counted = skipped
        if self._scales:
            counted = (~finite & (~loss.isfinite() | (self.scale <= 1))).float()
            self._move_scale(finite)
        return Verdict(skipped, counted, norm)

    def _move_scale(self, finite: Tensor) -> None:
        grown = torch.where(finite, self.since_overflow + 1, 0.0)
        full = grown >= GROW_AFTER
        factor = torch.where(finite, torch.where(full, 2.0, 1.0), 0.5)
        self.scale.mul_(factor).clamp_(min=1.0)
        self.since_overflow.copy_(torch.where(full, 0.0, grown))


def _norm(optimizer: torch.optim.Optimizer) -> Tensor:
    return torch.nn.utils.get_total_norm(list(_gradients(optimizer)))


def _gradients(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter.grad
