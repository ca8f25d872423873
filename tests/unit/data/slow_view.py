"""One image's training view in plain steps and float64: the twin of whole batches."""

from __future__ import annotations

from math import exp

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from bagreid.data import AugmentConfig
from bagreid.data.draws import Draws, draw, erased_box

ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def slow_view(image: Tensor, config: AugmentConfig, seed: int, epoch: int, key: int) -> Tensor:
    """``(3, H, W)`` uint8 of any size → ``(3, height, width)`` float64."""
    (drawn,) = draw(seed, epoch, np.array([key]))
    mode = InterpolationMode(config.interpolation)
    image = functional.resize(image, list(config.canvas), interpolation=mode, antialias=True)
    view = cropped(functional.pad(image, [config.pad] * 4), config, drawn).double()
    for channel, number in enumerate((drawn.red, drawn.green, drawn.blue)):
        view[channel] *= exp((2 * number - 1) * config.cast)
    view = jittered(view.clamp(0, 255), config, drawn).clamp(0, 255)
    if config.jitter[3]:
        turn = (2 * drawn.hue - 1) * config.jitter[3]
        view = functional.adjust_hue((view / 255).float(), turn).double() * 255
    view = functional.normalize(view / 255, list(config.mean), list(config.std))
    if drawn.erase < config.erase and (box := erased_box(config, drawn)):
        view = functional.erase(view, *box, torch.zeros(3, 1, 1, dtype=view.dtype))
    return view


def cropped(image: Tensor, config: AugmentConfig, drawn: Draws) -> Tensor:
    top = int(drawn.top * (image.shape[1] - config.height + 1))
    left = int(drawn.left * (image.shape[2] - config.width + 1))
    window = image[:, top : top + config.height, left : left + config.width]
    mirrored: Tensor = functional.horizontal_flip(window)
    return mirrored if drawn.flip < config.flip else window


def grey(view: Tensor) -> Tensor:
    return 0.2989 * view[0] + 0.587 * view[1] + 0.114 * view[2]


def jittered(view: Tensor, config: AugmentConfig, drawn: Draws) -> Tensor:
    numbers = (drawn.brightness, drawn.contrast, drawn.saturation)
    for step in ORDERS[int(drawn.order * 6)]:
        least = max(0.0, 1 - config.jitter[step])
        factor = least + (1 + config.jitter[step] - least) * numbers[step]
        other = (torch.zeros(()), grey(view).mean(), grey(view))[step]
        view = factor * view + (1 - factor) * other
    return view
