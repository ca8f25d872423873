"""Solids of elliptic cross-sections along an axis: what a body is put together from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bagreid.data.synthetic import textures
from bagreid.data.synthetic.draws import Floats, Packed
from bagreid.data.synthetic.pose import JOINTS
from bagreid.data.synthetic.textures import Texture

SECTIONS = 64
"""Cross-sections that a part's outline is tabulated at."""

POSITION: Floats = ((np.arange(SECTIONS) + 0.5) / SECTIONS).astype(np.float32)
"""Where they lie along the part, 0...1."""

Point = tuple[float, float, float]
"""In the body frame, see `bagreid.data.synthetic.pose`."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """All parts of one person, as arrays over P parts.

    Attributes:
        fixed: ``(R, 3)`` float32, points that do not move against the trunk.
        ends: ``(P, 2)`` int64, upper and lower end of each axis: rows of the joints followed by
            ``fixed``.
        width: ``(P, SECTIONS)`` float32, half extent to the sides in metres.
        depth: ``(P, SECTIONS)`` float32, half extent to front and back.
        extend: ``(P,)`` float32, metres by which an axis reaches beyond both ends.
        nearer: ``(P,)`` float32, metres added to a part's depth when deciding what hides what.
        texture: ``(P,)`` int64, row of ``textures``.
        rows: ``(P, 2)`` float32, first texture row and the number of rows along the part.
        textures: ``(T, ROWS, COLUMNS)`` packed colours.
    """

    fixed: Floats
    ends: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    width: Floats
    depth: Floats
    extend: Floats
    nearer: Floats
    texture: np.ndarray[tuple[int], np.dtype[np.int64]]
    rows: Floats
    textures: Packed


class Builder:
    """Collects the parts of a body."""

    def __init__(self) -> None:
        self.fixed: list[Point] = []
        self.parts: list[tuple[tuple[int, int], Floats, Floats, float, float, int, Floats]] = []
        self.textures: list[Texture] = []

    def texture(self, texture: Texture) -> int:
        """Keeps a texture and returns its number."""
        self.textures.append(texture)
        return len(self.textures) - 1

    def add(
        self,
        upper: int | Point,
        lower: int | Point,
        width: Floats,
        texture: int,
        *,
        depth: Floats | None = None,
        extend: float = 0.0,
        nearer: float = 0.0,
        rows: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Adds a part.

        Args:
            upper: Upper end of its axis: a joint, or a point fixed to the trunk.
            lower: Lower end.
            width: ``(SECTIONS,)`` half extents to the sides, in metres.
            texture: Number of its texture.
            depth: Half extents to front and back; by default the same as ``width``.
            extend: Metres by which the axis reaches beyond both ends.
            nearer: Metres added to its depth when deciding what hides what.
            rows: First and last row of the texture, as shares of its height.
        """
        ends = (self._end(upper), self._end(lower))
        span = np.array([rows[0], rows[1] - rows[0]], np.float32) * textures.ROWS
        solid = width if depth is None else depth
        self.parts.append((ends, width, solid, extend, nearer, texture, span))

    def _end(self, end: int | Point) -> int:
        if isinstance(end, int):
            return int(end)
        self.fixed.append(end)
        return JOINTS + len(self.fixed) - 1

    def build(self) -> Body:
        """The body of all parts added."""
        ends, width, depth, extend, nearer, texture, rows = zip(*self.parts, strict=True)
        return Body(
            fixed=np.array(self.fixed, np.float32),
            ends=np.array(ends, np.int64),
            width=np.array(width, np.float32),
            depth=np.array(depth, np.float32),
            extend=np.array(extend, np.float32),
            nearer=np.array(nearer, np.float32),
            texture=np.array(texture, np.int64),
            rows=np.array(rows, np.float32),
            textures=textures.stack(self.textures),
        )


def outline(*knots: tuple[float, float]) -> Floats:
    """Half extents at the cross-sections, linear between ``(position, half extent)``."""
    return np.interp(POSITION, [k[0] for k in knots], [k[1] for k in knots]).astype(np.float32)


def rounded(outline: Floats, cap: float) -> Floats:
    """The outline with both ends rounded over a share ``cap`` of its length."""
    beyond = np.maximum(np.maximum(cap - POSITION, POSITION - 1 + cap), 0.0) / cap
    rounded: Floats = outline * np.sqrt(np.clip(1.0 - beyond**2, 0.0, 1.0))
    return rounded.astype(np.float32, copy=False)


def ellipsoid(radius: float) -> Floats:
    """The outline of a ball, which the length of its axis stretches."""
    return rounded(np.full(SECTIONS, radius, np.float32), 0.5)
