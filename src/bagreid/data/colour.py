"""Brightness, contrast and saturation as one linear map of an image, and turns of its hue.

All here is products, sums, extremes and roundings of single elements, which come out alike whatever
the batch, the memory layout, the threads and the instruction set: a matrix product, or a product
and a sum fused into one, would not promise that.

Shape letters: N images, H height, W width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601, with torchvision's digits)."""

_GREY_OF_GREY = sum(LUMA)  # 0.9999: the grey of a grey pixel is a trifle darker


class ColourMap(NamedTuple):
    """The map x ↦ pixel·x + grey·g(x) + mean·m, with g(x) the grey of a pixel, m that of all.

    m is the mean grey of the untouched image: so the map is known before the image is.
    """

    pixel: float = 1.0
    grey: float = 0.0
    mean: float = 0.0

    @property
    def _grey_of_result(self) -> float:
        return self.pixel + self.grey * _GREY_OF_GREY

    def brightness(self, factor: float) -> ColourMap:
        """Then multiplies every pixel by ``factor``."""
        return ColourMap(factor * self.pixel, factor * self.grey, factor * self.mean)

    def contrast(self, factor: float) -> ColourMap:
        """Then blends with the mean grey of the image as it is by now."""
        mean = self._grey_of_result + self.mean * _GREY_OF_GREY
        return self.brightness(factor)._replace(mean=factor * self.mean + (1 - factor) * mean)

    def saturation(self, factor: float) -> ColourMap:
        """Then blends every pixel with its own grey."""
        rest = 1 - factor
        return ColourMap(
            factor * self.pixel,
            factor * self.grey + rest * self._grey_of_result,
            factor * self.mean + rest * self.mean * _GREY_OF_GREY,
        )


def mean_grey(images: Tensor, *, whole: bool = False) -> Tensor:
    """Mean grey of each image.

    The sums are exact, so that the result does not depend on how they are split: float64 sums
    numbers of 24 bits exactly if they are of about one size, and float32 whole numbers below 2²⁴.

    Args:
        images: ``(N, 3, H, W)`` float32, 0…255.
        whole: Whether these are whole numbers, which are summed faster.

    Returns:
        ``(N,)`` float64.
    """
    height, width = images.shape[2:]
    in_rows = None if whole and 255 * width < 2**24 else torch.float64
    sums = images.sum(-1, dtype=in_rows).sum(-1, dtype=torch.float64)
    red, green, blue = (sums[:, channel] * weight for channel, weight in enumerate(LUMA))
    return (red + green + blue) * (1 / (height * width))


def apply_colour(images: Tensor, colour: Tensor, *, whole: bool = False) -> None:
    """Applies a map to each image in place, and clips once at its end.

    torchvision's adjustments clip (and round, on bytes) after each step; clipping once, on floats,
    differs only where a pixel leaves 0…255 on the way.

    Args:
        images: ``(N, 3, H, W)`` float32, 0…255.
        colour: ``(N, 3)`` float64, a `ColourMap` a row.
        whole: Whether the pixels are whole numbers.
    """
    shift = (colour[:, 2] * mean_grey(images, whole=whole)).float()
    pixel, grey = colour[:, 0].float(), colour[:, 1].float()
    grey_NHW = images[:, 0] * LUMA[0]
    for channel in (1, 2):
        grey_NHW += images[:, channel] * LUMA[channel]
    grey_NHW *= grey[:, None, None]
    grey_NHW += shift[:, None, None]
    images *= pixel[:, None, None, None]
    images += grey_NHW[:, None]
    images.clamp_(0, 255)


def turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turns the hue of each image, with saturation and value (of HSV) as they are.

    Args:
        images: ``(N, 3, H, W)`` float32, 0…255.
        turn: ``(N,)`` float32, in full turns.

    Returns:
        ``(N, 3, H, W)`` float32, 0…255.
    """
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    divisor = torch.where(chroma == 0, 1.0, chroma)
    # The hue in sixths of a turn, from -1 to 5, by the channel that is brightest.
    hue = torch.where(green == value, (blue - red) / divisor + 2, (red - green) / divisor + 4)
    hue = torch.where(red == value, (green - blue) / divisor, hue)
    turned = torch.empty_like(images)
    for channel, sixths in enumerate((5, 3, 1)):
        place = (hue + sixths) * (1 / 6) + turn[:, None, None]
        place = (place - place.floor()) * 6
        share = torch.minimum(place, 4 - place).clamp_(0, 1)
        turned[:, channel] = value - chroma * share
    return turned
