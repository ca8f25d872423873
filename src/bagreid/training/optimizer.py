"""Optimiser and learning-rate path."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bagreid.training.config import OptimizerConfig, ScheduleConfig

_HEAD = ("neck.", "classifier.", "reduction_", "fc_id_")
"""How the names of the parameters behind a backbone begin, MGN's included."""


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """An optimiser with the backbone and the head as its two groups.

    Args:
        model: A network of `build_model`; its neck, reductions and classifiers are the head.
        config: The options.

    Returns:
        The optimiser; each group keeps its peak rate under ``peak``.
    """
    body: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (head if name.startswith(_HEAD) else body).append(parameter)
    head_rate = config.classifier_learning_rate or config.learning_rate
    groups = [
        {"params": body, "lr": config.learning_rate, "peak": config.learning_rate},
        {"params": head, "lr": head_rate, "peak": head_rate},
    ]
    if config.name != "sgd":
        kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
        return kind(groups, weight_decay=config.weight_decay, amsgrad=config.amsgrad, fused=True)
    optimizer = torch.optim.SGD(
        groups,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
        fused=True,
    )
    if config.momentum > 0:
        # zeros from the start: the buffer of a first step that is skipped would stay unwritten
        for parameter in (*body, *head):
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Takes up a saved state.

    The fused kernels go through weights and moments as through plain memory, and on a CPU do not
    look whether both lie alike: moments saved channels last (on a GPU, or in 16 bits) are laid as
    the weights are here.

    Raises:
        ValueError: It is of other parameters.
    """
    optimizer.load_state_dict(state)
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                kept[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def rate_factor(step: int, steps_per_epoch: int, epochs: int, config: ScheduleConfig) -> float:
    """The learning rate of a step as a share of its peak.

    Args:
        step: Number of the step, from 0, over all epochs.
        steps_per_epoch: Steps of one epoch.
        epochs: Epochs of the run.
        config: The schedule.

    Returns:
        A factor from 0 to 1.
    """
    total = steps_per_epoch * epochs
    warmup = round(config.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    if config.kind == "step":
        passed = sum(step >= milestone * steps_per_epoch for milestone in config.milestones)
        return float(config.gamma**passed)
    progress = (step - warmup) / max(total - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Sets every group's rate to its peak times ``factor``; returns the backbone's."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])
