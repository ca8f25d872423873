"""A person as parts: each a solid of elliptic cross-sections along an axis, with its texture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bagreid.data.synthetic import textures
from bagreid.data.synthetic.draws import Floats, Packed
from bagreid.data.synthetic.people import Person, person
from bagreid.data.synthetic.pose import ANKLE_HEIGHT, HIP_HEIGHT, JOINTS, NECK_HEIGHT, Joint
from bagreid.data.synthetic.textures import Texture

SECTIONS = 64
"""Cross-sections that a part's outline is tabulated at."""

CROTCH_HEIGHT = 0.84

_T: Floats = ((np.arange(SECTIONS) + 0.5) / SECTIONS).astype(np.float32)

Point = tuple[float, float, float]


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


class _Builder:
    """Collects parts."""

    def __init__(self) -> None:
        self.fixed: list[Point] = []
        self.parts: list[tuple[tuple[int, int], Floats, Floats, float, float, int, Floats]] = []
        self.textures: list[Texture] = []

    def texture(self, texture: Texture) -> int:
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


def _outline(*knots: tuple[float, float]) -> Floats:
    """Half extents at the cross-sections, linear between ``(position, half extent)``."""
    return np.interp(_T, [k[0] for k in knots], [k[1] for k in knots]).astype(np.float32)


def _rounded(outline: Floats, cap: float) -> Floats:
    """The outline with both ends rounded over a share ``cap`` of its length."""
    beyond = np.maximum(np.maximum(cap - _T, _T - 1 + cap), 0.0) / cap
    rounded: Floats = outline * np.sqrt(np.clip(1.0 - beyond**2, 0.0, 1.0))
    return rounded.astype(np.float32, copy=False)


def _ellipsoid(radius: float) -> Floats:
    return _rounded(np.full(SECTIONS, radius, np.float32), 0.5)


@lru_cache(maxsize=64)
def body(seed: int, number: int) -> Body:
    """The body of one person, ready to pose.

    Args:
        seed: The archive's seed.
        number: The person.

    Returns:
        Its parts; about twenty.
    """
    who = person(seed, number)
    builder = _Builder()
    _trunk(builder, who)
    _legs(builder, who)
    _arms(builder, who)
    _head(builder, who)
    _hat(builder, who)
    _bag(builder, who)
    return builder.build()


def _trunk(builder: _Builder, who: Person) -> None:
    girth = who.girth
    s, h = who.shoulders, who.hips
    belly = 0.5 + 0.5 * girth
    width = _outline(
        (0.0, 0.05), (0.05, 0.075), (0.12, 0.15 * s), (0.18, 0.182 * s), (0.4, 0.165 * s * belly),
        (0.66, 0.14 * girth), (0.86, 0.163 * h * belly), (1.0, 0.15 * h * belly),
    )  # fmt: skip
    depth = _outline(
        (0.0, 0.05), (0.1, 0.085), (0.35, 0.118 * belly), (0.66, 0.112 * girth**1.5),
        (0.86, 0.122 * belly), (1.0, 0.1),
    )  # fmt: skip
    bulk = 1.08 if who.upper_kind in {"open jacket", "coat"} else 1.0
    length = NECK_HEIGHT - CROTCH_HEIGHT
    texture = builder.texture(textures.torso_texture(who, length, NECK_HEIGHT))
    builder.add(
        (0.0, NECK_HEIGHT, 0.0), (0.0, CROTCH_HEIGHT, 0.0), width * bulk, texture,
        depth=depth * bulk,
    )  # fmt: skip
    skin = builder.texture(textures.plain(who.skin))
    builder.add((0.0, 1.57, 0.01), (0.0, 1.45, 0.0), _outline((0, 0.05)), skin, nearer=-0.01)
    if who.scarf is not None:
        scarf = builder.texture(textures.folds(textures.plain(who.scarf), who.number, 0.2))
        builder.add(
            (0.0, 1.54, 0.01), (0.0, 1.43, 0.01), _rounded(_outline((0, 0.095)), 0.4), scarf,
            nearer=0.03,
        )  # fmt: skip
    _hanging(builder, who)


def _hanging(builder: _Builder, who: Person) -> None:
    """Skirt, and what of a long upper garment hangs below the waist."""
    hips = 0.165 * who.hips * (0.5 + 0.5 * who.girth)
    if who.lower_kind in {"skirt", "long skirt"}:
        hem = 0.52 if who.lower_kind == "skirt" else 0.17
        flare = hips + 0.02 + who.lower_width
        texture = builder.texture(textures.skirt_texture(who, 1.0 - hem))
        builder.add(
            (0.0, 1.0, 0.0), (0.0, hem, 0.0), _outline((0, hips * 0.9), (0.25, hips), (1, flare)),
            texture, depth=_outline((0, 0.11), (0.25, 0.125), (1, flare * 0.9)), nearer=0.06,
        )  # fmt: skip
    if who.hem < 0.85:
        texture = builder.texture(textures.tail_texture(who, 1.0 - who.hem))
        width = _outline((0, hips * 0.98), (0.3, hips * 1.08), (1, hips * 1.2))
        builder.add(
            (0.0, 1.0, 0.0), (0.0, who.hem, 0.0), width, texture, depth=width * 0.78, nearer=0.07
        )


def _legs(builder: _Builder, who: Person) -> None:
    texture = builder.texture(textures.leg_texture(who, HIP_HEIGHT - ANKLE_HEIGHT))
    shoe = builder.texture(textures.shoe_texture(who))
    girth = 0.4 + 0.6 * who.girth
    wide = who.lower_width if who.lower_kind in {"trousers", "cropped", "shorts"} else 0.0
    thigh = _outline((0, 0.088 * girth), (1, 0.06 * girth))
    calf = _outline((0, 0.06 * girth), (0.3, 0.058 * girth), (1, 0.04))
    if who.lower_kind == "shorts":
        thigh = thigh + (_T < 0.86) * (wide * 0.7 + 0.008)
    elif who.lower_kind == "cropped":
        thigh = thigh + wide * 0.6
        calf = calf + (_T < 0.54) * (wide * 0.9 + 0.008)
    else:
        thigh, calf = thigh + wide * 0.5, calf + wide * (0.5 + 0.5 * _T)
    if who.boots:
        calf = calf + (_T > 0.6) * 0.014
    # What hangs in front of the legs hides them, however far they step.
    behind = -0.4 if who.hem < 0.7 or "skirt" in who.lower_kind else 0.0
    below = -0.4 if who.lower_kind == "long skirt" else 0.0
    for index in (0, 1):
        hip, knee, ankle = Joint.HIP + index, Joint.KNEE + index, Joint.ANKLE + index
        builder.add(
            Joint.HEEL + index, Joint.TOE + index, _rounded(_outline((0, 0.05), (1, 0.04)), 0.3),
            shoe, extend=0.04, nearer=-0.02,
        )  # fmt: skip
        builder.add(
            knee, ankle, _rounded(calf, 0.1), texture, extend=0.04, rows=(0.5, 1.0), nearer=below
        )
        builder.add(
            hip,
            knee,
            _rounded(thigh, 0.1),
            texture,
            extend=0.05,
            rows=(0.0, 0.52),
            nearer=0.01 + behind,
        )


def _arms(builder: _Builder, who: Person) -> None:
    texture = builder.texture(textures.sleeve_texture(who, 0.65))
    girth = 0.45 + 0.55 * who.girth
    cloth = 0.012 if who.upper_kind in {"open jacket", "coat"} else 0.004
    upper = _outline((0, 0.044 * girth), (0.4, 0.055 * girth), (1, 0.046)) + cloth
    fore = _outline((0, 0.046), (0.65, 0.034), (0.72, 0.03), (0.85, 0.04), (1, 0.026)).copy()
    fore += cloth * (_T < 0.66)
    for index in (0, 1):
        shoulder, elbow, hand = (j + index for j in (Joint.SHOULDER, Joint.ELBOW, Joint.HAND))
        builder.add(
            elbow, hand, _rounded(fore, 0.12), texture, extend=0.03, rows=(0.44, 1.0), nearer=0.05
        )
        builder.add(
            shoulder, elbow, _rounded(upper, 0.16), texture, extend=0.035, rows=(0.0, 0.46),
            nearer=0.04,
        )  # fmt: skip


def _head(builder: _Builder, who: Person) -> None:
    size = who.head
    texture = builder.texture(textures.head_texture(who))
    head = _rounded(_outline((0, 0.083), (0.55, 0.083), (1, 0.066)), 0.46) * np.float32(size)
    top, chin = 1.535 + 0.235 * size, 1.525
    builder.add((0.0, top, 0.02), (0.0, chin, 0.03), head, texture, depth=head * 1.16, nearer=0.06)
    if who.hair_style == "bald":
        return
    hair = builder.texture(textures.folds(textures.plain(who.hair), who.number, 0.25))
    if who.hair_style == "curly":
        builder.add((0.0, top + 0.05, -0.01), (0.0, 1.56, -0.05), _ellipsoid(0.13 * size), hair)
        builder.add(
            (0.0, top + 0.06, 0.0), (0.0, top - 0.07, 0.0), _ellipsoid(0.115 * size), hair,
            nearer=0.12,
        )  # fmt: skip
        return
    back = _ellipsoid(0.09 * size)
    builder.add((0.0, top + 0.012, -0.015), (0.0, 1.55, -0.035), back, hair, nearer=0.02)
    if who.hair_style in {"bob", "long"}:
        low = 1.46 if who.hair_style == "bob" else 1.24
        fall = _rounded(_outline((0, 0.09), (0.5, 0.105), (1, 0.09)), 0.3) * np.float32(size)
        builder.add(
            (0.0, top - 0.02, -0.05), (0.0, low, -0.085), fall, hair, depth=fall * 0.65,
        )  # fmt: skip
    elif who.hair_style == "ponytail":
        tail = _rounded(_outline((0, 0.03), (0.4, 0.045), (1, 0.02)), 0.2)
        builder.add((0.0, top - 0.05, -0.12), (0.0, 1.36, -0.17), tail, hair, nearer=-0.02)
    elif who.hair_style == "bun":
        builder.add((0.0, top + 0.055, -0.09), (0.0, top - 0.05, -0.1), _ellipsoid(0.055), hair)


def _hat(builder: _Builder, who: Person) -> None:
    if who.hat == "none":
        return
    texture = builder.texture(textures.folds(textures.plain(who.hat_colour), who.number, 0.15))
    top = 1.535 + 0.235 * who.head
    crown = _rounded(_outline((0, 0.1), (1, 0.102)), 0.45) * np.float32(who.head)
    crown[SECTIONS // 2 :] = 0.1 * who.head
    low = 0.11 if who.hat == "beanie" else 0.085
    builder.add((0.0, top + 0.025, 0.0), (0.0, top - low, 0.0), crown, texture, nearer=0.14)
    if who.hat == "cap":
        builder.add(
            (0.0, top - low + 0.02, 0.05), (0.0, top - low - 0.012, 0.17), _ellipsoid(0.075),
            texture, depth=_ellipsoid(0.06), nearer=0.1, extend=0.012,
        )  # fmt: skip
    elif who.hat == "brim":
        builder.add(
            (0.0, top - low + 0.025, 0.0), (0.0, top - low - 0.025, 0.0), _ellipsoid(0.19), texture,
            nearer=0.15,
        )  # fmt: skip


def _bag(builder: _Builder, who: Person) -> None:
    if who.bag == "none":
        return
    texture = builder.texture(textures.bag_texture(who))
    strap = builder.texture(textures.plain(who.bag_colour))
    side = float(who.bag_side)
    box = _rounded(_outline((0, 1.0)), 0.14)
    thin = _outline((0, 0.016))
    out = side * 0.225 * max(who.hips, who.shoulders)
    match who.bag:
        case "backpack":
            builder.add(
                (0.0, 1.42, -0.17), (0.0, 0.98, -0.18), box * np.float32(0.145), texture,
                depth=box * np.float32(0.09), nearer=-0.01,
            )  # fmt: skip
        case "shoulder":
            builder.add(
                (out, 1.12, -0.02), (out * 1.08, 0.84, -0.02), box * np.float32(0.06), texture,
                depth=box * np.float32(0.15), nearer=0.09,
            )  # fmt: skip
            builder.add((out * 0.62, 1.46, 0.0), (out, 1.1, 0.05), thin, strap, nearer=0.12)
        case "crossbody":
            builder.add(
                (out * 0.9, 1.0, 0.03), (out * 0.92, 0.8, 0.03), box * np.float32(0.075), texture,
                depth=box * np.float32(0.12), nearer=0.09,
            )  # fmt: skip
        case "handbag":
            builder.add(
                (out * 1.12, 0.7, 0.04), (out * 1.14, 0.46, 0.04), box * np.float32(0.055), texture,
                depth=box * np.float32(0.13), nearer=0.05,
            )  # fmt: skip
            builder.add((out * 1.1, 0.82, 0.04), (out * 1.12, 0.68, 0.04), thin, strap, nearer=0.05)
