"""A contact sheet: a row for each person, a column for each view."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bagreid.data.synthetic import layout
from bagreid.data.synthetic.cameras import GALLERY_CAMERA, QUERY_CAMERA
from bagreid.data.synthetic.config import SyntheticConfig
from bagreid.data.synthetic.shots import Shot, render
from bagreid.files import write_beside

PEOPLE = 8
"""Rows of the sheet."""

_COLUMNS = (("train tracks", 0, 6), ("query", QUERY_CAMERA, 2), ("gallery", GALLERY_CAMERA, 2))
"""Headings, which side of the test they show, and the number of columns."""

_EDGE = 88
_TALL = 180
_GAP = 4
_HEADING = 26


def write_contact_sheet(path: Path, config: SyntheticConfig) -> None:
    """Draws the archive's first people as its cameras see them.

    Args:
        path: A ``.png`` or ``.jpg`` file.
        config: Gives the seed and the places.
    """
    sheet = contact_sheet(config)
    kind = "PNG" if path.suffix == ".png" else "JPEG"
    if kind == "PNG":
        # A palette of 256 colours: a third of the bytes, and no difference to the eye.
        sheet = sheet.quantize(256, method=Image.Quantize.MEDIANCUT)
    with write_beside(path) as file:
        sheet.save(file, kind, optimize=True)


def contact_sheet(config: SyntheticConfig) -> Image.Image:
    """The sheet as an RGB image.

    Args:
        config: Gives the seed and the places.

    Returns:
        ``PEOPLE`` rows of pictures below a line of headings.
    """
    columns = sum(count for _, _, count in _COLUMNS)
    gaps = (len(_COLUMNS) - 1) * 3 * _GAP
    size = (columns * (_EDGE + _GAP) + gaps + _GAP, PEOPLE * (_TALL + _GAP) + _HEADING)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    x = _GAP
    for heading, side, count in _COLUMNS:
        pen.text((x, 4), heading, fill=(60, 60, 60), font=font)
        for column in range(count):
            for row in range(PEOPLE):
                picture = _picture(config, row + 1, side, column)
                sheet.paste(picture, (x, _HEADING + row * (_TALL + _GAP)))
            x += _EDGE + _GAP
        x += 3 * _GAP
    return sheet


def _picture(config: SyntheticConfig, person: int, side: int, column: int) -> Image.Image:
    place = (
        layout.test_place(config, side, column + person)
        if side
        else ((5 * column + 7 * person) % config.cameras)
    )
    # Tracks that no folder has, so that the sheet's views are its own.
    shot = Shot(
        person=person, place=place, side=side, track=(0, 100 + side, person, column), frame=column
    )
    jpeg = render(config.seed, shot, _EDGE)
    return Image.open(io.BytesIO(jpeg)).resize((_EDGE, _TALL), Image.Resampling.LANCZOS)
