"""Brightness, contrast and saturation as one linear map of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601, with torchvision's digits)."""

_LUMA_311 = torch.tensor(LUMA).view(3, 1, 1)
_GREY_OF_GREY = sum(LUMA)  # 0.9999: the grey of a grey pixel is a trifle darker


class ColourMap(NamedTuple):
    """The map x ↦ pixel·x + grey·g(x) + shift, with g(x) the grey of the pixel."""

    pixel: float = 1.0
    grey: float = 0.0
    shift: float = 0.0

    @property
    def _grey_of_result(self) -> float:
        return self.pixel + self.grey * _GREY_OF_GREY

    def brightness(self, factor: float) -> ColourMap:
        """Then multiplies every pixel by ``factor``."""
        return ColourMap(factor * self.pixel, factor * self.grey, factor * self.shift)

    def contrast(self, factor: float, mean_grey: float) -> ColourMap:
        """Then blends with the mean grey of the image, given that of the untouched one."""
        mean = self._grey_of_result * mean_grey + self.shift * _GREY_OF_GREY
        return self.brightness(factor)._replace(shift=factor * self.shift + (1 - factor) * mean)

    def saturation(self, factor: float) -> ColourMap:
        """Then blends every pixel with its own grey."""
        rest = 1 - factor
        return ColourMap(
            factor * self.pixel,
            factor * self.grey + rest * self._grey_of_result,
            factor * self.shift + rest * self.shift * _GREY_OF_GREY,
        )


def mean_grey(image_3HW: Tensor) -> float:
    """Mean grey of an image of whole numbers 0…255; ``(3, H, W)`` of any dtype.

    float64 sums whole numbers exactly, so the result does not depend on how threads split the sum.
    """
    sums: Sequence[float] = image_3HW.sum(dim=(1, 2), dtype=torch.float64).tolist()
    pixels = image_3HW.shape[1] * image_3HW.shape[2]
    return sum(weight * total for weight, total in zip(LUMA, sums, strict=True)) / pixels


def apply_colour(image_3HW: Tensor, colour: ColourMap) -> None:
    """Applies the map in place, and clips once at its end.

    torchvision's adjustments clip (and round, on bytes) after each step; clipping once, on floats,
    differs only where a pixel leaves 0…255 on the way.

    Args:
        image_3HW: ``(3, H, W)`` float32, 0…255.
        colour: The map.
    """
    # Products and sums of single elements only: these round alike whatever the threads, the
    # instruction set and the batch, which a matrix product does not promise.
    grey_HW = (image_3HW * _LUMA_311).sum(dim=0)
    grey_HW *= colour.grey
    grey_HW += colour.shift
    image_3HW *= colour.pixel
    image_3HW += grey_HW
    image_3HW.clamp_(0, 255)
