"""What is drawn at random for each training image, and what it comes to; no pixels here.

The draws of a sample follow from (seed, epoch, key) alone; no global generator is read or advanced.

Shape letters: N images, V numbers of a view.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log, sqrt
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from bagreid.contracts import IntArray
from bagreid.data.colour import ColourMap
from bagreid.data.config import AugmentConfig
from bagreid.plan.randomness import BLOCK, Purpose, generator

_Number = TypeVar("_Number")

_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
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


class View(NamedTuple, Generic[_Number]):
    """What is done to one image; or, column by column, to the images of a batch.

    Attributes:
        top: First row of the crop in the padded canvas.
        left: First column of the crop in the padded canvas.
        flip: 1: mirrored left and right; 0: not.
        red: Factor of the red channel.
        green: Factor of the green channel.
        blue: Factor of the blue channel.
        pixel: Brightness, contrast and saturation, composed in drawn order to a `ColourMap`.
        grey: Likewise.
        mean: Likewise.
        turn: Turn of the hue, 1 all the way round.
        erase_top: First row that is erased; where nothing is, all four are 0.
        erase_left: First column that is erased.
        erase_bottom: One past the last row.
        erase_right: One past the last column.
    """

    top: _Number
    left: _Number
    flip: _Number
    red: _Number
    green: _Number
    blue: _Number
    pixel: _Number
    grey: _Number
    mean: _Number
    turn: _Number
    erase_top: _Number
    erase_left: _Number
    erase_bottom: _Number
    erase_right: _Number


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


def draw_views(config: AugmentConfig, seed: int, epoch: int, keys: IntArray) -> Tensor:
    """Draws the views of samples.

    Args:
        config: What is done to images, and how strongly.
        seed: The run's seed.
        epoch: The epoch.
        keys: ``(N,)`` numbers of the samples within the epoch.

    Returns:
        ``(N, V)`` float64, a `View` a row.
    """
    views = [view_of(config, draws) for draws in draw(seed, epoch, keys)]
    return torch.tensor(views, dtype=torch.float64).view(len(views), len(View._fields))


def view_of(config: AugmentConfig, draws: Draws) -> View[float]:
    """What a sample's random numbers come to."""
    height, width = config.canvas
    rows, columns = height + 2 * config.pad, width + 2 * config.pad
    gains = (exp((2 * number - 1) * config.cast) for number in (draws.red, draws.green, draws.blue))
    box = erased_box(config, draws) if draws.erase < config.erase else None
    top, left, tall, wide = box or (0, 0, 0, 0)
    crop = (
        int(draws.top * (rows - config.height + 1)),
        int(draws.left * (columns - config.width + 1)),
        float(draws.flip < config.flip),
    )
    turn = (2 * draws.hue - 1) * config.jitter[3]
    erased = (top, left, top + tall, left + wide)
    return View._make((*crop, *gains, *_colour(config, draws), turn, *erased))


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


def _colour(config: AugmentConfig, draws: Draws) -> ColourMap:
    """Composes brightness, contrast and saturation in random order."""
    uniform = (draws.brightness, draws.contrast, draws.saturation)
    brightness, contrast, saturation = (
        # Factors within 1 ± strength, but never below 0
        (low := max(0.0, 1 - strength)) + (1 + strength - low) * number
        for strength, number in zip(config.jitter[:3], uniform, strict=True)
    )
    colour = ColourMap()
    for step in _ORDERS[int(draws.order * len(_ORDERS))]:
        if step == 0:
            colour = colour.brightness(brightness)
        elif step == 1:
            colour = colour.contrast(contrast)
        else:
            colour = colour.saturation(saturation)
    return colour
