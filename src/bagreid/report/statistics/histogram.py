"""Histograms of whole numbers: bins of a round width, from zero on, stacked where there are kinds.

Shape letters: W bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bagreid.catalog.tally import Tally
from bagreid.contracts import IntArray
from bagreid.report.chart import HEIGHT, WIDTH, nice_ticks
from bagreid.report.statistics.axes import Axis, across, brief, count_axis, upwards, window
from bagreid.report.statistics.marks import (
    Figure,
    Key,
    Label,
    Mark,
    Rect,
    Segment,
    text_width,
)
from bagreid.report.wording import count

_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 18.0, 36.0, 42.0
_MOST_BINS = 75
_LONG_TAIL = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One layer of a stacked histogram."""

    name: str
    tally: Tally
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A published value, marked by a dashed line where it lies inside the axis."""

    value: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a histogram says.

    Attributes:
        name: Stem of its files.
        title: Its heading.
        note: What one sees.
        values: What runs to the right, with its unit: ``images in the bag``.
        things: What is counted, in the plural: ``bags``.
        thing: The same in the singular.
    """

    name: str
    title: str
    note: str
    values: str
    things: str
    thing: str


def histogram(
    words: Words,
    kinds: Sequence[Kind],
    *,
    reference: Reference | None = None,
    unit: int = 1,
    from_zero: bool = True,
    show: Callable[[float], str] = brief,
) -> Figure:
    """Lays out a histogram.

    Args:
        words: What it says.
        kinds: Its layers, the lowest first; together they hold at least one value.
        reference: A published value to compare with.
        unit: How much of the value one step of the axis is: 1,000 for kB.
        from_zero: Whether the axis of the values starts at 0, and not near the least of them.
        show: How a hover title spells an edge, already divided by `unit`.

    Returns:
        The figure; its table has a row a bin, also for what lies beyond the right edge.
    """
    whole = kinds[0].tally
    for kind in kinds[1:]:
        whole = whole + kind.tally
    edges = bin_edges(whole, unit, from_zero=from_zero)
    counts = [kind.tally.binned(edges * unit) for kind in kinds]
    beyond = len(whole) - int(sum(c.sum() for c in counts))
    x = edge_axis(edges, _LEFT, WIDTH - _RIGHT)
    y = count_axis(int(np.sum(counts, 0).max()), HEIGHT - _BOTTOM, _TOP, 4)
    marks: list[Mark] = [*upwards(y, _LEFT, WIDTH - _RIGHT, words.things)]
    marks += _bars(edges, counts, kinds, x, y)
    marks += across(x, HEIGHT - _BOTTOM, words.values)
    marks += _reference(reference, x, y, words.things)
    marks += _titles(edges, counts, kinds, x, y, words, show)
    return Figure(
        name=words.name,
        title=words.title,
        note=f"{words.note}{_tail(whole, beyond, words, unit)}",
        description=describe(words, whole, unit),
        width=WIDTH,
        height=HEIGHT,
        marks=marks,
        legend=[Key(name=k.name, tone=k.tone) for k in kinds] if len(kinds) > 1 else (),
        header=["from", "below", *(k.name if len(kinds) > 1 else words.things for k in kinds)],
        rows=_rows(edges * unit, counts, kinds, whole),
    )


def bin_edges(tally: Tally, unit: int = 1, *, from_zero: bool = True) -> IntArray:
    """Edges of bins of a round width, to where nearly all values end.

    A tail that would squeeze the rest into a corner is cut off; the figure says so.

    Args:
        tally: At least one value.
        unit: What the edges are multiples of.
        from_zero: Whether the first edge is 0.

    Returns:
        `(W+1,)` int64 in units, at most `_MOST_BINS` bins.
    """
    most = tally.most
    near = tally.quantile(0.995)
    if most > _LONG_TAIL * near:
        most = max(near, 1)
    low, high = 0.0, most / unit * 1.05
    if not from_zero:
        low, high = window(tally.least / unit, most / unit)
    raw = max(high - low, 1.0) / _MOST_BINS
    power = 10 ** max(math.floor(math.log10(raw)), 0)
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw)
    edges: IntArray = np.arange(int(low // step), int(high // step) + 2, dtype=np.int64) * step
    return edges


def edge_axis(edges: IntArray, start: float, end: float) -> Axis:
    """The axis below bins, with round marks inside it.

    Args:
        edges: `(W+1,)` ascending.
        start: Where it starts, in SVG units.
        end: Where it ends.

    Returns:
        A linear axis from the first edge to the last.
    """
    low, high = float(edges[0]), float(edges[-1])
    ticks = [tick for tick in nice_ticks(low, high, 5) if low <= tick <= high]
    whole = [tick for tick in ticks if tick == int(tick)]
    return Axis(low=low, high=high, start=start, end=end, ticks=tuple(whole))


def _bars(
    edges: IntArray, counts: Sequence[IntArray], kinds: Sequence[Kind], x: Axis, y: Axis
) -> list[Mark]:
    marks: list[Mark] = []
    gap = 1.0 if x.at(float(edges[1])) - x.start >= 5 else 0.0
    base = np.zeros(len(edges) - 1, np.int64)
    for kind, counted in zip(kinds, counts, strict=True):
        for place in np.flatnonzero(counted).tolist():
            left, right = x.at(float(edges[place])), x.at(float(edges[place + 1]))
            low, high = y.at(float(base[place])), y.at(float(base[place] + counted[place]))
            marks.append(
                Rect(
                    x=left + gap / 2,
                    y=high,
                    width=right - left - gap,
                    height=low - high,
                    tone=kind.tone,
                )
            )
        base = base + counted
    return marks


def _titles(
    edges: IntArray,
    counts: Sequence[IntArray],
    kinds: Sequence[Kind],
    x: Axis,
    y: Axis,
    words: Words,
    show: Callable[[float], str],
) -> list[Mark]:
    """A column over the whole height that answers the pointer, wherever anything is counted."""
    marks: list[Mark] = []
    total = np.sum(counts, 0)
    for place in np.flatnonzero(total).tolist():
        left, right = float(edges[place]), float(edges[place + 1])
        span = show(left) if right - left == 1 else f"{show(left)} to below {show(right)}"
        title = f"{span} {words.values}: {count(int(total[place]), words.thing, words.things)}"
        if len(kinds) > 1:
            parts = [f"{k.name} {count(int(c[place]))}" for k, c in zip(kinds, counts, strict=True)]
            title += f" ({', '.join(parts)})"
        width, height = x.at(right) - x.at(left), y.start - y.end
        marks.append(
            Rect(x=x.at(left), y=y.end, width=width, height=height, tone="none", title=title)
        )
    return marks


def _reference(reference: Reference | None, x: Axis, y: Axis, things: str) -> list[Mark]:
    if reference is None or not x.low <= reference.value <= x.high:
        return []
    at = x.at(reference.value)
    wide = text_width(reference.text)
    # The axis title stands above the axis on the left: the text keeps off it, and inside.
    start = max(at - wide / 2, x.start + text_width(things) + 14)
    start = min(start, x.end - wide)
    return [
        Segment(x1=at, x2=at, y1=y.end - 5, y2=y.start, tone="ink", width=1.25, dashed=True),
        Label(x=start, y=y.end - 10, text=reference.text, tone="ink"),
    ]


def _tail(whole: Tally, beyond: int, words: Words, unit: int) -> str:
    if not beyond:
        return ""
    verb = "lies" if beyond == 1 else "lie"
    return (
        f" {count(beyond, words.thing, words.things).capitalize()} {verb} beyond the right edge, "
        f"up to {count(whole.most // unit)}."
    )


def describe(words: Words, whole: Tally, unit: int = 1) -> str:
    """A distribution in words.

    Args:
        words: What its figure says.
        whole: The values.
        unit: What to divide them by.

    Returns:
        A sentence with median and extremes.
    """
    least, middle, most = (count(v // unit) for v in (whole.least, whole.quantile(0.5), whole.most))
    return (
        f"Histogram, {words.title}: {count(len(whole), words.thing, words.things)}, from {least} "
        f"to {most} {words.values}, median {middle}."
    )


def _rows(
    edges: IntArray, counts: Sequence[IntArray], kinds: Sequence[Kind], whole: Tally
) -> list[list[object]]:
    rows: list[list[object]] = [
        [int(edges[place]), int(edges[place + 1]), *(int(c[place]) for c in counts)]
        for place in range(len(edges) - 1)
    ]
    if whole.most >= edges[-1]:
        left = [len(k.tally) - int(c.sum()) for k, c in zip(kinds, counts, strict=True)]
        rows.append([int(edges[-1]), whole.most + 1, *left])
    return rows
