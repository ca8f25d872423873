"""What figures are made of: a handful of marks, which become SVG (for the page, for files) and PNG.

Coordinates are SVG units, y downwards. Colours are names of the palette, so that a figure on the
page follows its light or dark scheme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import ImageFont

TEXT_SIZE = 12.5
"""Height of a figure's letters, as in the charts of a run's report."""

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rect:
    """A filled rectangle; one of the tone ``none`` only answers the pointer.

    A crisp one ends at whole pixels, so that no seam shows between neighbours.
    """

    x: float
    y: float
    width: float
    height: float
    tone: str
    opacity: float = 1.0
    title: str = ""
    crisp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    tone: str
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Polyline:
    """A line through points; `dash` are lengths of strokes and gaps in turn, none for no gaps."""

    points: tuple[tuple[float, float], ...]
    tone: str
    width: float = 2.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A filled polygon that lets what is behind it shine through."""

    points: tuple[tuple[float, float], ...]
    tone: str
    opacity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """A dot, filled or a ring."""

    x: float
    y: float
    radius: float
    tone: str
    hollow: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A line of text; ``y`` is its baseline."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    tone: str = "soft"
    bold: bool = False
    size: float = TEXT_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """An image as a data URI, shown whole inside a frame; ``None`` is an empty frame."""

    x: float
    y: float
    width: float
    height: float
    uri: str | None
    alt: str


Mark = Rect | Segment | Polyline | Area | Disc | Label | Photo


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An entry of a legend; `dash` is that of a line."""

    name: str
    tone: str
    shape: Literal["square", "disc", "ring", "dash", "line"] = "square"
    opacity: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure ready to draw, and the table behind it.

    Attributes:
        name: Stem of its files.
        title: Its heading.
        note: What one sees, in a sentence or two.
        description: The figure in words, for those who cannot see it.
        width: Of the drawing.
        height: Of the drawing.
        marks: What is drawn, the lowest first.
        legend: What the colours mean; empty where one needs none.
        header: Names of the table's columns.
        rows: The table.
    """

    name: str
    title: str
    note: str
    description: str
    width: float
    height: float
    marks: Sequence[Mark]
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    legend: Sequence[Key] = field(default_factory=tuple)


def text_width(text: str, size: float = TEXT_SIZE, *, bold: bool = False) -> float:
    """How wide a text is in the widest of the fonts it may be shown in.

    Args:
        text: One line.
        size: Height of its letters.
        bold: Whether they are bold.

    Returns:
        Its width in SVG units.
    """
    return float(font(100, bold=bold).getlength(text)) * size / 100


@cache
def font(size: float, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: no machine need have it installed.

    Args:
        size: Height of its letters in pixels.
        bold: Whether they are bold.

    Returns:
        The font.
    """
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def wrap(text: str, width: float, size: float = TEXT_SIZE) -> list[str]:
    """Breaks a text into lines.

    Args:
        text: Words between spaces.
        width: What a line may take, in SVG units; a longer word stands alone.
        size: Height of its letters.

    Returns:
        The lines.
    """
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
