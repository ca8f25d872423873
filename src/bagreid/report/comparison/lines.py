"""Shares as lines, each in the band of its interval, over ranks or over sizes of the gallery.

Shape letters: L points of a line.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bagreid.contracts import FloatArray, IntArray
from bagreid.report.chart import HEIGHT, WIDTH, nice_ticks, spread
from bagreid.report.statistics.axes import Axis, across
from bagreid.report.statistics.marks import (
    Area,
    Figure,
    Key,
    Label,
    Mark,
    Polyline,
    Rect,
    Segment,
    text_width,
)
from bagreid.report.wording import NO_BREAK, count, percent

TONES = ("s0", "s1", "s2", "s3", "s4", "s5")
"""Colours of methods, in order, as in the charts and tables of a page."""

_DASHES = ((), (7.0, 4.0), (2.0, 4.0), (9.0, 4.0, 2.0, 4.0), (4.0, 3.0), (12.0, 4.0))
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 52.0, 12.0, 42.0
_BAND = 0.15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShareLine:
    """One line.

    Attributes:
        name: What the legend calls it.
        number: Of its colour and dash pattern.
        x: ``(L,)`` int64 ascending, at least 1.
        share: ``(L,)`` float64 fractions.
        band: ``(L, 2)`` float64 interval of each.
    """

    name: str
    number: int
    x: IntArray
    share: FloatArray
    band: FloatArray

    @property
    def tone(self) -> str:
        """Its colour."""
        return TONES[self.number % len(TONES)]

    @property
    def dash(self) -> tuple[float, ...]:
        """Its dash pattern."""
        return _DASHES[self.number % len(_DASHES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineWords:
    """What a figure of lines says.

    Attributes:
        name: Stem of its files.
        title: Its heading.
        note: What one sees.
        x: What runs to the right.
        at: How a place is called when pointed at, with ``{}`` for the number.
    """

    name: str
    title: str
    note: str
    x: str
    at: str


def share_lines(
    words: LineWords,
    lines: Sequence[ShareLine],
    *,
    logarithmic: bool = False,
    ticks: Sequence[int] | None = None,
) -> Figure:
    """Lays out lines with their bands.

    Args:
        words: What it says.
        lines: The lines, the most important first; each has two points or more.
        logarithmic: Whether equal steps to the right are equal factors.
        ticks: Where to mark the x axis; powers of ten, or round numbers, where left out.

    Returns:
        The figure; its table has a row a point of each line.
    """
    x = _x_axis(lines, logarithmic, ticks)
    y = _share_axis(max(float(line.band.max()) for line in lines))
    marks: list[Mark] = [*_grid(y), *across(x, HEIGHT - _BOTTOM, words.x)]
    marks += [
        Area(points=_outline(line, x, y), tone=line.tone, opacity=_BAND) for line in lines[::-1]
    ]
    for line in lines[::-1]:
        points = zip(line.x.tolist(), line.share.tolist(), strict=True)
        places = tuple((x.at(a), y.at(b)) for a, b in points)
        marks.append(Polyline(points=places, tone=line.tone, dash=line.dash))
    marks += _ends(lines, y)
    marks += _pointed_at(lines, words, x)
    return Figure(
        name=words.name,
        title=words.title,
        note=words.note,
        description=_describe(words, lines),
        width=WIDTH,
        height=HEIGHT,
        marks=marks,
        legend=[Key(name=n.name, tone=n.tone, shape="line", dash=n.dash) for n in lines],
        header=["line", words.x, "share", "low", "high"],
        rows=[
            [line.name, at, share, *ends]
            for line in lines
            for at, share, ends in zip(
                line.x.tolist(), line.share.tolist(), line.band.tolist(), strict=True
            )
        ],
    )


def _x_axis(lines: Sequence[ShareLine], logarithmic: bool, ticks: Sequence[int] | None) -> Axis:
    low = min(int(line.x[0]) for line in lines)
    high = max(int(line.x[-1]) for line in lines)
    if ticks is None and logarithmic:
        ticks = [10**power for power in range(len(str(high))) if low <= 10**power <= high]
    if ticks is None:
        ticks = [int(tick) for tick in nice_ticks(low, high, 5) if low <= tick <= high]
    if len(ticks) < 2:
        ticks = [low, high]
    return Axis(
        low=low,
        high=high,
        start=_LEFT,
        end=WIDTH - _RIGHT,
        ticks=tuple(float(tick) for tick in ticks if low <= tick <= high),
        logarithmic=logarithmic,
    )


def _share_axis(most: float) -> Axis:
    ticks = nice_ticks(0.0, min(max(most, 0.05), 1.0), 5)
    return Axis(low=0.0, high=ticks[-1], start=HEIGHT - _BOTTOM, end=_TOP, ticks=tuple(ticks))


def _grid(y: Axis) -> list[Mark]:
    marks: list[Mark] = []
    for tick in y.ticks:
        at = y.at(tick)
        marks.append(Segment(x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, tone="rule"))
        text = f"{100 * tick:g}{NO_BREAK}%"
        marks.append(Label(x=_LEFT - 7, y=at + 4, text=text, anchor="end"))
    return marks


def _outline(line: ShareLine, x: Axis, y: Axis) -> tuple[tuple[float, float], ...]:
    """Along the upper end of the band and back along the lower."""
    places = [x.at(value) for value in line.x.tolist()]
    upper = [y.at(value) for value in line.band[:, 1].tolist()]
    lower = [y.at(value) for value in line.band[:, 0].tolist()]
    there = zip(places, upper, strict=True)
    return (*there, *zip(reversed(places), reversed(lower), strict=True))


def _ends(lines: Sequence[ShareLine], y: Axis) -> list[Mark]:
    """The last value of each line at the right edge, moved apart where they would touch."""
    heights = spread([y.at(float(line.share[-1])) for line in lines])
    return [
        Label(
            x=WIDTH - _RIGHT + 5,
            y=max(height + 4, _TOP + 4),
            text=f"{percent(float(line.share[-1]))}{NO_BREAK}%",
            tone=line.tone,
            bold=True,
        )
        for line, height in zip(lines, heights, strict=True)
    ]


def _pointed_at(lines: Sequence[ShareLine], words: LineWords, x: Axis) -> list[Mark]:
    """A strip over the whole height for each place, which tells every line's value there."""
    places = np.unique(np.concatenate([line.x for line in lines])).tolist()
    centres = [x.at(place) for place in places]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(centres)]
    edges = [x.start, *middles, x.end]
    marks: list[Mark] = []
    for number, place in enumerate(places):
        told = []
        for line in lines:
            at = int(np.searchsorted(line.x, place))
            if at < len(line.x) and line.x[at] == place:
                low, high = (percent(end) for end in line.band[at].tolist())
                share = percent(float(line.share[at]))
                told.append(f"{line.name} {share}{NO_BREAK}% ({low}\u2013{high})")
        title = f"{words.at.format(count(place))}: {', '.join(told)}"
        wide = edges[number + 1] - edges[number]
        strip = Rect(
            x=edges[number],
            y=_TOP,
            width=wide,
            height=HEIGHT - _BOTTOM - _TOP,
            tone="none",
            title=title,
        )
        marks.append(strip)
    return marks


def _describe(words: LineWords, lines: Sequence[ShareLine]) -> str:
    parts = [
        f"{line.name} goes from {percent(float(line.share[0]))}{NO_BREAK}% at "
        f"{count(int(line.x[0]))} to {percent(float(line.share[-1]))}{NO_BREAK}% at "
        f"{count(int(line.x[-1]))}"
        for line in lines
    ]
    return f"Line chart, {words.title}: {'; '.join(parts)}."


def shorten(text: str, width: float) -> str:
    """Cuts a name that would be too wide, with an ellipsis.

    Args:
        text: The name.
        width: What it may take, in SVG units; letters may be a sixth larger.

    Returns:
        The name, or its beginning.
    """
    if text_width(text) * 1.16 <= width:
        return text
    kept = next(
        (n for n in range(len(text) - 1, 0, -1) if text_width(text[:n] + "…") * 1.16 <= width), 1
    )
    return text[:kept].rstrip() + "…"
