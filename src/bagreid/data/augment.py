"""Pixels to what the network sees: resize, crop, flip, colour, erasing, normalisation.

A worker resizes; all the rest is done where the network computes, for a whole batch at once. What
an image comes to does not depend on what else is in its batch, bit for bit, for all of it is made
of operations on single elements: see `bagreid.data.colour`.

Shape letters: N images, H height, W width, V numbers of a view.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from bagreid.data.colour import apply_colour, turn_hue
from bagreid.data.config import AugmentConfig
from bagreid.data.draws import View

_KERNELS: dict[str, Any] = {
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.out,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.out,
}
"""What `torch.nn.functional.interpolate` calls, here with a place for the result: that saves making
and copying it, a tenth of the time."""
_BYTES_AS_BYTES = "AVX" in torch.backends.cpu.get_cpu_capability()
CACHED = 2**17
"""Pixels that a CPU works on at once, so that every step finds them in its cache."""


def train_views(
    images: Tensor,
    views: Tensor,
    config: AugmentConfig,
    *,
    memory_format: torch.memory_format = torch.contiguous_format,
    out: Tensor | None = None,
) -> Tensor:
    """Augments a batch on the device it lies on, without waiting for that device.

    Args:
        images: ``(N, 3, H, W)`` uint8 of the canvas's size, fastest with their channels last in
            memory.
        views: ``(N, V)`` float64 on the same device, from `bagreid.data.draws.draw_views`.
        config: What is done.
        memory_format: Of the result: the one that the network is fastest with.
        out: An earlier result that nobody needs any more, to be written over where its shape and
            format are right: on a CPU, fresh memory costs as much time as the work.

    Returns:
        ``(N, 3, height, width)`` float32, normalised.
    """
    shape = torch.Size((len(images), 3, config.height, config.width))
    if out is None or out.shape != shape or not out.is_contiguous(memory_format=memory_format):
        out = torch.empty(shape, device=images.device, memory_format=memory_format)
    if not len(images):
        return out
    canvas = images.permute(0, 2, 3, 1).contiguous()
    if config.pad:
        canvas = pad(canvas, (0, 0, *4 * [config.pad]))
    # A row of a crop is a run of bytes.
    runs = canvas.flatten().unfold(0, 3 * config.width, 1)
    plan = _planned(View._make(views.unbind(1)), canvas.shape, config)
    at_once = len(images)
    if images.device.type == "cpu":
        at_once = max(1, CACHED // (config.height * config.width))
    for first in range(0, len(images), at_once):
        part = slice(first, first + at_once)
        _write_views(runs, _Planned._make(each[part] for each in plan), config, out[part])
    return out


def test_view(image: Tensor, config: AugmentConfig) -> Tensor:
    """Prepares one image for testing: resized and normalised.

    Args:
        image: ``(3, H, W)`` uint8, of any size.
        config: Sizes, interpolation, mean and standard deviation.

    Returns:
        ``(3, height, width)`` float32, normalised.
    """
    size = config.test_size or (config.height, config.width)
    return normalise(resize(image, size, config)[None].float(), config)[0]


def normalise(images: Tensor, config: AugmentConfig) -> Tensor:
    """Normalises a batch in place, where it is; ``(N, 3, H, W)`` float32, 0…255 → mean 0, std 1."""
    mean, scale = _mean_and_scale(config.mean, config.std, images.device)
    return images.sub_(mean).mul_(scale)


def resize(image: Tensor, size: tuple[int, int], config: AugmentConfig) -> Tensor:
    """Resizes an image; ``(3, H, W)`` uint8 → ``(3, height, width)`` uint8."""
    mode = InterpolationMode(config.interpolation)
    resized: Tensor = functional.resize(image, list(size), interpolation=mode, antialias=True)
    return resized


def resize_into(image: Tensor, place: Tensor, config: AugmentConfig) -> None:
    """Resizes an image into its place in a batch; the same bytes as `resize` gives.

    Args:
        image: ``(3, H, W)`` uint8.
        place: ``(3, height, width)`` uint8, written to; fastest with its channels last in memory.
        config: The interpolation.
    """
    size = place.shape[1:]
    same = image.shape[1:] == size
    # torchvision resizes bytes as bytes where the processor has AVX2, and with this very kernel.
    if same or not (_BYTES_AS_BYTES and _is_interleaved(image) and _is_interleaved(place)):
        place.copy_(resize(image, (size[0], size[1]), config))
    else:
        _KERNELS[config.interpolation](image[None], size, False, None, None, out=place[None])


def _is_interleaved(image: Tensor) -> bool:
    """Whether red, green and blue of a pixel are neighbours in memory, as a decoder leaves them."""
    _, height, width = image.shape
    return min(height, width) > 1 and image.stride() == (1, 3 * width, 3)


class _Planned(NamedTuple):
    """What is done to the images of a batch, made ready for all of them at once.

    Attributes:
        run: ``(N, height)`` int64, where the rows of the crops begin.
        mirror: ``(N, 1, 1, 1)`` uint8, 255 for images to be mirrored, else 0.
        gains: ``(N, 3, 1, 1)`` float32, of red, green and blue.
        colour: ``(N, 3)`` float64, a `bagreid.data.colour.ColourMap` a row.
        turn: ``(N,)`` float32, of the hue.
        tall: ``(N, 1, height, 1)`` float32, 1 for rows that are erased, else 0.
        wide: ``(N, 1, 1, width)`` float32, the same of columns.
    """

    run: Tensor
    mirror: Tensor
    gains: Tensor
    colour: Tensor
    turn: Tensor
    tall: Tensor
    wide: Tensor


def _planned(view: View[Tensor], canvas: torch.Size, config: AugmentConfig) -> _Planned:
    """Makes the views of a batch ready; ``canvas`` is ``(N, H, W, 3)``."""
    count, rows, columns, _ = canvas
    number = torch.arange(count, device=view.top.device)[:, None]
    row = torch.arange(config.height, device=view.top.device)
    column = torch.arange(config.width, device=view.top.device)
    top, left = view.top.long()[:, None], view.left.long()[:, None]
    tall = (row >= view.erase_top[:, None]) & (row < view.erase_bottom[:, None])
    wide = (column >= view.erase_left[:, None]) & (column < view.erase_right[:, None])
    return _Planned(
        run=3 * ((number * rows + top + row) * columns + left),
        mirror=view.flip.to(torch.uint8).mul_(255)[:, None, None, None],
        gains=torch.stack((view.red, view.green, view.blue), 1).float()[:, :, None, None],
        colour=torch.stack((view.pixel, view.grey, view.mean), 1),
        turn=view.turn.float(),
        tall=tall.float()[:, None, :, None],
        wide=wide.float()[:, None, None, :],
    )


def _write_views(runs: Tensor, plan: _Planned, config: AugmentConfig, out: Tensor) -> None:
    """Augments some images, as many as are best done at once, into their places."""
    shown = _mirrored(_cropped(runs, plan, config), plan.mirror).float()
    if config.cast:
        shown.mul_(plan.gains).clamp_(0, 255)
    if any(config.jitter[:3]):
        apply_colour(shown, plan.colour, whole=not config.cast)
    if config.jitter[3]:
        shown = turn_hue(shown, plan.turn)
    mean, scale = _mean_and_scale(config.mean, config.std, shown.device)
    shown.sub_(mean)
    if config.erase:
        # The mean colour, which is exactly 0 after normalisation.
        shown.mul_(1 - plan.tall * plan.wide)
    torch.mul(shown, scale, out=out)


def _cropped(runs: Tensor, plan: _Planned, config: AugmentConfig) -> Tensor:
    """The drawn windows, planes in memory; ``(N, 3, H, W)`` uint8."""
    shape = len(plan.run), config.height, config.width, 3
    windows = runs.index_select(0, plan.run.flatten()).view(shape)
    return windows.permute(0, 3, 1, 2).contiguous()


def _mirrored(windows: Tensor, mirror: Tensor) -> Tensor:
    """Mirrors those to be mirrored; ``(N, 3, H, W)`` uint8."""
    # Chosen bit by bit: an order of magnitude faster than torch.where on a CPU.
    return windows.flip(-1).bitwise_xor_(windows).bitwise_and_(mirror).bitwise_xor_(windows)


@lru_cache
def _mean_and_scale(
    mean: tuple[float, float, float], std: tuple[float, float, float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """What to subtract and to multiply by, on the scale of bytes; ``(3, 1, 1)``, only to be read.

    Made once a device, for copying them there would wait for it.
    """
    with torch.inference_mode(False):
        return _planes(mean).to(device), (1 / _planes(std)).to(device)


def _planes(colour: tuple[float, float, float]) -> Tensor:
    return 255 * torch.tensor(colour).view(3, 1, 1)
