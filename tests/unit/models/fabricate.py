"""State dicts with the names and shapes of released checkpoints, in small files.

All tensors are windows into one short row of random numbers, which torch saves only once.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

Shapes = Iterator[tuple[str, tuple[int, ...]]]

_LENGTH = 2_600_000
_BLOCKS = (3, 4, 6, 3)


def norm(name: str, channels: int) -> Shapes:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def bottleneck(name: str, before: int, width: int, *, downsample: bool) -> Shapes:
    shapes = {1: (width, before, 1, 1), 2: (width, width, 3, 3), 3: (4 * width, width, 1, 1)}
    for index, shape in shapes.items():
        yield f"{name}.conv{index}.weight", shape
        yield from norm(f"{name}.bn{index}", shape[0])
    if downsample:
        yield f"{name}.downsample.0.weight", (4 * width, before, 1, 1)
        yield from norm(f"{name}.downsample.1", 4 * width)


def stage(number: int, first: int = 0) -> Iterator[tuple[int, Shapes]]:
    """Blocks of ResNet-50's stage 1 to 4, from block ``first`` on; they are named by a format."""
    width = 32 * 2**number
    for block in range(first, _BLOCKS[number - 1]):
        before = 4 * width if block else max(64, 2 * width) if number > 1 else 64
        yield block, bottleneck("{}", before, width, downsample=block == 0)


def named(prefix: str, shapes: Shapes) -> Shapes:
    for name, shape in shapes:
        yield name.replace("{}", prefix), shape


def resnet50() -> Shapes:
    """torchvision's ResNet-50, its 1,000-class ``fc`` included."""
    yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    for number in (1, 2, 3, 4):
        for block, shapes in stage(number):
            yield from named(f"layer{number}.{block}", shapes)
    yield from (("fc.weight", (1000, 2048)), ("fc.bias", (1000,)))


def mgn(classes: int) -> Shapes:
    """The released Multiple Granularity Network, as its authors' modules are called."""
    yield "backone1.0.weight", (64, 3, 7, 7)
    yield from norm("backone1.1", 64)
    for block, shapes in stage(1):
        yield from named(f"backone1.4.{block}", shapes)
    for block, shapes in stage(2):
        yield from named(f"backone2.0.{block}", shapes)
    yield from named("backone2.1", next(stage(3))[1])
    for branch in ("p1", "p2", "p3"):
        for block, shapes in stage(3, first=1):
            yield from named(f"{branch}.0.{block - 1}", shapes)
        for block, shapes in stage(4):
            yield from named(f"{branch}.1.{block}", shapes)
    for index in range(8):
        yield f"reduction_{index}.0.weight", (256, 2048, 1, 1)
        yield from norm(f"reduction_{index}.1", 256)
    for head in (
        "2048_0",
        "2048_1",
        "2048_2",
        "256_1_0",
        "256_1_1",
        "256_2_0",
        "256_2_1",
        "256_2_2",
    ):
        yield f"fc_id_{head}.weight", (classes, 256)
        yield f"fc_id_{head}.bias", (classes,)


def fill(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors of the scale that keeps a deep network's activations in bounds."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(_LENGTH, generator=generator) * 0.03
    positive = torch.rand(8192, generator=generator) + 0.5
    counter = torch.tensor(7)
    filled = {}
    for index, (name, shape) in enumerate(shapes):
        size = int(torch.Size(shape).numel())
        if name.endswith("num_batches_tracked"):
            filled[name] = counter
            continue
        scale = name.endswith("running_var") or (len(shape) == 1 and name.endswith(".weight"))
        source = positive if scale else normal
        start = (index * 37) % (len(source) - size)
        filled[name] = source[start : start + size].view(shape)
    return filled


def released_resnet50(classes: int) -> dict[str, Tensor]:
    """What ``net_6.pth`` holds, with fewer classes."""
    head = (
        ("classifier.classifier.0.weight", (classes, 2048)),
        ("classifier.classifier.0.bias", (classes,)),
    )
    body = ((f"model.{name}", shape) for name, shape in resnet50())
    return fill(
        iter([*((f"module.{n}", s) for n, s in body), *((f"module.{n}", s) for n, s in head)])
    )
