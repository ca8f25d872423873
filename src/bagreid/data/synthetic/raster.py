"""Draws posed bodies on a canvas: every part of a body in one pass over a flat list of pixels.

No anti-aliasing here: the canvas is larger than the picture, and shrinking it smooths the edges.

Shape letters: P parts, R pixel rows of parts, N pixels of parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.data.synthetic.draws import Floats, Packed
from bagreid.data.synthetic.solids import SECTIONS, Body
from bagreid.data.synthetic.textures import COLUMNS, ROWS

Ints = npt.NDArray[np.int32]

_STEPS = 256
_ACROSS: Floats = ((np.arange(_STEPS) + 0.5) / _STEPS * 2 - 1).astype(np.float32)
_TOWARDS: Floats = np.sqrt(1 - _ACROSS**2)
"""Share of the surface normal that points to the camera, by position across a part."""
_COLUMN: Ints = np.rint(np.arcsin(_ACROSS) * COLUMNS / (2 * np.pi)).astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """How the body frame is seen on the canvas."""

    yaw: float
    """Heading of the person: 0 faces the camera, pi shows the back."""
    pitch: float
    """How far the camera looks down, in radians."""
    scale: float
    """Canvas pixels per metre."""
    foot_x: float
    foot_y: float
    """Canvas position of the point on the ground below the person."""
    light: tuple[float, float, float]
    """Direction the light comes from: right, down, towards the camera."""
    ambient: float
    """Share of light that comes from everywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class _Axes:
    """The parts on the canvas, far ones first."""

    start: Floats
    along: Floats
    length: Floats
    radius: Floats
    order: npt.NDArray[np.int64]


def draw(canvas: Packed, body: Body, joints: Floats, camera: Camera) -> None:
    """Draws one person.

    Args:
        canvas: ``(H, W)`` packed colours, drawn on in place.
        body: The parts.
        joints: ``(JOINTS, 3)`` float32, the pose.
        camera: The view.
    """
    axes = _project(body, joints, camera)
    part, y, x, t, s = _pixels(axes, canvas.shape[0], canvas.shape[1])
    section = part * SECTIONS + np.minimum((t * SECTIONS).astype(np.int32), SECTIONS - 1)
    reach = axes.radius.reshape(-1)[section]
    inside = np.flatnonzero(np.abs(s) < reach)
    part, t = part[inside], t[inside]
    across = ((s[inside] / reach[inside] + 1) * (_STEPS / 2)).astype(np.int32)
    colour = _shaded(
        _albedo(body, axes, camera, part, t, across), _lighting(axes, camera, part, across)
    )
    place = y[inside] * canvas.shape[1] + x[inside]
    _paint(canvas, place, colour, np.bincount(part, minlength=len(axes.order)))


def _project(body: Body, joints: Floats, camera: Camera) -> _Axes:
    """Turns, tilts and scales the axes; sorts the parts from far to near."""
    points = np.concatenate([joints, body.fixed])
    cos, sin = np.cos(camera.yaw), np.sin(camera.yaw)
    right = points[:, 0] * cos + points[:, 2] * sin
    near = points[:, 2] * cos - points[:, 0] * sin
    down = -(points[:, 1] * np.cos(camera.pitch) - near * np.sin(camera.pitch))
    screen = np.stack([right, down], axis=1).astype(np.float32) * np.float32(camera.scale)
    screen += np.array([camera.foot_x, camera.foot_y], np.float32)
    order = np.argsort(near[body.ends].mean(axis=1) + body.nearer, kind="stable")
    start, end = screen[body.ends[order, 0]], screen[body.ends[order, 1]]
    length = np.hypot(*(end - start).T)
    along = (end - start) / np.maximum(length, 1e-6)[:, None]
    along[length < 1e-3] = (0.0, 1.0)
    extend = body.extend[order] * np.float32(camera.scale)
    radius = np.hypot(body.width[order] * cos, body.depth[order] * sin) * camera.scale
    return _Axes(
        start=(start - along * extend[:, None]).astype(np.float32),
        along=along.astype(np.float32),
        length=np.maximum(length + 2 * extend, 1.0).astype(np.float32),
        radius=np.maximum(radius, 0.4).astype(np.float32),
        order=order,
    )


def _pixels(axes: _Axes, height: int, width: int) -> tuple[Ints, Ints, Ints, Floats, Floats]:
    """Every pixel near a part.

    Returns:
        Part, canvas row, canvas column ``(N,)`` int32; position along the axis 0...1 and distance
        from it in pixels, to the right positive, ``(N,)`` float32.
    """
    reach = axes.radius.max(axis=1)
    end = axes.start + axes.along * axes.length[:, None]
    slack = reach * np.abs(axes.along[:, 0])
    top = np.clip(np.minimum(axes.start[:, 1], end[:, 1]) - slack, 0, height).astype(np.int32)
    bottom = np.clip(np.maximum(axes.start[:, 1], end[:, 1]) + slack + 1, 0, height)
    rows = np.maximum(bottom.astype(np.int32) - top, 0)
    part_R, y_R = _ranges(top, rows)
    a_x, a_y = axes.along[part_R, 0], axes.along[part_R, 1]
    d_y = y_R + np.float32(0.5) - axes.start[part_R, 1]
    first, last = _span(a_x, a_y, d_y, reach[part_R], axes.length[part_R])
    origin = axes.start[part_R, 0]
    x0 = np.clip(np.ceil(origin + first - 0.5), 0, width).astype(np.int32)
    x1 = np.clip(np.floor(origin + last + 0.5), 0, width).astype(np.int32)
    row, x = _ranges(x0, np.maximum(x1 - x0, 0))
    d_x = x + (np.float32(0.5) - origin)[row]
    per_length = 1 / axes.length[part_R]
    t = d_x * (a_x * per_length)[row] + (a_y * d_y * per_length)[row]
    s = d_x * a_y[row] - (a_x * d_y)[row]
    return part_R[row], y_R[row], x, t, s


def _ranges(first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """``first[i] … first[i] + count[i] - 1`` for every i on end, and the i of each number."""
    owner = np.repeat(np.arange(len(count), dtype=np.int32), count)
    before = (np.cumsum(count) - count).astype(np.int32)
    number = np.arange(len(owner), dtype=np.int32) + (first - before)[owner]
    return owner, number


def _span(
    a_x: Floats, a_y: Floats, d_y: Floats, reach: Floats, length: Floats
) -> tuple[Floats, Floats]:
    """First and last offset in x at which a row meets the box round an axis.

    The box is ``|d_x a_y - a_x d_y| <= reach`` and ``0 <= d_x a_x + a_y d_y <= length``.
    """
    tiny = np.float32(1e-6)
    across = np.where(np.abs(a_y) < tiny, tiny, a_y)
    ahead = np.where(np.abs(a_x) < tiny, tiny, a_x)
    side = np.stack([(a_x * d_y - reach) / across, (a_x * d_y + reach) / across])
    line = np.stack([-a_y * d_y / ahead, (length - a_y * d_y) / ahead])
    first: Floats = np.maximum(side.min(axis=0), line.min(axis=0))
    last: Floats = np.minimum(side.max(axis=0), line.max(axis=0))
    return first, last


def _albedo(body: Body, axes: _Axes, camera: Camera, part: Ints, t: Floats, across: Ints) -> Packed:
    """Texture colours, ``(N,)``."""
    turn = round(-camera.yaw * COLUMNS / (2 * np.pi))
    column = (_COLUMN[across] + turn) % COLUMNS
    rows = body.rows[axes.order]
    row = (rows[part, 0] + t * rows[part, 1]).astype(np.int32)
    np.clip(row, 0, ROWS - 1, out=row)
    texture = body.texture[axes.order].astype(np.int32)[part]
    pixel = (texture * ROWS + row) * COLUMNS + column
    colours: Packed = body.textures.reshape(-1)[pixel]
    return colours


def _lighting(axes: _Axes, camera: Camera, part: Ints, across: Ints) -> Floats:
    """Lambert's law on a cylinder, plus light from everywhere; ``(N,)`` in 0...1.25."""
    light_x, light_y, light_z = camera.light
    sideways = axes.along[:, 1] * light_x - axes.along[:, 0] * light_y
    direct = sideways.astype(np.float32)[part] * _ACROSS[across]
    direct += np.float32(light_z) * _TOWARDS[across]
    np.maximum(direct, 0.0, out=direct)
    lit: Floats = np.float32(camera.ambient) + np.float32(1.25 - camera.ambient) * direct
    return lit


def _shaded(colour: Packed, light: Floats) -> Packed:
    """Colours times light, in fixed point with seven binary places: 255 * 160 fits 16 bits."""
    factor = (light * 128).astype(np.uint16)
    product = colour.view(np.uint8).reshape(-1, 4) * factor[:, None]
    product >>= 7
    np.minimum(product, 255, out=product)
    shaded: Packed = product.astype(np.uint8).view(np.uint32).reshape(-1)
    return shaded


def _paint(canvas: Packed, place: Ints, colour: Packed, counts: npt.NDArray[np.int64]) -> None:
    """Puts the parts' pixels on the canvas, far parts first."""
    flat = canvas.reshape(-1)
    stop = 0
    for count in counts:
        start, stop = stop, stop + int(count)
        flat[place[start:stop]] = colour[start:stop]
