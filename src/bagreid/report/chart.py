"""Line charts as inline SVG: this module lays them out, ``chart.svg.j2`` draws them.

Colours are classes (``s0``, ``s1`` …) that the page's style sheet maps to its light and dark
palette, each with a dash pattern of its own. Every point carries its value as a hover title, so
the page needs no script.

Shape letters: L points of a line.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bagreid.report.log import Curve
from bagreid.report.wording import MINUS, NO_BREAK, number

WIDTH, HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 50, 12, 40
_MOST_POINTS = 64
_LABEL_GAP = 14.0
_MARKED_POINTS = 14
_TINY = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line.

    Attributes:
        name: What the legend calls it.
        curve: Its points.
        colour: Number of its colour and dash pattern.
    """

    name: str
    curve: Curve
    colour: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where (SVG units), and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a line: where (SVG units), and its hover title."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line ready to draw.

    Attributes:
        colour: Number of its colour and dash pattern.
        points: The ``points`` of its polyline.
        dots: Its points, with titles.
        marked: Whether the points are drawn (a short line) or only answer the pointer.
        end: Its last value, at the right edge.
    """

    colour: int
    points: str
    dots: tuple[Dot, ...]
    marked: bool
    end: Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart ready to draw.

    Attributes:
        title: Its heading.
        note: What one sees, in a sentence.
        x_label: What runs to the right.
        description: The chart in words, for those who cannot see it.
        x_ticks: Marks below.
        y_ticks: Marks on the left.
        lines: Its lines, the first drawn on top.
        legend: Name and colour number of each line; empty when one line needs none.
    """

    title: str
    note: str
    x_label: str
    description: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    legend: tuple[tuple[str, int], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers that enclose a range.

    Args:
        low: Least value to cover.
        high: Greatest value to cover.
        count: About how many steps.

    Returns:
        Multiples of 1, 2 or 5 times a power of ten, the first ≤ ``low``, the last ≥ ``high``.
    """
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * size or size < _TINY:
        room = size / 2 if size >= _TINY else 0.5
        low, high = low - room, high + room
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    digits = 1 - math.floor(math.log10(step))
    return [round(index * step, digits) for index in range(first, last + 1)]


def thin(curve: Curve, most: int = _MOST_POINTS) -> Curve:
    """Averages neighbouring points until at most ``most`` are left.

    Args:
        curve: The curve.
        most: How many points to keep at most.

    Returns:
        Means over equal runs of points, a shorter first run left out; a run stands at its last
        step.
    """
    if curve.step.size <= most:
        return curve
    width = -(-curve.step.size // most)
    runs = [range(stop - width, stop) for stop in range(curve.step.size, width - 1, -width)][::-1]
    return Curve(
        np.array([curve.step[run[-1]] for run in runs], np.int64),
        np.array([curve.value[run.start : run.stop].mean() for run in runs], np.float64),
    )


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    note: str,
    x_label: str,
    shares: bool = False,
) -> Chart:
    """Lays out a line chart.

    Args:
        title: Its heading.
        series: The lines, the most important first; none may be empty.
        note: What one sees, in a sentence.
        x_label: What runs to the right.
        shares: Whether the values are fractions, to be shown in percent, from 0 on or from 50
            where all lie above.

    Returns:
        The chart, ready for its template.
    """
    thinned = [Series(name=s.name, curve=thin(s.curve), colour=s.colour) for s in series]
    show = _share if shares else number
    xs = np.concatenate([s.curve.step for s in thinned])
    ys = np.concatenate([s.curve.value for s in thinned])
    low, high = float(ys.min()), float(ys.max())
    if shares:
        low, high = (0.5 if low > 0.5 else 0.0), min(max(high, 0.05), 1.0)
    marks = nice_ticks(low, high, 5)
    ends = (0.0, float(max(xs.max(), 1)))
    x_of = _scale(ends, (_LEFT, WIDTH - _RIGHT))
    y_of = _scale((marks[0], marks[-1]), (HEIGHT - _BOTTOM, _TOP))
    steps = [int(x) for x in nice_ticks(*ends, 5) if ends[0] <= x <= ends[1]]
    single = len(thinned) == 1
    return Chart(
        title=title,
        note=note,
        x_label=x_label,
        description=_describe(title, thinned, show),
        x_ticks=tuple(Tick(x_of(x), f"{x:,}") for x in dict.fromkeys(steps)),
        y_ticks=tuple(Tick(y_of(y), _tick_text(y, shares=shares)) for y in marks),
        lines=_lines(thinned, x_of, y_of, show, x_label),
        legend=() if single else tuple((s.name, s.colour) for s in thinned),
    )


def _scale(domain: tuple[float, float], place: tuple[float, float]) -> Callable[[float], float]:
    def at(value: float) -> float:
        share = (value - domain[0]) / (domain[1] - domain[0])
        return round(place[0] + share * (place[1] - place[0]), 2)

    return at


def _lines(
    series: Sequence[Series],
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
    show: Callable[[float], str],
    x_label: str,
) -> tuple[Line, ...]:
    unit = x_label.split(" \u00b7 ")[0]
    labels = spread([y_of(float(s.curve.value[-1])) for s in series])
    lines = []
    for s, label in zip(series, labels, strict=True):
        dots = tuple(
            Dot(x_of(x), y_of(y), f"{s.name}, {unit} {x:,}: {show(y)}")
            for x, y in zip(s.curve.step.tolist(), s.curve.value.tolist(), strict=True)
        )
        lines.append(
            Line(
                colour=s.colour,
                points=" ".join(f"{dot.x:g},{dot.y:g}" for dot in dots),
                dots=dots,
                marked=len(dots) <= _MARKED_POINTS,
                end=Tick(label, show(float(s.curve.value[-1]))),
            )
        )
    return tuple(lines)


def spread(heights: Sequence[float]) -> list[float]:
    """Moves the labels at the lines' ends apart, upwards where the bottom is reached.

    Args:
        heights: Where each line ends, in SVG units.

    Returns:
        Where each label goes.
    """
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    placed = list(heights)
    for above, below in itertools.pairwise(order):
        placed[below] = max(placed[below], placed[above] + _LABEL_GAP)
    limit = float(HEIGHT - _BOTTOM)
    for place in reversed(order):
        placed[place] = min(placed[place], limit)
        limit = placed[place] - _LABEL_GAP
    return placed


def _describe(title: str, series: Sequence[Series], show: Callable[[float], str]) -> str:
    parts = [
        f"{s.name} goes from {show(float(s.curve.value[0]))} to {show(float(s.curve.value[-1]))}"
        for s in series
    ]
    return f"Line chart, {title}: {'; '.join(parts)}."


def _share(value: float) -> str:
    return f"{100 * value:.1f}{NO_BREAK}%"


def _tick_text(value: float, *, shares: bool) -> str:
    if shares:
        return f"{100 * value:g}{NO_BREAK}%"
    if value != 0 and abs(value) < 1e-3:
        return number(value)
    text = f"{abs(value):,.4f}".rstrip("0").rstrip(".")
    return f"{MINUS}{text}" if value < 0 else text
