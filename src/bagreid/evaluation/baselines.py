"""What needs no learning: a colour histogram, to be ranked by the same rules as a network.

Shape letters: N images, H height, W width, D features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError, IntArray
from bagreid.data.decode import BrokenImage, decode_jpeg
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.features import ImageFeatures, images_of

STRIPES = 6
"""Horizontal stripes from head to shoes."""

BINS = (16, 4, 4)
"""Steps of hue, saturation and value in one joint histogram a stripe."""


def histogram_features(
    catalog: Catalog, rows: IntArray | range, *, progress: Progress | None = None
) -> ImageFeatures:
    """Colour histograms of an archive's images.

    Args:
        catalog: The archive.
        rows: ``(N,)`` catalog rows.
        progress: Called with the images done and their number.

    Returns:
        ``(N, STRIPES · bins)`` features, L2-normalised; those of broken images are zero.

    Raises:
        BagreidError: When there are no rows.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if not len(rows):
        raise BagreidError("there are no images to extract features of", path=catalog.root)
    features = np.zeros((len(rows), STRIPES * int(np.prod(BINS))), np.float32)
    broken = []
    for place, row in enumerate(rows.tolist()):
        try:
            features[place] = striped_histogram(decode_jpeg(catalog.read(row)))
        except BrokenImage:
            broken.append(row)
        if progress is not None and (place + 1) % 64 == 0:
            progress(place + 1, len(rows))
    return images_of(catalog, rows, features, broken)


def striped_histogram(image_3HW: Tensor) -> npt.NDArray[np.float32]:
    """One image's colours, stripe by stripe.

    The square root of each stripe's joint hue-saturation-value histogram makes the inner product
    the Bhattacharyya coefficient of two images' colours, averaged over the stripes.

    Args:
        image_3HW: ``(3, H, W)`` uint8, red, green, blue.

    Returns:
        ``(D,)`` float32 of norm 1.
    """
    bins_HW = _colour_bins(image_3HW)
    number = int(np.prod(BINS))
    stripes = np.array_split(bins_HW.numpy(), STRIPES, axis=0)
    counts = np.stack([np.bincount(stripe.ravel(), minlength=number) for stripe in stripes])
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    filled = max(1, int((counts.sum(1) > 0).sum()))
    histogram: npt.NDArray[np.float32] = np.sqrt(share.ravel() / filled).astype(np.float32)
    return histogram


def _colour_bins(image_3HW: Tensor) -> Tensor:
    """``(H, W)`` int64, the joint bin of each pixel."""
    rgb = image_3HW.float() / 255
    value, lead = rgb.max(0)
    spread = value - rgb.amin(0)
    # The hexagonal hue: the leading channel sets the third of the circle, the others the rest.
    following, last = rgb.roll(-1, 0), rgb.roll(-2, 0)
    turn = (following - last).gather(0, lead[None])[0] / spread.clamp_min(1e-6)
    hue = (lead * 2 + turn).remainder(6) / 6
    saturation = spread / value.clamp_min(1e-6)
    steps = [
        (channel * bins).long().clamp_(0, bins - 1)
        for channel, bins in zip((hue, saturation, value), BINS, strict=True)
    ]
    return torch.as_tensor((steps[0] * BINS[1] + steps[1]) * BINS[2] + steps[2])
