"""The teacher: a moving average of the network, whose guesses waver less than the network's.

After "Mean teachers are better role models" (arXiv 1703.01780): the teacher's weights follow
θ' ← decay·θ' + (1−decay)·θ after every step; here the decay grows from 0 as (1+s)/(10+s) until it
reaches its set value, so that the first steps are soon forgotten. Running statistics of batch
norms are averaged alike.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Teacher(nn.Module):
    """A moving average of a network; never trained, always in evaluation mode.

    Args:
        model: The network to follow.
        decay: Decay of the average, a step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.network = copy.deepcopy(model).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Teacher:  # noqa: ARG002
        """A teacher stays in evaluation mode."""
        return self

    @torch.no_grad()
    def follow(self, model: nn.Module, step: int) -> None:
        """Moves towards the network after step number ``step`` (from 0)."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        own, theirs = _floating(self.network), _floating(model)
        torch._foreach_lerp_(own, theirs, rate)


def _floating(model: nn.Module) -> list[Tensor]:
    tensors = [*model.parameters(), *model.buffers()]
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
