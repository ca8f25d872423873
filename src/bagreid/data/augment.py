"""Pixels to what the network sees: resize, crop, flip, colour, erasing, normalisation.

A worker resizes; all the rest is done where the network computes, for a whole batch at once. What
an image comes to does not depend on what else is in its batch, bit for bit, for all of it is made
of operations on single elements: see `bagreid.data.colour`.

Shape letters: N images, H height, W width, V numbers of a view.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

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
    at_once = max(1, len(images))
    if images.device.type == "cpu":
        at_once = max(1, CACHED // (config.height * config.width))
    for first in range(0, len(images), at_once):
        part = slice(first, first + at_once)
        _write_views(images[part], View._make(views[part].unbind(1)), config, out[part])
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


def _write_views(images: Tensor, view: View[Tensor], config: AugmentConfig, made: Tensor) -> None:
    """Augments some images, as many as are best done at once, into their places."""
    shown = _mirrored(_cropped(images, view, config), view).float()
    if config.cast:
        gains = torch.stack((view.red, view.green, view.blue), 1)
        shown.mul_(gains.float()[:, :, None, None]).clamp_(0, 255)
    if any(config.jitter[:3]):
        apply_colour(shown, torch.stack((view.pixel, view.grey, view.mean), 1))
    if config.jitter[3]:
        shown = turn_hue(shown, view.turn.float())
    mean, scale = _mean_and_scale(config.mean, config.std, images.device)
    shown.sub_(mean)
    if config.erase:
        shown.mul_(_kept(view, config))
    torch.mul(shown, scale, out=made)


def _cropped(images: Tensor, view: View[Tensor], config: AugmentConfig) -> Tensor:
    """The drawn windows of the padded images, planes in memory; ``(N, 3, H, W)`` uint8."""
    canvas = images.permute(0, 2, 3, 1).contiguous()
    if config.pad:
        canvas = pad(canvas, (0, 0, *4 * [config.pad]))
    count, rows, columns, _ = canvas.shape
    # A row of a window is a run of bytes; all the rows of all the windows are picked at once.
    number = torch.arange(count, device=images.device)[:, None] * rows
    row = view.top.long()[:, None] + torch.arange(config.height, device=images.device)
    start = 3 * ((number + row) * columns + view.left.long()[:, None])
    runs = canvas.flatten().unfold(0, 3 * config.width, 1).index_select(0, start.flatten())
    windows = runs.view(count, config.height, config.width, 3).permute(0, 3, 1, 2)
    return windows.contiguous()


def _mirrored(windows: Tensor, view: View[Tensor]) -> Tensor:
    """Mirrors those to be flipped; ``(N, 3, H, W)`` uint8."""
    chosen = view.flip.to(torch.uint8).mul_(255)[:, None, None, None]
    # Picked by bits: an order of magnitude faster than torch.where on a CPU.
    return windows.flip(-1).bitwise_xor_(windows).bitwise_and_(chosen).bitwise_xor_(windows)


def _kept(view: View[Tensor], config: AugmentConfig) -> Tensor:
    """0 in the erased rectangles, 1 elsewhere; ``(N, 1, height, width)`` float32."""
    row = torch.arange(config.height, device=view.top.device)
    column = torch.arange(config.width, device=view.top.device)
    tall = (row >= view.erase_top[:, None]) & (row < view.erase_bottom[:, None])
    wide = (column >= view.erase_left[:, None]) & (column < view.erase_right[:, None])
    return 1 - tall.float()[:, None, :, None] * wide.float()[:, None, None, :]


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
