"""The last stride of a ResNet, taken out as re-identification likes it."""

from __future__ import annotations

from typing import Any

from torch import nn


def keep_resolution(stage: nn.Module) -> None:
    """Takes the stride out of a stage of a ResNet, whose first block halves the resolution.

    Only the stride goes ("Bag of Tricks", arXiv 1903.07071): the kernels stay as dense as they
    were trained, unlike timm's ``output_stride``, which spreads those of the later blocks.

    Args:
        stage: A stage of timm's ResNet, changed in place.
    """
    first = next(stage.children())
    for name, module in list(first.named_modules()):
        stride: Any = getattr(module, "stride", 1)
        if stride in (1, (1, 1)) or next(module.children(), None) is not None:
            continue  # a block knows its stride too, but does not apply it
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:  # the pooling that some variants halve by, before or beside a convolution
            parent, _, own = name.rpartition(".")
            first.get_submodule(parent).add_module(own, nn.Identity())
