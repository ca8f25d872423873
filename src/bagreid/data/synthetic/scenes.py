"""Where people walk: one background for each place, drawn once and cut out at random."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bagreid.data.synthetic.draws import Colour, Stream, choose, generator

WIDTH = 640
HEIGHT = 320

_WALLS: tuple[tuple[Colour, float], ...] = (
    ((168, 164, 156), 2.0),
    ((204, 200, 190), 2.0),
    ((132, 110, 92), 1.0),
    ((110, 122, 136), 1.0),
    ((150, 160, 132), 1.0),
    ((82, 86, 94), 1.0),
)
_FLOORS: tuple[tuple[Colour, float], ...] = (
    ((140, 138, 134), 2.0),
    ((178, 172, 160), 1.5),
    ((96, 98, 102), 1.5),
    ((150, 122, 98), 1.0),
    ((98, 120, 78), 1.0),
)


@lru_cache(maxsize=48)
def scene(seed: int, place: int) -> Image.Image:
    """The background of one place.

    Args:
        seed: The archive's seed.
        place: Number of the camera that looks at it.

    Returns:
        An RGB image of ``WIDTH x HEIGHT``, floor below, wall or street above.
    """
    rng = generator(seed, Stream.SCENE, place)
    horizon = int(HEIGHT * rng.uniform(0.42, 0.66))
    image = Image.new("RGB", (WIDTH, HEIGHT), _rgb(rng, choose(rng, _WALLS)))
    draw = ImageDraw.Draw(image)
    _wall(draw, rng, horizon)
    _floor(draw, rng, horizon)
    _furniture(draw, rng, horizon)
    return _weathered(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 2.0))), rng)


def _rgb(rng: np.random.Generator, colour: Colour, spread: float = 14.0) -> tuple[int, int, int]:
    shifted = np.clip(
        np.asarray(colour) + rng.normal(0, spread / 2) + rng.normal(0, spread, 3), 12, 244
    )
    return int(shifted[0]), int(shifted[1]), int(shifted[2])


def _any_rgb(rng: np.random.Generator) -> tuple[int, int, int]:
    return _rgb(rng, (rng.uniform(30, 220),) * 3, 30.0)


def _wall(draw: ImageDraw.ImageDraw, rng: np.random.Generator, horizon: int) -> None:
    """Windows, doors, bricks or panels."""
    kind = choose(rng, (("windows", 2.0), ("panels", 1.5), ("bricks", 1.0), ("shops", 1.5)))
    line = _any_rgb(rng)
    step = int(rng.integers(34, 90))
    if kind == "bricks":
        course = max(8, step // 5)
        for row, y in enumerate(range(0, horizon, course)):
            draw.line([(0, y), (WIDTH, y)], fill=line)
            for x in range((row % 2) * course, WIDTH, 2 * course):
                draw.line([(x, y), (x, y + course)], fill=line)
        return
    for x in range(int(rng.integers(0, step)), WIDTH, step):
        wide = int(step * rng.uniform(0.4, 0.95))
        if kind == "panels":
            draw.line([(x, 0), (x, horizon)], fill=line, width=2)
        else:
            top = int(horizon * (rng.uniform(0.05, 0.3) if kind == "windows" else 0.15))
            low = int(horizon * rng.uniform(0.55, 0.8)) if kind == "windows" else horizon
            fill = _any_rgb(rng)
            draw.rectangle([x, top, x + wide, low], fill=fill, outline=line)
            draw.line([(x + wide // 2, top), (x + wide // 2, low)], fill=line)


def _floor(draw: ImageDraw.ImageDraw, rng: np.random.Generator, horizon: int) -> None:
    """Ground with tiles or kerbs that run to a vanishing point."""
    near = np.asarray(_rgb(rng, choose(rng, _FLOORS)))
    for y in range(horizon, HEIGHT):
        shade = 0.82 + 0.25 * (y - horizon) / (HEIGHT - horizon)
        colour = tuple(int(c) for c in np.clip(near * shade, 0, 255))
        draw.line([(0, y), (WIDTH, y)], fill=colour)
    if rng.random() < 0.75:
        line = tuple(int(c) for c in np.clip(near * rng.uniform(0.7, 0.9), 0, 255))
        vanish = WIDTH * rng.uniform(0.2, 0.8)
        for x in range(-WIDTH, 2 * WIDTH, int(rng.integers(40, 140))):
            draw.line([(vanish + (x - vanish) * 0.3, horizon), (x, HEIGHT)], fill=line)
        at = float(horizon)
        step = rng.uniform(4, 9)
        while at < HEIGHT:
            draw.line([(0, at), (WIDTH, at)], fill=line)
            step *= 1.35
            at += step
    draw.line([(0, horizon), (WIDTH, horizon)], fill=_any_rgb(rng), width=int(rng.integers(1, 6)))


def _furniture(draw: ImageDraw.ImageDraw, rng: np.random.Generator, horizon: int) -> None:
    """Posters, bins, pillars, shrubs, parked cars: things with colours of their own."""
    for _ in range(int(rng.integers(5, 14))):
        x = int(rng.integers(0, WIDTH))
        fill = _any_rgb(rng)
        match int(rng.integers(5)):
            case 0:
                draw.rectangle([x, horizon * 0.3, x + 26, horizon * 0.65], fill=fill)
            case 1:
                draw.rectangle([x, horizon - 26, x + 20, horizon + 14], fill=fill)
            case 2:
                draw.rectangle([x, 0, x + int(rng.integers(8, 22)), horizon + 20], fill=fill)
            case 3:
                green = _rgb(rng, (74, 106, 60))
                for _ in range(9):
                    u, v = rng.normal(0, 16, 2)
                    draw.ellipse(
                        [x + u - 14, horizon + v - 26, x + u + 14, horizon + v], fill=green
                    )
            case _:
                draw.rounded_rectangle(
                    [x, horizon - 24, x + 96, horizon + 18], radius=12, fill=fill
                )
                draw.rounded_rectangle(
                    [x + 18, horizon - 44, x + 78, horizon - 18], radius=9, fill=(70, 80, 92)
                )


def _weathered(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Uneven light and fine grain."""
    coarse = rng.normal(1.0, 0.13, (5, 9)).clip(0.6, 1.4)
    light = Image.fromarray((coarse * 120).astype(np.uint8)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 4.0, (HEIGHT, WIDTH, 1))
    pixels = np.asarray(image, np.float64) * (np.asarray(light)[..., None] / 120.0) + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
