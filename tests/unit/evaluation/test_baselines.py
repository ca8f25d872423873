"""The colour histogram against a pixel-by-pixel twin built on the standard library's HSV."""

import colorsys
import math

import numpy as np

from bagreid.catalog import Catalog
from bagreid.data.decode import decode_jpeg
from bagreid.evaluation import histogram_features
from bagreid.evaluation.baselines import BINS, STRIPES, striped_histogram


def literal_histogram(image: np.ndarray) -> list[float]:
    _, height, width = image.shape
    counts = [[0] * math.prod(BINS) for _ in range(STRIPES)]
    for y in range(height):
        for x in range(width // 6, width - width // 6):
            red, green, blue = ((int(value) // 8 + 0.5) / 32 for value in image[:, y, x])
            hsv = colorsys.rgb_to_hsv(red, green, blue)
            h, s, v = (min(int(c * bins), bins - 1) for c, bins in zip(hsv, BINS, strict=True))
            counts[y * STRIPES // height][(h * BINS[1] + s) * BINS[2] + v] += 1
    return [math.sqrt(n / sum(stripe) / STRIPES) for stripe in counts for n in stripe]


def test_equals_the_literal_histogram(catalog: Catalog) -> None:
    image = decode_jpeg(catalog.read(catalog.split("query")[0])).numpy()
    noise = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (3, 31, 17), np.uint8)
    for pixels in (image, noise):
        np.testing.assert_allclose(striped_histogram(pixels), literal_histogram(pixels), atol=0.02)


def test_norms_mirror_images_and_broken_ones(damaged: Catalog) -> None:
    rows = damaged.split("gallery")
    images = histogram_features(damaged, rows)
    norms = np.linalg.norm(images.features, axis=1)
    assert images.broken == (rows[7],)
    assert norms[7] == 0
    np.testing.assert_allclose(np.delete(norms, 7), 1, atol=1e-6)
    pixels = decode_jpeg(damaged.read(rows[0])).numpy()
    np.testing.assert_array_equal(
        striped_histogram(pixels), striped_histogram(pixels[:, :, ::-1].copy())
    )


def test_a_picture_with_fewer_lines_than_stripes() -> None:
    histogram = striped_histogram(np.full((3, 2, 5), 9, np.uint8))
    np.testing.assert_allclose(np.linalg.norm(histogram), 1, atol=1e-6)
