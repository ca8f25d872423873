"""What a camera does to a picture: colour cast, exposure, contrast, blur, noise, JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from bagreid.data.synthetic.draws import Stream, generator

QUERY_CAMERA = 2
GALLERY_CAMERA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """The lasting character of one camera."""

    gains: tuple[float, float, float]
    """Factor on red, green and blue: exposure and colour cast."""
    gamma: float
    saturation: float
    haze: float
    """Grey veil that is added, 0...255."""
    pitch: float
    """How far it looks down, in radians."""
    light: tuple[float, float, float]
    ambient: float


@lru_cache(maxsize=256)
def lens(seed: int, place: int, side: int) -> Lens:
    """The camera of one place.

    Args:
        seed: The archive's seed.
        place: Number of the place.
        side: `QUERY_CAMERA` (dim and cold), `GALLERY_CAMERA` (bright and warm), or 0 for the
            cameras of the train tracks, which span both.

    Returns:
        Its settings.
    """
    rng = generator(seed, Stream.SCENE, place, 1)
    warm = rng.normal(0.0, 0.07)
    exposure = rng.normal(0.0, 0.12)
    if side == QUERY_CAMERA:
        warm, exposure = -0.05 + 0.3 * warm, -0.09 + 0.3 * exposure
    elif side == GALLERY_CAMERA:
        warm, exposure = 0.05 + 0.3 * warm, 0.05 + 0.3 * exposure
    green = rng.normal(0.0, 0.03)
    cast = np.exp(exposure + np.array([warm, green, -warm]))
    angle = rng.uniform(-1.0, 1.0)
    light = np.array([np.sin(angle), -0.35, np.cos(angle)])
    light /= np.linalg.norm(light)
    return Lens(
        gains=(float(cast[0]), float(cast[1]), float(cast[2])),
        gamma=float(np.exp(rng.normal(0.0, 0.07))),
        saturation=rng.uniform(0.75, 1.1),
        haze=float(rng.uniform(0, 8)),
        pitch=rng.uniform(0.05, 0.28),
        light=(float(light[0]), float(light[1]), float(light[2])),
        ambient=rng.uniform(0.35, 0.7),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What differs from track to track and from frame to frame."""

    brightness: float
    sharpness: float
    """Share of the resolution that is left, 0...1."""
    blur: float
    """Gaussian radius in picture pixels."""
    noise: float
    """Standard deviation of the sensor's noise, 0...255."""
    quality: int
    """Of the JPEG, 1...95."""


def develop(image: Image.Image, lens: Lens, exposure: Exposure, rng: np.random.Generator) -> bytes:
    """Turns a clean rendering into a camera's JPEG.

    Args:
        image: The rendering at its final size.
        lens: The camera.
        exposure: The frame.
        rng: Draws the noise.

    Returns:
        The bytes of a baseline JPEG.
    """
    size = image.size
    if exposure.sharpness < 1.0:
        small = [max(8, round(edge * exposure.sharpness)) for edge in size]
        image = image.resize((small[0], small[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
        image = image.resize(size, Image.Resampling.BICUBIC)
    if exposure.blur > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(exposure.blur))
    image = _graded(image, lens, exposure)
    grain = rng.standard_normal((size[1], size[0], 3), dtype=np.float32)
    grain *= np.float32(exposure.noise)
    grain += np.asarray(image)
    pixels = np.clip(grain, 0, 255, out=grain).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=exposure.quality)
    return file.getvalue()


def _graded(image: Image.Image, lens: Lens, exposure: Exposure) -> Image.Image:
    """Tone curve, then saturation, colour cast and haze as one matrix on the colours."""
    curve = np.rint(255 * (np.arange(256) / 255) ** lens.gamma).astype(int).tolist()
    clear = exposure.brightness * (1 - lens.haze / 255)
    grey = (1 - lens.saturation) / 3
    matrix: list[float] = []
    for row, gain in enumerate(lens.gains):
        weights = [grey + (lens.saturation if row == column else 0.0) for column in range(3)]
        matrix += [gain * clear * weight for weight in weights] + [lens.haze]
    return image.point(curve * 3).convert("RGB", tuple(matrix))
