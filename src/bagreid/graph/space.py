"""The few identities that a batch is about, as columns of a small dense table.

A batch of N images with K candidates each is about U ≤ N·K identities of C. Everything that lets
images talk to each other (messages, shares of a bag) works on ``(N, U)``.

Shape letters: N images, K candidates, U identities of the batch, G groups, R identities of a bag.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bagreid.world import send


@dataclass(frozen=True, slots=True, eq=False)
class LabelSpace:
    """Where the candidates of a batch stand in its dense table.

    Attributes:
        column: ``(N, K)`` int64, column of each candidate; padding points at column U.
        padding: ``(N, K)`` bool.
        group_of: ``(N, G)`` float32 one-hot, the group of each image.
        required: ``(G, U)`` bool, the identities of each group's bag label.
    """

    column: Tensor
    padding: Tensor
    group_of: Tensor
    required: Tensor

    def to(self, device: torch.device) -> LabelSpace:
        """The same on another device, copied without waiting."""
        return LabelSpace(
            *(
                send(part, device)
                for part in (self.column, self.padding, self.group_of, self.required)
            )
        )

    def spread(self, values: Tensor, fill: float) -> Tensor:
        """``(N, K)`` values of the candidates → ``(N, U)``, ``fill`` for every other identity."""
        n, u = len(values), self.required.shape[1]
        wide = values.new_full((n, u + 1), fill)
        wide.scatter_(1, self.column, values.masked_fill(self.padding, fill))
        return wide[:, :u]

    def collect(self, wide: Tensor, fill: float) -> Tensor:
        """``(N, U)`` → the ``(N, K)`` values of each image's candidates, ``fill`` in padding."""
        extended = torch.cat([wide, wide.new_full((len(wide), 1), fill)], dim=1)
        return extended.gather(1, self.column)


def label_space(candidates: Tensor, groups: Tensor, bag_labels: Tensor) -> LabelSpace:
    """Builds the label space of a batch (on the CPU, beside the loader).

    Args:
        candidates: ``(N, K)`` int64, padded with −1.
        groups: ``(N,)`` int64, any numbers; images of equal number were drawn from one bag.
        bag_labels: ``(N, R)`` int64, the label of each image's drawn bag, padded with −1.

    Returns:
        The space. A required identity that no image of the batch has as candidate is left out.
    """
    padding = candidates < 0
    identities = torch.unique(candidates[~padding])
    u = len(identities)
    column = torch.searchsorted(identities, candidates.clamp(min=0)).masked_fill(padding, u)
    distinct, group = torch.unique(groups, return_inverse=True)
    group_of = torch.nn.functional.one_hot(group, len(distinct)).float()
    place = torch.searchsorted(identities, bag_labels.clamp(min=0)).clamp(max=max(u - 1, 0))
    known = (bag_labels >= 0) & (identities[place] == bag_labels)
    required = torch.zeros(len(distinct), u + 1, dtype=torch.bool)
    required[group[:, None].expand_as(place), torch.where(known, place, u)] = True
    return LabelSpace(column, padding, group_of, required[:, :u])
