"""Figures as PNG, drawn by Pillow from the same marks as the SVG."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Sequence

from PIL import Image, ImageColor, ImageDraw

from bagreid.report.palette import LIGHT
from bagreid.report.statistics.marks import (
    Area,
    Disc,
    Figure,
    Label,
    Mark,
    Photo,
    Polyline,
    Rect,
    Segment,
    font,
)
from bagreid.report.statistics.svg import framed

SCALE = 3
"""Pixels of the PNG for a unit of the SVG: print's 288 an inch where the SVG has 96."""

PHOTO_SCALE = 2
"""The same where images are in it, which have no more pixels to show."""

_SMOOTH = 2
"""Drawn this much larger, then scaled down, which smooths every edge."""

_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
_DASH = (4.0, 3.0)
_Point = tuple[float, float]


def png_file(figure: Figure) -> bytes:
    """A figure as a file that stands by itself, on white.

    Args:
        figure: What to draw.

    Returns:
        The PNG.
    """
    whole = framed(figure)
    photos = any(isinstance(mark, Photo) for mark in figure.marks)
    scale = PHOTO_SCALE if photos else SCALE
    width, height = round(whole.width * scale), round(whole.height * scale)
    canvas = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), LIGHT["card"])
    painter = _Painter(canvas, scale * _SMOOTH)
    for mark in whole.marks:
        painter.paint(mark)
    small = canvas.reduce(_SMOOTH)
    out = io.BytesIO()
    small.save(out, "PNG")
    return out.getvalue()


class _Painter:
    """Puts marks on a canvas that has `scale` pixels for a unit."""

    def __init__(self, canvas: Image.Image, scale: float) -> None:
        self.canvas = canvas
        self.draw = ImageDraw.Draw(canvas)
        self.scale = scale

    def paint(self, mark: Mark) -> None:
        if isinstance(mark, Rect):
            self._rect(mark)
        elif isinstance(mark, Segment):
            self._segment(mark)
        elif isinstance(mark, Polyline):
            self._polyline(mark)
        elif isinstance(mark, Area):
            self._area(mark)
        elif isinstance(mark, Disc):
            self._disc(mark)
        elif isinstance(mark, Label):
            self._label(mark)
        else:
            self._photo(mark)

    def _rect(self, mark: Rect) -> None:
        if mark.tone == "none" or mark.width <= 0 or mark.height <= 0:
            return
        s = self.scale
        colour = _mixed(mark.tone, mark.opacity)
        # Pillow counts the last row and column in
        ends = ((mark.x + mark.width) * s - 1, (mark.y + mark.height) * s - 1)
        start = (mark.x * s, mark.y * s)
        self.draw.rectangle((*start, max(ends[0], start[0]), max(ends[1], start[1])), fill=colour)

    def _segment(self, mark: Segment) -> None:
        dx, dy = mark.x2 - mark.x1, mark.y2 - mark.y1
        length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
        on, off = _DASH if mark.dashed else (length, 0.0)
        at = 0.0
        while at < length:
            end = min(at + on, length)
            points = [
                ((mark.x1 + dx * t / length) * self.scale, (mark.y1 + dy * t / length) * self.scale)
                for t in (at, end)
            ]
            width = max(1, round(mark.width * self.scale))
            self.draw.line([*points[0], *points[1]], fill=LIGHT[mark.tone], width=width)
            at = end + off

    def _polyline(self, mark: Polyline) -> None:
        width = max(1, round(mark.width * self.scale))
        strokes = _strokes(mark.points, mark.dash) if mark.dash else [mark.points]
        for points in strokes:
            places = [(x * self.scale, y * self.scale) for x, y in points]
            self.draw.line(places, fill=LIGHT[mark.tone], width=width, joint="curve")

    def _area(self, mark: Area) -> None:
        mask = Image.new("L", self.canvas.size, 0)
        places = [(x * self.scale, y * self.scale) for x, y in mark.points]
        ImageDraw.Draw(mask).polygon(places, fill=round(255 * mark.opacity))
        self.canvas.paste(ImageColor.getrgb(LIGHT[mark.tone]), (0, 0), mask)

    def _disc(self, mark: Disc) -> None:
        s = self.scale
        edge = 1.0 if mark.hollow else 0.0  # SVG strokes both sides of the edge, Pillow inside it
        box = [
            (mark.x - mark.radius - edge) * s,
            (mark.y - mark.radius - edge) * s,
            (mark.x + mark.radius + edge) * s,
            (mark.y + mark.radius + edge) * s,
        ]
        fill = LIGHT["card"] if mark.hollow else LIGHT[mark.tone]
        self.draw.ellipse(box, fill=fill, outline=LIGHT[mark.tone], width=round(2 * s * edge) or 1)

    def _label(self, mark: Label) -> None:
        face = font(mark.size * self.scale, bold=mark.bold)
        place = (mark.x * self.scale, mark.y * self.scale)
        colour = LIGHT[mark.tone]
        self.draw.text(place, mark.text, fill=colour, font=face, anchor=_ANCHORS[mark.anchor])

    def _photo(self, mark: Photo) -> None:
        frame = Rect(x=mark.x, y=mark.y, width=mark.width, height=mark.height, tone="tint")
        self._rect(frame)
        if mark.uri is None:
            return
        data = base64.b64decode(mark.uri.partition(",")[2])
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
        s = self.scale
        grow = min(mark.width * s / image.width, mark.height * s / image.height)
        size = max(1, round(image.width * grow)), max(1, round(image.height * grow))
        left = round(mark.x * s + (mark.width * s - size[0]) / 2)
        top = round(mark.y * s + (mark.height * s - size[1]) / 2)
        self.canvas.paste(image.resize(size, Image.Resampling.BICUBIC), (left, top))


def _strokes(points: Sequence[_Point], dash: Sequence[float]) -> list[tuple[_Point, ...]]:
    """Cuts a line through points into dashes that go round its corners."""
    lengths = itertools.cycle(dash)
    strokes: list[list[_Point]] = [[points[0]]]
    drawn, left = True, next(lengths)
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        length, at = math.hypot(x2 - x1, y2 - y1), 0.0
        while length - at > left:
            at += left
            place = (x1 + (x2 - x1) * at / length, y1 + (y2 - y1) * at / length)
            if drawn:
                strokes[-1].append(place)
            else:
                strokes.append([place])
            drawn, left = not drawn, next(lengths)
        left -= length - at
        if drawn:
            strokes[-1].append((x2, y2))
    return [tuple(stroke) for stroke in strokes if len(stroke) > 1]


def _mixed(tone: str, opacity: float) -> tuple[int, ...]:
    """A colour over the paper of a file."""
    over, under = (ImageColor.getrgb(LIGHT[name]) for name in (tone, "card"))
    return tuple(round(opacity * a + (1 - opacity) * b) for a, b in zip(over, under, strict=True))
