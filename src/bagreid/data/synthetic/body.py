"""A person as parts: trunk, legs and arms in their garments, head and what is carried."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bagreid.data.synthetic import textures
from bagreid.data.synthetic.carried import add_bag, add_hat
from bagreid.data.synthetic.hair import add_head
from bagreid.data.synthetic.people import Person, person
from bagreid.data.synthetic.pose import ANKLE_HEIGHT, HIP_HEIGHT, NECK_HEIGHT, Joint
from bagreid.data.synthetic.solids import POSITION, Body, Builder, outline, rounded

CROTCH_HEIGHT = 0.84


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
    builder = Builder()
    _trunk(builder, who)
    _legs(builder, who)
    _arms(builder, who)
    add_head(builder, who)
    add_hat(builder, who)
    add_bag(builder, who)
    return builder.build()


def _trunk(builder: Builder, who: Person) -> None:
    girth = who.girth
    s, h = who.shoulders, who.hips
    belly = 0.5 + 0.5 * girth
    width = outline(
        (0.0, 0.05), (0.05, 0.075), (0.12, 0.15 * s), (0.18, 0.182 * s), (0.4, 0.165 * s * belly),
        (0.66, 0.14 * girth), (0.86, 0.163 * h * belly), (1.0, 0.15 * h * belly),
    )  # fmt: skip
    depth = outline(
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
    builder.add((0.0, 1.57, 0.01), (0.0, 1.45, 0.0), outline((0, 0.05)), skin, nearer=-0.01)
    if who.scarf is not None:
        scarf = builder.texture(textures.folds(textures.plain(who.scarf), who.number, 0.2))
        builder.add(
            (0.0, 1.54, 0.01), (0.0, 1.43, 0.01), rounded(outline((0, 0.095)), 0.4), scarf,
            nearer=0.03,
        )  # fmt: skip
    _hanging(builder, who)


def _hanging(builder: Builder, who: Person) -> None:
    """Skirt, and what of a long upper garment hangs below the waist."""
    hips = 0.165 * who.hips * (0.5 + 0.5 * who.girth)
    if who.lower_kind in {"skirt", "long skirt"}:
        hem = 0.52 if who.lower_kind == "skirt" else 0.17
        flare = hips + 0.02 + who.lower_width
        texture = builder.texture(textures.skirt_texture(who, 1.0 - hem))
        builder.add(
            (0.0, 1.0, 0.0), (0.0, hem, 0.0), outline((0, hips * 0.9), (0.25, hips), (1, flare)),
            texture, depth=outline((0, 0.11), (0.25, 0.125), (1, flare * 0.9)), nearer=0.06,
        )  # fmt: skip
    if who.hem < 0.85:
        texture = builder.texture(textures.tail_texture(who, 1.0 - who.hem))
        width = outline((0, hips * 0.98), (0.3, hips * 1.08), (1, hips * 1.2))
        builder.add(
            (0.0, 1.0, 0.0), (0.0, who.hem, 0.0), width, texture, depth=width * 0.78, nearer=0.07
        )


def _legs(builder: Builder, who: Person) -> None:
    texture = builder.texture(textures.leg_texture(who, HIP_HEIGHT - ANKLE_HEIGHT))
    shoe = builder.texture(textures.shoe_texture(who))
    girth = 0.4 + 0.6 * who.girth
    wide = who.lower_width if who.lower_kind in {"trousers", "cropped", "shorts"} else 0.0
    thigh = outline((0, 0.088 * girth), (1, 0.06 * girth))
    calf = outline((0, 0.06 * girth), (0.3, 0.058 * girth), (1, 0.04))
    bare = calf
    if who.lower_kind == "shorts":
        thigh = thigh + (POSITION < 0.86) * (wide * 0.7 + 0.008)
    elif who.lower_kind == "cropped":
        thigh = thigh + wide * 0.6
        calf = calf + (POSITION < 0.54) * (wide * 0.9 + 0.008)
    else:
        thigh, calf = thigh + wide * 0.5, calf + wide * (0.5 + 0.5 * POSITION)
    if who.boots:
        calf = np.where(POSITION > 0.6, bare + 0.016, calf)
    # What hangs in front of the legs hides them, however far they step.
    behind = -0.4 if who.hem < 0.7 or "skirt" in who.lower_kind else 0.0
    below = -0.4 if who.lower_kind == "long skirt" else 0.0
    for index in (0, 1):
        hip, knee, ankle = Joint.HIP + index, Joint.KNEE + index, Joint.ANKLE + index
        builder.add(
            Joint.HEEL + index, Joint.TOE + index, rounded(outline((0, 0.05), (1, 0.04)), 0.3),
            shoe, extend=0.04, nearer=-0.02,
        )  # fmt: skip
        builder.add(
            knee, ankle, rounded(calf, 0.1), texture, extend=0.04, rows=(0.5, 1.0), nearer=below
        )
        builder.add(
            hip,
            knee,
            rounded(thigh, 0.1),
            texture,
            extend=0.05,
            rows=(0.0, 0.52),
            nearer=0.01 + behind,
        )


def _arms(builder: Builder, who: Person) -> None:
    texture = builder.texture(textures.sleeve_texture(who, 0.65))
    girth = 0.45 + 0.55 * who.girth
    cloth = 0.012 if who.upper_kind in {"open jacket", "coat"} else 0.004
    upper = outline((0, 0.044 * girth), (0.4, 0.055 * girth), (1, 0.046)) + cloth
    fore = outline((0, 0.046), (0.65, 0.034), (0.72, 0.03), (0.85, 0.04), (1, 0.026)).copy()
    fore += cloth * (POSITION < 0.66)
    for index in (0, 1):
        shoulder, elbow, hand = (j + index for j in (Joint.SHOULDER, Joint.ELBOW, Joint.HAND))
        builder.add(
            elbow, hand, rounded(fore, 0.12), texture, extend=0.03, rows=(0.44, 1.0), nearer=0.05
        )
        builder.add(
            shoulder, elbow, rounded(upper, 0.16), texture, extend=0.035, rows=(0.0, 0.46),
            nearer=0.04,
        )  # fmt: skip
