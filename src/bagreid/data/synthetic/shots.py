"""One picture: who, where, on which track and which frame of it, rendered to JPEG bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from bagreid.data.synthetic import cameras, scenes
from bagreid.data.synthetic.body import body
from bagreid.data.synthetic.cameras import Exposure, Lens, lens
from bagreid.data.synthetic.draws import Packed, Stream, choose, generator
from bagreid.data.synthetic.people import person
from bagreid.data.synthetic.pose import Pose, joints
from bagreid.data.synthetic.raster import Camera, draw

_SUPERSAMPLING = 2
_STATURE = 1.8
"""Height in metres that fills the picture at zoom 1."""
_CROWD = 16
"""People who only ever walk past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What one picture shows."""

    person: int
    place: int
    """Number of the scene, and of its camera."""
    side: int
    """Which end of the test it is for, see `bagreid.data.synthetic.cameras.lens`."""
    track: tuple[int, ...]
    """Names the track: shots of the same track share camera, heading and light."""
    frame: int
    """Number of the frame on its track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    """What stays the same along a track."""

    yaw: float
    phase: float
    swing: float
    elbows: tuple[float, float]
    spread: float
    aspect: float
    zoom: float
    shift: tuple[float, float]
    corner: tuple[float, float]
    occluder: str
    occluder_at: float
    occluder_colour: tuple[int, int, int]
    passer_at: float
    exposure: Exposure


def render(seed: int, shot: Shot, shortest_edge: int) -> bytes:
    """The JPEG of one shot; it follows from the arguments alone.

    Args:
        seed: The archive's seed.
        shot: What to show.
        shortest_edge: Width of the picture in pixels.

    Returns:
        The bytes of the JPEG.
    """
    track = _draw_track(generator(seed, Stream.TRACK, *shot.track))
    rng = generator(seed, Stream.FRAME, *shot.track, shot.frame, shot.person)
    aspect = max(1.0, track.aspect * rng.normal(1.0, 0.03))
    camera = lens(seed, shot.place, shot.side)
    canvas = _background(seed, shot, track, (shortest_edge, round(shortest_edge * aspect)), rng)
    _people(canvas, seed, shot, track, camera, rng)
    height, width = canvas.shape
    image = Image.frombytes("RGBX", (width, height), canvas.tobytes())
    image = image.reduce(_SUPERSAMPLING).convert("RGB")
    _occlude(image, track, shot.frame)
    return cameras.develop(image, camera, track.exposure, rng)


def _draw_track(rng: np.random.Generator) -> _Track:
    still = rng.random() < 0.15
    phone = rng.random() < 0.1
    swing = rng.uniform(0.02, 0.08) if still else rng.uniform(0.3, 0.52)
    bend = rng.uniform(0.15, 0.5)
    colour = rng.integers(20, 170) + rng.integers(-18, 18, 3)
    return _Track(
        yaw=float(rng.integers(8)) * np.pi / 4 + rng.normal(0.0, 0.2),
        phase=rng.uniform(0, 2 * np.pi),
        swing=swing,
        elbows=(bend, rng.uniform(1.6, 2.2) if phone else bend),
        spread=rng.uniform(0.08, 0.26),
        aspect=min(max(rng.normal(2.05, 0.09), 1.75), 2.4),
        zoom=min(max(rng.normal(0.95, 0.032), 0.84), 1.05),
        shift=(rng.normal(0.0, 0.028), rng.normal(0.0, 0.012)),
        corner=(rng.random(), rng.random()),
        occluder=choose(
            rng, (("none", 12.0), ("post", 0.7), ("counter", 0.8), ("edge", 0.7), ("shrub", 0.6))
        ),
        occluder_at=rng.random(),
        occluder_colour=(int(colour[0]), int(colour[1]), int(colour[2])),
        passer_at=rng.uniform(0.42, 0.75) * (1 if rng.random() < 0.5 else -1)
        if rng.random() < 0.06
        else 0.0,
        exposure=Exposure(
            brightness=float(np.exp(rng.normal(0.0, 0.08))),
            sharpness=min(rng.uniform(0.65, 1.7), 1.0),
            blur=max(0.0, rng.uniform(-0.8, 0.8)),
            noise=rng.uniform(1.0, 5.0),
            quality=int(rng.integers(55, 92)),
        ),
    )


def _background(
    seed: int, shot: Shot, track: _Track, size: tuple[int, int], rng: np.random.Generator
) -> Packed:
    """A piece of the scene, which glides by from frame to frame, on a canvas to draw on.

    It is out of focus anyway, so it is cut at the picture's size and its pixels are doubled.
    """
    scene = scenes.scene(seed, shot.place)
    tall = scenes.HEIGHT * (0.7 + 0.28 * track.corner[1])
    wide = min(tall * size[0] / size[1], scenes.WIDTH)
    free = scenes.WIDTH - wide
    glide = 6.0 * shot.frame * np.sin(track.yaw) + rng.normal(0, 1.5)
    left = abs((track.corner[0] * free + glide) % (2 * free) - free)
    top = (scenes.HEIGHT - tall) * track.corner[1]
    box = (left, top, left + wide, top + tall)
    cut = scene.resize(size, Image.Resampling.BILINEAR, box=box).convert("RGBX")
    pixels = np.asarray(cut).view(np.uint32)[..., 0]
    return pixels.repeat(_SUPERSAMPLING, axis=0).repeat(_SUPERSAMPLING, axis=1)


def _people(
    canvas: Packed, seed: int, shot: Shot, track: _Track, camera: Lens, rng: np.random.Generator
) -> None:
    """The person of the shot, and at times someone passing behind or in front."""
    view = _view(canvas, track, camera, rng)
    pose = Pose(
        phase=track.phase + 0.55 * shot.frame,
        swing=track.swing,
        elbows=track.elbows,
        spread=track.spread,
    )
    if not track.passer_at:
        _person(canvas, seed, shot.person, pose, view)
        return
    at_x = view.foot_x + track.passer_at * canvas.shape[1]
    scale = view.scale * (0.86 if track.passer_at > 0 else 1.06)
    passer = Camera(
        yaw=view.yaw + np.pi, pitch=view.pitch, scale=scale, foot_x=at_x,
        foot_y=view.foot_y + 0.05 * (scale - view.scale), light=view.light, ambient=view.ambient,
    )  # fmt: skip
    # Numbers of the crowd count down from the largest, so that they meet nobody of the archive.
    number = 2**31 - 1 - int(track.corner[0] * _CROWD)
    if track.passer_at > 0:
        _person(canvas, seed, number, pose, passer)
        _person(canvas, seed, shot.person, pose, view)
    else:
        _person(canvas, seed, shot.person, pose, view)
        _person(canvas, seed, number, pose, passer)


def _view(canvas: Packed, track: _Track, camera: Lens, rng: np.random.Generator) -> Camera:
    height, width = canvas.shape
    scale = track.zoom * height / _STATURE * rng.normal(1.0, 0.02)
    shift_x = track.shift[0] + rng.normal(0.0, 0.02)
    shift_y = track.shift[1] + rng.normal(0.0, 0.012)
    return Camera(
        yaw=track.yaw + rng.normal(0.0, 0.06),
        pitch=camera.pitch,
        scale=scale,
        foot_x=width * (0.5 + shift_x),
        foot_y=height * (0.965 + shift_y - 0.4 * (1 - track.zoom)),
        light=camera.light,
        ambient=camera.ambient,
    )


def _person(canvas: Packed, seed: int, number: int, pose: Pose, view: Camera) -> None:
    _shadow(canvas, view)
    draw(canvas, body(seed, number), joints(person(seed, number), pose), view)


def _shadow(canvas: Packed, view: Camera) -> None:
    """A soft dark spot on the ground below the feet."""
    reach_x, reach_y = 0.42 * view.scale, 0.11 * view.scale
    y0 = max(0, int(view.foot_y - reach_y))
    y1 = min(canvas.shape[0], int(view.foot_y + reach_y))
    x0 = max(0, int(view.foot_x - reach_x))
    x1 = min(canvas.shape[1], int(view.foot_x + reach_x))
    if y0 >= y1 or x0 >= x1:
        return
    y = ((np.arange(y0, y1, dtype=np.float32) - view.foot_y) / reach_y)[:, None]
    x = ((np.arange(x0, x1, dtype=np.float32) - view.foot_x) / reach_x)[None, :]
    dark = 1 - 0.5 * np.clip(1 - (x * x + y * y), 0, 1)
    region = canvas.view(np.uint8).reshape(*canvas.shape, 4)[y0:y1, x0:x1]
    region[:] = (region * dark[..., None]).astype(np.uint8)


def _occlude(image: Image.Image, track: _Track, frame: int) -> None:
    """Something of the place that stands in front."""
    if track.occluder == "none":
        return
    width, height = image.size
    pen = ImageDraw.Draw(image)
    colour = track.occluder_colour
    along = (track.occluder_at + 0.06 * frame * float(np.sin(track.yaw))) % 1.0
    match track.occluder:
        case "post":
            x = along * width
            pen.rectangle([x, 0, x + width * 0.09, height], fill=colour)
        case "counter":
            top = height * (0.7 + 0.25 * track.occluder_at)
            lip = tuple(min(255, c + 40) for c in colour)
            pen.rectangle([0, top, width, height], fill=colour)
            pen.rectangle([0, top, width, top + height * 0.012], fill=lip)
        case "edge":
            wide = width * 0.28 * track.occluder_at
            left = 0.0 if frame % 2 == 0 or track.occluder_at < 0.5 else width - wide
            pen.rectangle([left, 0, left + wide, height], fill=colour)
        case _:
            green = (colour[0] // 2 + 20, colour[1] // 2 + 50, colour[2] // 2 + 10)
            for leaf in range(14):
                x = (along + 0.09 * np.sin(2.3 * leaf)) * width
                y = height * (0.97 - 0.018 * leaf)
                pen.ellipse([x - width * 0.09, y - height * 0.035, x + width * 0.09, y], fill=green)
