"""Heads and hair."""

from __future__ import annotations

import numpy as np

from bagreid.data.synthetic import textures
from bagreid.data.synthetic.people import Person
from bagreid.data.synthetic.solids import Builder, ellipsoid, outline, rounded


def add_head(builder: Builder, who: Person) -> None:
    """Adds the head, and the hair that stands out from it.

    Args:
        builder: Takes the parts.
        who: The person.
    """
    size = who.head
    texture = builder.texture(textures.head_texture(who))
    head = rounded(outline((0, 0.083), (0.55, 0.083), (1, 0.066)), 0.46) * np.float32(size)
    top, chin = 1.535 + 0.235 * size, 1.525
    builder.add((0.0, top, 0.02), (0.0, chin, 0.03), head, texture, depth=head * 1.16, nearer=0.06)
    if who.hair_style == "bald":
        return
    hair = builder.texture(textures.folds(textures.plain(who.hair), who.number, 0.12))
    if who.hair_style == "curly":
        builder.add((0.0, top + 0.05, -0.01), (0.0, 1.56, -0.05), ellipsoid(0.13 * size), hair)
        builder.add(
            (0.0, top + 0.06, 0.0), (0.0, top - 0.07, 0.0), ellipsoid(0.115 * size), hair,
            nearer=0.12,
        )  # fmt: skip
        return
    back = ellipsoid(0.09 * size)
    builder.add((0.0, top + 0.012, -0.015), (0.0, 1.55, -0.035), back, hair, nearer=0.02)
    if who.hair_style in {"bob", "long"}:
        low = 1.46 if who.hair_style == "bob" else 1.24
        fall = rounded(outline((0, 0.09), (0.5, 0.105), (1, 0.09)), 0.3) * np.float32(size)
        builder.add(
            (0.0, top - 0.02, -0.05), (0.0, low, -0.085), fall, hair, depth=fall * 0.65,
        )  # fmt: skip
    elif who.hair_style == "ponytail":
        tail = rounded(outline((0, 0.03), (0.4, 0.045), (1, 0.02)), 0.2)
        builder.add((0.0, top - 0.05, -0.12), (0.0, 1.36, -0.17), tail, hair, nearer=-0.02)
    elif who.hair_style == "bun":
        builder.add((0.0, top + 0.055, -0.09), (0.0, top - 0.05, -0.1), ellipsoid(0.055), hair)
