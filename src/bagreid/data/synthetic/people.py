"""Who walks through a synthetic archive: the traits by which one person differs from another.

The palette is small on purpose. Many people share garment colours, so that colour alone says
little; cut, pattern, hair, hat, bag and build, and how they go together, say who it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from bagreid.data.synthetic.draws import Colour, Stream, choose, generator

PatternKind = Literal[
    "plain", "hoops", "pinstripes", "checks", "dots", "diagonal", "block", "band", "camouflage"
]
HairStyle = Literal["bald", "short", "curly", "bob", "long", "ponytail", "bun"]
HatKind = Literal["none", "cap", "beanie", "brim"]
BagKind = Literal["none", "backpack", "shoulder", "crossbody", "handbag"]
LowerKind = Literal["trousers", "shorts", "skirt", "long skirt", "cropped"]
UpperKind = Literal["top", "open jacket", "zipped", "coat"]

PALETTE: tuple[tuple[Colour, float], ...] = (
    ((36, 36, 40), 3.5),  # black
    ((116, 118, 122), 2.0),  # grey
    ((226, 224, 218), 3.0),  # white
    ((38, 50, 96), 2.5),  # navy
    ((84, 122, 172), 2.0),  # denim
    ((176, 42, 46), 2.0),  # red
    ((84, 100, 54), 1.5),  # olive
    ((192, 168, 128), 1.5),  # beige
    ((106, 70, 48), 1.5),  # brown
    ((214, 164, 52), 1.3),  # mustard
    ((40, 118, 108), 1.2),  # teal
    ((126, 64, 118), 1.0),  # plum
    ((214, 132, 148), 1.0),  # rose
)
"""Garment colours with how common they are."""

SKIN: tuple[tuple[Colour, float], ...] = (
    ((236, 200, 172), 1.0),
    ((222, 180, 148), 1.5),
    ((198, 150, 116), 1.5),
    ((150, 104, 76), 1.0),
    ((98, 66, 48), 1.0),
)
HAIR: tuple[tuple[Colour, float], ...] = (
    ((30, 26, 26), 4.0),
    ((66, 44, 32), 2.5),
    ((118, 80, 50), 1.5),
    ((196, 160, 104), 1.2),
    ((148, 66, 38), 0.6),
    ((168, 166, 164), 0.8),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloth:
    """One piece of cloth: two colours and how they alternate."""

    kind: PatternKind
    base: Colour
    second: Colour
    period: float
    """Length of one repeat in metres."""
    offset: float
    """Where the repeat starts, as a share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The traits of one person. Lengths in metres, ratios relative to an average adult."""

    number: int
    girth: float
    shoulders: float
    hips: float
    legs: float
    head: float
    stride: float
    skin: Colour
    hair_style: HairStyle
    hair: Colour
    hat: HatKind
    hat_colour: Colour
    upper_kind: UpperKind
    upper: Cloth
    inner: Colour
    sleeve: float
    """Share of the arm that is covered."""
    sleeve_colour: Colour | None
    """Where the sleeves differ from the body of the garment."""
    hem: float
    """Height above the ground at which the upper garment ends."""
    print_place: Literal["none", "front", "back"]
    print_colour: Colour
    lower_kind: LowerKind
    lower: Cloth
    lower_width: float
    side_stripe: Colour | None
    boots: bool
    shoes: Colour
    soles: Colour
    bag: BagKind
    bag_colour: Colour
    bag_side: int
    scarf: Colour | None


def _colour(rng: np.random.Generator, jitter: float = 8.0) -> Colour:
    return _jittered(rng, choose(rng, PALETTE), jitter)


def _jittered(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    red, green, blue = (
        min(max(value + shift, 8.0), 245.0)
        for value, shift in zip(colour, rng.normal(0.0, spread, 3).tolist(), strict=True)
    )
    return red, green, blue


def _second(rng: np.random.Generator, base: Colour) -> Colour:
    """A palette colour that stands out from ``base``."""
    while True:
        colour = _colour(rng)
        if sum(abs(a - b) for a, b in zip(colour, base, strict=True)) > 150:
            return colour


def _cloth(rng: np.random.Generator, kinds: tuple[tuple[PatternKind, float], ...]) -> Cloth:
    base = _colour(rng)
    return Cloth(
        kind=choose(rng, kinds),
        base=base,
        second=_second(rng, base),
        period=rng.uniform(0.07, 0.19),
        offset=rng.random(),
    )


_UPPER_PATTERNS: tuple[tuple[PatternKind, float], ...] = (
    ("plain", 3.0),
    ("hoops", 2.0),
    ("pinstripes", 1.2),
    ("checks", 1.6),
    ("dots", 1.2),
    ("diagonal", 0.8),
    ("block", 1.6),
    ("band", 1.4),
    ("camouflage", 0.8),
)
_LOWER_PATTERNS: tuple[tuple[PatternKind, float], ...] = (
    ("plain", 5.0),
    ("checks", 0.8),
    ("pinstripes", 0.6),
    ("camouflage", 0.6),
    ("dots", 0.3),
    ("hoops", 0.3),
)


def _build(rng: np.random.Generator) -> dict[str, float]:
    return {
        "girth": min(max(rng.normal(1.0, 0.16), 0.74), 1.5),
        "shoulders": rng.uniform(0.86, 1.14),
        "hips": rng.uniform(0.88, 1.16),
        "legs": rng.uniform(0.93, 1.07),
        "head": rng.uniform(0.92, 1.1),
        "stride": rng.uniform(0.75, 1.15),
    }


def _upper(rng: np.random.Generator) -> dict[str, object]:
    kind: UpperKind = choose(
        rng, (("top", 5.5), ("open jacket", 1.3), ("zipped", 1.6), ("coat", 1.6))
    )
    cloth = _cloth(rng, _UPPER_PATTERNS)
    sleeve = choose(rng, ((0.06, 1.0), (0.36, 3.0), (0.62, 0.8), (0.9, 3.5)))
    top_hem = choose(rng, ((1.02, 0.8), (0.94, 4.0), (0.8, 1.5)))
    return {
        "upper_kind": kind,
        "upper": cloth,
        "inner": _second(rng, cloth.base),
        "sleeve": sleeve if kind == "top" else 0.9,
        "sleeve_colour": cloth.second if rng.random() < 0.25 else None,
        "hem": rng.uniform(0.45, 0.68) if kind == "coat" else top_hem,
        "print_place": choose(rng, (("none", 8.0), ("front", 1.5), ("back", 1.0))),
        "print_colour": _second(rng, cloth.base),
    }


def _lower(rng: np.random.Generator) -> dict[str, object]:
    kind: LowerKind = choose(
        rng,
        (("trousers", 5.0), ("shorts", 1.8), ("skirt", 1.4), ("long skirt", 0.7), ("cropped", 1.2)),
    )
    cloth = _cloth(rng, _LOWER_PATTERNS)
    shoes = _colour(rng)
    return {
        "lower_kind": kind,
        "lower": cloth,
        "lower_width": choose(rng, ((0.0, 2.0), (0.018, 2.5), (0.05, 1.3))),
        "side_stripe": cloth.second if rng.random() < 0.15 else None,
        "boots": bool(rng.random() < 0.25),
        "shoes": shoes,
        "soles": _second(rng, shoes) if rng.random() < 0.5 else shoes,
    }


def _carried(rng: np.random.Generator) -> dict[str, object]:
    return {
        "hat": choose(rng, (("none", 7.0), ("cap", 1.4), ("beanie", 1.1), ("brim", 0.7))),
        "hat_colour": _colour(rng),
        "bag": choose(
            rng,
            (
                ("none", 3.0),
                ("backpack", 2.2),
                ("shoulder", 1.6),
                ("crossbody", 1.4),
                ("handbag", 1.2),
            ),
        ),
        "bag_colour": _colour(rng),
        "bag_side": 1 if rng.random() < 0.5 else -1,
        "scarf": _colour(rng) if rng.random() < 0.12 else None,
    }


@lru_cache(maxsize=64)
def person(seed: int, number: int) -> Person:
    """The person with that number.

    Args:
        seed: The archive's seed.
        number: 1, 2, … for the train people, then the test people, then the distractors.

    Returns:
        The same traits in every process.
    """
    rng = generator(seed, Stream.PERSON, number)
    traits: dict[str, object] = {
        "number": number,
        **_build(rng),
        "skin": _jittered(rng, choose(rng, SKIN), 6.0),
        "hair_style": choose(
            rng,
            (
                ("bald", 0.6),
                ("short", 3.5),
                ("curly", 1.0),
                ("bob", 1.4),
                ("long", 1.8),
                ("ponytail", 1.2),
                ("bun", 0.9),
            ),
        ),
        "hair": _jittered(rng, choose(rng, HAIR), 5.0),
        **_upper(rng),
        **_lower(rng),
        **_carried(rng),
    }
    return Person(**traits)  # type: ignore[arg-type]
