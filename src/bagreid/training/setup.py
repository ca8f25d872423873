"""What decides the result of a run, in one value; and the parts of a run that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError, QuarantineChoice
from bagreid.data import AugmentConfig
from bagreid.models import ModelConfig
from bagreid.plan import BatchPlan, PlanConfig, make_bag_plan, make_identity_plan
from bagreid.training.config import LossConfig, OptimizerConfig, ScheduleConfig, TrainConfig
from bagreid.training.supervision import SupervisionConfig
from bagreid.world import World


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


def make_plan(catalog: Catalog, config: PlanConfig, seed: int) -> BatchPlan:
    """The plan of an archive: by bags, or by the identities of its truth."""
    if config.kind == "identities":
        return make_identity_plan(catalog.truth(), config, seed)
    bags = (catalog.bags.folder_offset, catalog.bags.folder)
    return make_bag_plan(catalog.folder_start, catalog.folder_stop, bags, config, seed)


def check_setup(setup: TrainingSetup, world: World) -> None:
    """Refuses what cannot be trained.

    Raises:
        BagreidError: The batch cannot be shared, or its plan gives the truth away.
    """
    groups, parts = setup.plan.groups, setup.train.accumulate
    if groups // parts < world.size:
        raise BagreidError(
            f"{groups} groups a batch, computed in {parts} parts, cannot be shared by "
            f"{world.size} processes: each needs a group of every part",
            remedy=f"Use at most {max(1, groups // parts)} processes, lower train.accumulate, or "
            f"raise plan.groups to {world.size * parts}",
        )
    if setup.plan.kind == "identities" and setup.supervision.source == "bag":
        raise BagreidError(
            "batches of identities are drawn by the truth, which training from bags never sees",
            remedy="Set plan.kind to windows or bag_file, or supervision.source to truth",
        )


def idle_share(setup: TrainingSetup, world: World) -> float:
    """The share of the processes' time that goes by waiting, as groups are not cut."""
    groups, parts = setup.plan.groups, setup.train.accumulate
    longest = sum(
        -(-(groups // parts + (part < groups % parts)) // world.size) for part in range(parts)
    )
    return 1 - groups / (longest * world.size)


def precision_of(name: str, device: torch.device) -> torch.dtype:
    """The type that the network is computed in; ``auto`` is bfloat16 where there is hardware."""
    if name == "fp16":
        return torch.float16
    if name == "fp32":
        return torch.float32
    if name == "bf16" or device.type == "cuda":
        return torch.bfloat16
    # newer than the oldest PyTorch supported; without it float32 is right, if slower
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    has_bf16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if has_bf16 else torch.float32


def memory_format_of(precision: torch.dtype, device: torch.device) -> torch.memory_format:
    """Channels last is faster on GPUs and in 16 bits; in float32 a CPU prefers planes."""
    if device.type == "cuda" or precision is not torch.float32:
        return torch.channels_last
    return torch.contiguous_format
