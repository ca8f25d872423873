"""Cloth, skin and hair as wrapped textures: rows run along a body part, columns around it.

Column 0 faces forward, a quarter of the columns on is the person's left side, half is the back.
A part is drawn by looking its pixels up here, so that a print on the chest turns away with the
person.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bagreid.data.synthetic.draws import Colour, Floats, Packed
from bagreid.data.synthetic.people import Cloth, Person

ROWS = 64
COLUMNS = 128

_CREASES = 97
"""Ways in which cloth can be creased."""

Texture = Floats
"""``(ROWS, COLUMNS, 3)`` float32 in 0...255."""

ALONG: Floats = ((np.arange(ROWS) + 0.5) / ROWS).astype(np.float32)[:, None]
"""``(ROWS, 1)``: 0 at the upper end of a part, 1 at its lower end."""

AROUND: Floats = ((np.arange(COLUMNS, dtype=np.float32) + COLUMNS / 2) % COLUMNS - COLUMNS / 2)[
    None, :
] * np.float32(2 * np.pi / COLUMNS)
"""``(1, COLUMNS)``: angle from the front in radians, positive towards the person's left."""


def plain(colour: Colour) -> Texture:
    """One colour all over."""
    return np.broadcast_to(np.asarray(colour, np.float32), (ROWS, COLUMNS, 3)).copy()


def woven(cloth: Cloth, length: float, radius: float, *, start: float = 0.0) -> Texture:
    """A piece of cloth wrapped round a part.

    Args:
        cloth: Its pattern and colours.
        length: Length of the part in metres.
        radius: Its mean radius in metres: the pattern keeps its size on every part.
        start: Metres below the garment's top at which the part begins.

    Returns:
        The texture.
    """
    down = ALONG * np.float32(length) + np.float32(start)
    round_about = AROUND * np.float32(radius)
    share = _pattern(cloth, down, round_about)
    base, second = (np.asarray(c, np.float32) for c in (cloth.base, cloth.second))
    texture: Texture = base + np.broadcast_to(share, (ROWS, COLUMNS))[..., None] * (second - base)
    return texture


def _wave(position: Floats, cloth: Cloth, scale: float = 1.0) -> Floats:
    """Position within the repeat, 0...1."""
    shifted: Floats = position / np.float32(cloth.period * scale) + np.float32(cloth.offset)
    return shifted - np.floor(shifted)


def _pattern(cloth: Cloth, down: Floats, about: Floats) -> Floats:
    """Share of the second colour, broadcastable to ``(ROWS, COLUMNS)``."""
    one = np.float32(1.0)
    match cloth.kind:
        case "plain":
            share = np.zeros((1, 1), bool)
        case "hoops":
            share = _wave(down, cloth) < 0.45
        case "pinstripes":
            share = _wave(about, cloth, 0.8) < 0.38
        case "checks":
            lines = (_wave(down, cloth) < 0.4) * one + (_wave(about, cloth) < 0.4)
            return np.asarray(lines * np.float32(0.5), np.float32)
        case "dots":
            y, x = _wave(down, cloth, 0.9) - 0.5, _wave(about, cloth, 0.9) - 0.5
            share = y * y + x * x < 0.09
        case "diagonal":
            share = _wave(down + about, cloth) < 0.42
        case "block":
            share = down > np.float32(0.16 + 0.14 * cloth.offset)
        case "band":
            middle = np.float32(0.18 + 0.14 * cloth.offset)
            share = np.abs(down - middle) < 0.055
        case "camouflage":
            scale = np.float32(2.2 * np.pi / cloth.period)
            phase = np.float32(6.3 * cloth.offset)
            waves = np.sin(scale * down + 2.1 * np.sin(scale * 0.7 * about + phase))
            share = waves + np.sin(scale * 1.2 * about + 1.7 * np.sin(scale * 0.9 * down)) > 0.35
    return share * one


def folds(texture: Texture, seed: int, strength: float = 0.07) -> Texture:
    """Light and dark creases across a garment; they belong to the part, so they move with it."""
    shaded: Texture = texture * (1 + np.float32(strength) * _creases(seed % _CREASES))[..., None]
    return shaded


@lru_cache(maxsize=_CREASES)
def _creases(number: int) -> Floats:
    """Waves of height 1, ``(ROWS, COLUMNS)``."""
    phase = np.float32(number)
    slow = np.sin(9 * ALONG + 2 * np.sin(2 * AROUND + phase))
    waves: Floats = slow * np.sin(17 * ALONG + 3 * AROUND + phase)
    return waves


def torso_texture(person: Person, length: float, neck_height: float) -> Texture:
    """Neck to crotch: the upper garment, its front, print and straps, then what is below it."""
    texture = folds(woven(person.upper, length, 0.15), person.number)
    front = np.abs(AROUND)
    if person.upper_kind in {"open jacket", "coat"}:
        opening = np.broadcast_to(front < 0.24 + 0.2 * (1 - ALONG), (ROWS, COLUMNS))
        texture[opening] = person.inner
    elif person.upper_kind == "zipped":
        texture[np.broadcast_to(front < 0.1, (ROWS, COLUMNS))] = person.inner
    _print(texture, person)
    texture[(0.07 + 0.05 * np.cos(AROUND) > ALONG) & (front < 1.2)] = person.skin
    _straps(texture, person)
    hem_row = int(np.clip((neck_height - person.hem) / length, 0.0, 1.0) * ROWS)
    texture[hem_row:] = folds(woven(person.lower, length, 0.15), person.number)[hem_row:]
    texture[hem_row : hem_row + 2] *= 0.7
    return texture


def _print(texture: Texture, person: Person) -> None:
    """A square or round print on the chest or the back."""
    if person.print_place == "none":
        return
    centre = 0.0 if person.print_place == "front" else np.pi
    distance = np.abs(np.angle(np.exp(1j * (AROUND - centre))))
    if person.number % 2:
        place = (distance < 0.55) & (np.abs(ALONG - 0.36) < 0.12)
    else:
        place = (distance / 0.6) ** 2 + ((ALONG - 0.36) / 0.15) ** 2 < 1
    texture[place] = person.print_colour


def _straps(texture: Texture, person: Person) -> None:
    """What is worn over the garment: backpack straps, a belt across the chest."""
    dark = np.asarray(person.bag_colour, np.float32) * 0.8
    front = np.abs(AROUND)
    if person.bag == "backpack":
        texture[(np.abs(front - 0.72) < 0.14) & (ALONG < 0.62)] = dark
    elif person.bag == "crossbody":
        line = np.where(front < np.pi / 2, AROUND, np.sign(AROUND) * np.pi - AROUND)
        height = 0.45 + 0.27 * line * person.bag_side
        texture[np.abs(ALONG - height) < 0.055] = dark


def sleeve_texture(person: Person, length: float) -> Texture:
    """Shoulder to finger tips."""
    cloth = folds(woven(person.upper, length, 0.05, start=0.05), person.number + 1)
    if person.upper.kind in {"block", "band"}:
        cloth = folds(plain(person.upper.base), person.number + 1)
    if person.sleeve_colour is not None:
        cloth = folds(plain(person.sleeve_colour), person.number + 1)
    end = int(person.sleeve * 0.88 * ROWS)
    cloth[end:] = person.skin
    cloth[max(end - 2, 0) : end] *= 0.75
    return cloth


def leg_texture(person: Person, length: float) -> Texture:
    """Hip to ankle."""
    covered = {"trousers": 1.0, "shorts": 0.46, "cropped": 0.76, "skirt": 0.1, "long skirt": 0.1}
    texture = folds(woven(person.lower, length, 0.075), person.number + 2, 0.1)
    if person.side_stripe is not None:
        texture[:, np.abs(np.abs(AROUND[0]) - np.pi / 2) < 0.32] = person.side_stripe
    end = int(covered[person.lower_kind] * ROWS)
    texture[end:] = person.skin
    if end < ROWS:
        texture[max(end - 2, 0) : end] *= 0.75
    if person.boots:
        texture[int(0.8 * ROWS) :] = person.shoes
    return texture


def skirt_texture(person: Person, length: float) -> Texture:
    """Waist to hem, with pleats."""
    texture = woven(person.lower, length, 0.17)
    texture *= (1.0 + 0.1 * np.sin(12 * AROUND + person.number)).astype(np.float32)[..., None]
    texture[-2:] *= 0.8
    return texture


def tail_texture(person: Person, length: float) -> Texture:
    """The part of a long upper garment that hangs below the waist."""
    start = 0.5
    texture = folds(woven(person.upper, length, 0.16, start=start), person.number + 3, 0.1)
    if person.upper.kind in {"block", "band"}:
        share = person.upper.second if person.upper.kind == "block" else person.upper.base
        texture = folds(plain(share), person.number + 3, 0.1)
    if person.upper_kind == "coat":
        opening = np.abs(AROUND) < 0.1 + 0.25 * ALONG
        texture[opening] = np.asarray(person.lower.base, np.float32) * 0.8
    texture[-2:] *= 0.75
    return texture


def head_texture(person: Person) -> Texture:
    """Crown to chin: hair above the hair line and at the back, eyes and mouth in front."""
    texture = plain(person.skin)
    front = np.abs(AROUND)
    eyes = (np.abs(front - 0.42) < 0.15) & (np.abs(ALONG - 0.5) < 0.035)
    texture[eyes] = (44, 36, 34)
    texture[(np.abs(front - 0.42) < 0.2) & (np.abs(ALONG - 0.41) < 0.02)] *= 0.6
    texture[(front < 0.1) & (np.abs(ALONG - 0.6) < 0.06)] *= 0.88
    texture[(front < 0.28) & (np.abs(ALONG - 0.76) < 0.025)] *= np.float32(0.68)
    if person.hair_style != "bald":
        low = 0.3 + 0.55 / (1 + np.exp(-7.0 * (front - 1.45)))
        texture[low > ALONG] = person.hair
    return texture


def shoe_texture(person: Person) -> Texture:
    """Heel to toe, the sole on the under side."""
    texture = plain(person.shoes)
    texture[:, COLUMNS // 4 : COLUMNS // 2] = person.soles
    return texture


def bag_texture(person: Person) -> Texture:
    """A bag with a flap and a pocket."""
    texture = plain(person.bag_colour)
    texture[: int(0.3 * ROWS)] *= 0.82
    texture[(np.abs(ALONG - 0.68) < 0.02) & (np.abs(AROUND) < 9)] *= 0.6
    return texture


def stack(textures: list[Texture]) -> Packed:
    """``(T, ROWS, COLUMNS)`` packed colours, as the rasteriser reads them."""
    pixels = np.zeros((len(textures), ROWS, COLUMNS, 4), np.uint8)
    for place, texture in zip(pixels, textures, strict=True):
        place[..., :3] = np.minimum(texture, 255, out=texture)
    return pixels.view(np.uint32)[..., 0]
