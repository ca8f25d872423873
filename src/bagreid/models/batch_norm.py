"""Batch statistics over all ranks, so that many processes compute what one would.

PyTorch's ``SyncBatchNorm`` refuses CPU tensors; this module gives gloo processes the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn

from bagreid.world import World


class _SumOverRanks(torch.autograd.Function):
    """Sum of every rank's tensor; the gradient is the sum of every rank's gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class CrossRankBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose training statistics are those of all ranks' images together."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` → the same shape, normalised by the global batch in training."""
        if not self.training:
            return super().forward(x)
        return _normalise(self, x, (0, 2, 3), (1, -1, 1, 1))


class CrossRankBatchNorm1d(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` on ``(N, D)``, with the statistics of all ranks' rows together."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, D)`` → ``(N, D)``, normalised by the global batch in training."""
        if not self.training:
            return super().forward(x)
        return _normalise(self, x, (0,), (1, -1))


def _normalise(
    norm: nn.modules.batchnorm._BatchNorm, x: Tensor, dims: tuple[int, ...], shape: tuple[int, ...]
) -> Tensor:
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    here = wide.numel() // wide.shape[1]
    count, total = _SumOverRanks.apply(torch.cat([wide.new_tensor([here]), wide.sum(dims)])).split(
        [1, wide.shape[1]]
    )
    mean = total / count
    centred = wide - mean.view(shape)
    var = _SumOverRanks.apply(centred.square().sum(dims)) / count
    if norm.track_running_stats:
        _track(norm, mean.detach(), (var * count / (count - 1)).detach())
    scale = (var + norm.eps).rsqrt()
    out: Tensor = centred * scale.view(shape)
    if norm.affine:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out.to(x.dtype)


@torch.no_grad()
def _track(norm: nn.modules.batchnorm._BatchNorm, mean: Tensor, unbiased: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    rate = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), rate)
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), rate)


_TWINS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: CrossRankBatchNorm2d,
    nn.BatchNorm1d: CrossRankBatchNorm1d,
}


def synchronise_batch_norm(model: nn.Module, world: World) -> nn.Module:
    """Makes every batch norm of a model use the statistics of the global batch.

    Args:
        model: The network, changed in place; parameters and buffers stay the same objects.
        world: One process: nothing is changed. GPUs: PyTorch's own ``SyncBatchNorm``.

    Returns:
        The model.
    """
    if world.size == 1:
        return model
    if world.device.type == "cuda":
        synced: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return synced
    for module in model.modules():
        twin = _TWINS.get(type(module))
        if twin is not None:
            # the twins add no state, so an instance becomes its twin by taking over its class
            module.__class__ = twin
    return model


def join_statistics(model: nn.Module) -> Tensor:
    """Lays the running means and variances of all batch norms side by side.

    They stay the buffers they were, under their names, but as views of one tensor: all of them are
    remembered or put back by one operation.

    Args:
        model: The network, where it will stay: moving it to another device parts them again.

    Returns:
        ``(n,)`` float32, the memory that the buffers share; empty where there is no batch norm.
    """
    found = [
        (norm, name)
        for norm in model.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
        for name in ("running_mean", "running_var")
        if getattr(norm, name) is not None
    ]
    if not found:
        first = next(model.parameters(), None)
        return torch.empty(0, device=None if first is None else first.device)
    flat = torch.cat([getattr(norm, name) for norm, name in found])
    start = 0
    for norm, name in found:
        stop = start + len(getattr(norm, name))
        setattr(norm, name, flat[start:stop])
        start = stop
    return flat
