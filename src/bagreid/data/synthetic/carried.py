"""Hats and bags."""

from __future__ import annotations

import numpy as np

from bagreid.data.synthetic import textures
from bagreid.data.synthetic.people import Person
from bagreid.data.synthetic.solids import SECTIONS, Builder, ellipsoid, outline, rounded


def add_hat(builder: Builder, who: Person) -> None:
    """Adds the person's cap, beanie or brimmed hat, if any.

    Args:
        builder: Takes the parts.
        who: The person.
    """
    if who.hat == "none":
        return
    texture = builder.texture(textures.folds(textures.plain(who.hat_colour), who.number, 0.15))
    top = 1.535 + 0.235 * who.head
    crown = rounded(outline((0, 0.1), (1, 0.102)), 0.45) * np.float32(who.head)
    crown[SECTIONS // 2 :] = 0.1 * who.head
    low = 0.11 if who.hat == "beanie" else 0.085
    builder.add((0.0, top + 0.025, 0.0), (0.0, top - low, 0.0), crown, texture, nearer=0.14)
    if who.hat == "cap":
        builder.add(
            (0.0, top - low + 0.02, 0.05), (0.0, top - low - 0.012, 0.17), ellipsoid(0.075),
            texture, depth=ellipsoid(0.06), nearer=0.1, extend=0.012,
        )  # fmt: skip
    elif who.hat == "brim":
        builder.add(
            (0.0, top - low + 0.025, 0.0), (0.0, top - low - 0.025, 0.0), ellipsoid(0.19), texture,
            nearer=0.15,
        )  # fmt: skip


def add_bag(builder: Builder, who: Person) -> None:
    """Adds what the person carries; straps over the trunk are part of its texture.

    Args:
        builder: Takes the parts.
        who: The person.
    """
    if who.bag == "none":
        return
    texture = builder.texture(textures.bag_texture(who))
    strap = builder.texture(textures.plain(who.bag_colour))
    side = float(who.bag_side)
    box = rounded(outline((0, 1.0)), 0.14)
    thin = outline((0, 0.016))
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
