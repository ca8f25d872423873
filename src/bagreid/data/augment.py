"""Pixels to what the network sees: resize, crop, flip, colour jitter, erasing, normalisation.

The random draws of a sample follow from (seed, epoch, key) alone; no global generator is read or
advanced. The work of one image writes into its place in the batch, and whole-batch work is done
once a batch.

Shape letters: N images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log, sqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from bagreid.contracts import IntArray
from bagreid.data.colour import ColourMap, apply_colour, mean_grey
from bagreid.data.config import AugmentConfig
from bagreid.plan.randomness import BLOCK, Purpose, generator

_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
_KERNELS: dict[str, Any] = {
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.out,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.out,
}
"""What `torch.nn.functional.interpolate` calls, here with a place for the result: that saves making
and copying it, a tenth of the time."""
_BYTES_AS_BYTES = "AVX" in torch.backends.cpu.get_cpu_capability()
_ERASE_TRIES = 10  # as torchvision; nearly all first tries fit


class Draws(NamedTuple):
    """One sample's random numbers, each uniform in 0…1 and at a fixed place.

    The places are fixed so that switching one augmentation off leaves the others as they were.
    """

    flip: float
    top: float
    left: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    order: float
    erase: float
    red: float
    green: float
    blue: float
    box: tuple[float, ...]
    """Area, aspect, top and left of each try to place the erased rectangle."""


_FIXED = len(Draws._fields) - 1
_USED = _FIXED + 4 * _ERASE_TRIES
_BLOCKS = -(-_USED // BLOCK)  # of the random stream, for each sample


def draw(seed: int, epoch: int, keys: IntArray) -> Iterator[Draws]:
    """Draws the random numbers of samples.

    Args:
        seed: The run's seed.
        epoch: The epoch.
        keys: ``(N,)`` numbers of the samples within the epoch.

    Yields:
        Each sample's numbers, which follow from the seed, the epoch and its own key alone.
    """
    # A batch's keys follow one another, and so do their numbers: one call draws them all.
    runs = np.split(keys, np.flatnonzero(np.diff(keys) != 1) + 1) if len(keys) else []
    for run in runs:
        random = generator(Purpose.VIEW, seed, epoch, skip=int(run[0]) * _BLOCKS)
        for numbers in random.random((len(run), BLOCK * _BLOCKS)).tolist():
            yield Draws._make((*numbers[:_FIXED], tuple(numbers[_FIXED:_USED])))


def train_view(image: Tensor, config: AugmentConfig, *, seed: int, epoch: int, key: int) -> Tensor:
    """Augments one image.

    Args:
        image: ``(3, H, W)`` uint8, of any size.
        config: What is done.
        seed: The run's seed.
        epoch: The epoch.
        key: The sample's number within the epoch.

    Returns:
        ``(3, height, width)`` float32, normalised.
    """
    view = torch.empty(1, 3, config.height, config.width)
    (draws,) = draw(seed, epoch, np.array([key]))
    write_train_view(image, view[0], config, draws)
    return normalise(view, config)[0]


def test_view(image: Tensor, config: AugmentConfig) -> Tensor:
    """Prepares one image for testing: resized and normalised.

    Args:
        image: ``(3, H, W)`` uint8, of any size.
        config: Sizes, interpolation, mean and standard deviation.

    Returns:
        ``(3, height, width)`` float32, normalised.
    """
    height, width = config.test_size or (config.height, config.width)
    view = torch.empty(1, 3, height, width)
    view[0] = resize(image, (height, width), config)
    return normalise(view, config)[0]


def write_train_view(image: Tensor, view: Tensor, config: AugmentConfig, draws: Draws) -> None:
    """Augments one image into its place in a batch, all but the normalisation.

    Args:
        image: ``(3, H, W)`` uint8, of any size.
        view: ``(3, height, width)`` float32, written to: 0…255.
        config: What is done.
        draws: The sample's random numbers.
    """
    _crop_and_flip(resize(image, config.canvas, config), view, config, draws)
    if config.cast:
        view.mul_(_gains(config, draws)).clamp_(0, 255)
    if any(config.jitter[:3]):
        apply_colour(view, _colour(view, config, draws))
    if config.jitter[3]:
        turn = (2 * draws.hue - 1) * config.jitter[3]
        view.copy_(functional.adjust_hue(view / 255, turn)).mul_(255)
    box = erased_box(config, draws) if draws.erase < config.erase else None
    if box:
        top, left, height, width = box
        # The mean colour now is exactly 0 after normalisation.
        view[:, top : top + height, left : left + width] = _planes(config.mean)


def normalise(views: Tensor, config: AugmentConfig) -> Tensor:
    """Normalises a batch in place, where it is; ``(N, 3, H, W)`` float32, 0…255 → mean 0, std 1."""
    mean, std = _planes(config.mean), _planes(config.std)
    return views.sub_(mean.to(views.device)).mul_((1 / std).to(views.device))


def resize(image: Tensor, size: tuple[int, int], config: AugmentConfig) -> Tensor:
    """Resizes an image; ``(3, H, W)`` uint8 → ``(3, height, width)`` uint8."""
    mode = InterpolationMode(config.interpolation)
    resized: Tensor = functional.resize(image, list(size), interpolation=mode, antialias=True)
    return resized


def resize_into(image: Tensor, view: Tensor, config: AugmentConfig) -> None:
    """Resizes an image into its place in a batch; the same bytes as `resize` gives.

    Args:
        image: ``(3, H, W)`` uint8.
        view: ``(3, height, width)`` uint8, written to; fastest with its channels last in memory.
        config: The interpolation.
    """
    size = view.shape[1:]
    same = image.shape[1:] == size
    # torchvision resizes bytes as bytes where the processor has AVX2, and with this very kernel.
    if same or not (_BYTES_AS_BYTES and _is_interleaved(image) and _is_interleaved(view)):
        view.copy_(resize(image, (size[0], size[1]), config))
    else:
        _KERNELS[config.interpolation](image[None], size, False, None, None, out=view[None])


def _is_interleaved(image: Tensor) -> bool:
    """Whether red, green and blue of a pixel are neighbours in memory, as a decoder leaves them."""
    _, height, width = image.shape
    return min(height, width) > 1 and image.stride() == (1, 3 * width, 3)


def erased_box(config: AugmentConfig, draws: Draws) -> tuple[int, int, int, int] | None:
    """Places the erased rectangle: area uniform, aspect log-uniform, as in torchvision.

    Args:
        config: Ranges of area and aspect, and the size of the image.
        draws: The sample's random numbers.

    Returns:
        Top, left, height and width of the first try that fits, if any does.
    """
    (small, large), (flat, tall) = config.erase_area, config.erase_aspect
    for at in range(0, 4 * _ERASE_TRIES, 4):
        area, aspect, top, left = draws.box[at : at + 4]
        pixels = config.height * config.width * (small + (large - small) * area)
        ratio = exp(log(flat) + (log(tall) - log(flat)) * aspect)
        height, width = round(sqrt(pixels * ratio)), round(sqrt(pixels / ratio))
        if 0 < height < config.height and 0 < width < config.width:
            rows, columns = config.height - height + 1, config.width - width + 1
            return int(top * rows), int(left * columns), height, width
    return None


def _crop_and_flip(image: Tensor, view: Tensor, config: AugmentConfig, draws: Draws) -> None:
    """Copies the drawn window of the padded image into the view, mirrored or not."""
    (height, width), pad = config.canvas, config.pad
    top = int(draws.top * (height + 2 * pad - config.height + 1)) - pad
    left = int(draws.left * (width + 2 * pad - config.width + 1)) - pad
    bottom, right = min(height, top + config.height), min(width, left + config.width)
    window = image[:, max(0, top) : bottom, max(0, left) : right]
    first, last = max(0, left) - left, right - left
    if draws.flip < config.flip:
        window = window.flip(-1)
        first, last = config.width - last, config.width - first
    if pad:
        view.zero_()
    view[:, max(0, top) - top : bottom - top, first:last] = window


def _colour(view: Tensor, config: AugmentConfig, draws: Draws) -> ColourMap:
    """Composes brightness, contrast and saturation in random order."""
    uniform = (draws.brightness, draws.contrast, draws.saturation)
    brightness, contrast, saturation = (
        # Factors within 1 ± strength, but never below 0
        (low := max(0.0, 1 - strength)) + (1 + strength - low) * number
        for strength, number in zip(config.jitter[:3], uniform, strict=True)
    )
    colour, mean = ColourMap(), mean_grey(view) if config.jitter[1] else 0.0
    for step in _ORDERS[int(draws.order * len(_ORDERS))]:
        if step == 0:
            colour = colour.brightness(brightness)
        elif step == 1:
            colour = colour.contrast(contrast, mean)
        else:
            colour = colour.saturation(saturation)
    return colour


def _gains(config: AugmentConfig, draws: Draws) -> Tensor:
    """The gain of each colour channel, log-uniform around 1; ``(3, 1, 1)``."""
    gains = [exp((2 * u - 1) * config.cast) for u in (draws.red, draws.green, draws.blue)]
    return torch.tensor(gains).view(3, 1, 1)


def _planes(colour: tuple[float, float, float]) -> Tensor:
    """A colour of 0…1 as ``(3, 1, 1)`` on the scale of bytes."""
    return 255 * torch.tensor(colour).view(3, 1, 1)
