"""The mean over a map's places, in full precision, without a copy of the map.

The appearance features pool the largest map of the network (first stage: 106 MB in bfloat16 for a
batch of the released recipe). Pooling a float32 copy of it, and getting the gradient in the shape
of that copy, costs several hundredths of a training step on a CPU; the sum itself costs little.

Shape letters: N images, A channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ELEMENTS = 1 << 20
"""Elements of a map that are converted at a time: 4 MB, which a CPU's cache holds."""


def mean_over_places(maps: Tensor) -> Tensor:
    """``(N, A, H, W)`` → ``(N, A)``: in float32 for 16-bit maps, else in the maps' own type.

    Differentiable once. The gradient is rounded to the maps' type and spread without being written
    out.
    """
    pooled: Tensor = _MeanOverPlaces.apply(maps)
    return pooled


class _MeanOverPlaces(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = maps.shape, maps.dtype
        full = maps.dtype if maps.itemsize >= 4 else torch.float32
        if maps.device.type != "cpu" or full is maps.dtype:
            return maps.mean(dim=(2, 3), dtype=full)
        images = max(1, _ELEMENTS // maps[0].numel())
        parts = torch.split(maps, images)
        return torch.cat([part.to(full).mean(dim=(2, 3)) for part in parts])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        height, width = ctx.shape[2:]
        each = (gradients[0] / (height * width)).to(ctx.dtype)
        spread: Tensor = each[:, :, None, None].expand(ctx.shape)
        return spread
