"""What needs no learning: a colour histogram, to be ranked by the same rules as a network.

Shape letters: N images, H height, W width, D features.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError, IntArray
from bagreid.data.datasets import decode_whole
from bagreid.data.quarantine import BrokenImages
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.features import ImageFeatures, images_of

STRIPES = 6
"""Horizontal stripes from head to shoes."""

BINS = (16, 4, 4)
"""Steps of hue, saturation and value in one joint histogram a stripe."""

MARGIN = 1 / 6
"""Share of the width left out on each side: people stand in the middle, background beside them."""

AT_ONCE = 64
"""Images read at a time."""

_BITS = 5


def histogram_features(
    catalog: Catalog,
    rows: IntArray | range,
    *,
    known: BrokenImages | None = None,
    progress: Progress | None = None,
) -> ImageFeatures:
    """Colour histograms of an archive's images.

    Args:
        catalog: The archive.
        rows: ``(N,)`` catalog rows.
        known: The images known to be broken, which are not read; others found broken are added.
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
    quarantine = known.known if known is not None else frozenset()
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE].tolist()
        for place, image in enumerate(decode_whole(catalog, some, quarantine), start):
            if image is None:
                broken.append(int(rows[place]))
            else:
                features[place] = striped_histogram(image.numpy())
        if progress is not None:
            progress(start + len(some), len(rows))
    if known is not None:
        known.add(broken)
    return images_of(catalog, rows, features, broken)


def striped_histogram(image_3HW: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """One image's colours, stripe by stripe.

    The square root of each stripe's joint hue-saturation-value histogram makes the inner product
    the Bhattacharyya coefficient of two images' colours, averaged over the stripes.

    Args:
        image_3HW: ``(3, H, W)`` uint8, red, green, blue.

    Returns:
        ``(D,)`` float32 of norm 1.
    """
    margin = int(image_3HW.shape[2] * MARGIN)
    middle_3HW = image_3HW[:, :, margin : image_3HW.shape[2] - margin]
    red, green, blue = (middle_3HW >> (8 - _BITS)).astype(np.int64)
    bin_HW = _bin_of_colour()[(red << 2 * _BITS) | (green << _BITS) | blue]
    number = int(np.prod(BINS))
    stripe_H = np.arange(len(bin_HW)) * STRIPES // len(bin_HW)
    joint = (bin_HW + stripe_H[:, None] * number).ravel()
    counts = np.bincount(joint, minlength=STRIPES * number).reshape(STRIPES, number)
    total = counts.sum(1, keepdims=True)
    share = counts / np.maximum(total, 1) / np.count_nonzero(total)
    histogram: npt.NDArray[np.float32] = np.sqrt(share).ravel().astype(np.float32)
    return histogram


@cache
def _bin_of_colour() -> npt.NDArray[np.int64]:
    """The joint bin of every colour of five bits a channel; a look-up beats any formula."""
    steps = 1 << _BITS
    grid = np.stack(np.meshgrid(*[np.arange(steps)] * 3, indexing="ij")).reshape(3, -1)
    red, green, blue = rgb = (grid + 0.5) / steps
    value, spread = rgb.max(0), np.ptp(rgb, axis=0)
    # The hexagonal hue: the leading channel sets the third of the circle, the others the rest.
    around = np.maximum(spread, 1e-9)
    turns = ((green - blue) / around, 2 + (blue - red) / around, 4 + (red - green) / around)
    hue = np.choose(rgb.argmax(0), turns) % 6 / 6
    channels = (hue, spread / value, value)
    parts = [
        np.minimum((channel * bins).astype(np.int64), bins - 1)
        for channel, bins in zip(channels, BINS, strict=True)
    ]
    joint: npt.NDArray[np.int64] = (parts[0] * BINS[1] + parts[1]) * BINS[2] + parts[2]
    return joint
