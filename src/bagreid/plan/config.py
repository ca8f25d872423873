"""The configuration of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PlanKind = Literal["windows", "bag_file", "identities"]


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Which images form which batch."""

    kind: PlanKind = "windows"
    """How a group's images are drawn: from windows of neighbouring folders in equal shares (the
    released sampler), from the bags of the bag file, or from one identity (strong labels)."""

    groups: int = 12
    """Groups in a global batch, over all ranks together."""

    images_per_group: int = 15
    """Images of one group; all come from the same bag (or identity)."""

    window_sizes: tuple[int, ...] = (1, 3, 5)
    """Folders in a window, for kind `windows`; each size gets an equal share of the groups."""

    def __post_init__(self) -> None:
        if self.groups < 1 or self.images_per_group < 1:
            raise ValueError(
                "a batch needs at least one group of one image, not "
                f"{self.groups} groups of {self.images_per_group}"
            )
        sizes = self.window_sizes
        if not sizes or min(sizes) < 1 or sorted(set(sizes)) != list(sizes):
            raise ValueError(f"window sizes must be positive and ascending, not {sizes}")
