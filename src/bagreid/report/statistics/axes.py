"""Axes from round numbers: where a value stands, where to mark, how to spell it briefly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bagreid.report.chart import nice_ticks
from bagreid.report.statistics.marks import Label, Mark, Segment, text_width
from bagreid.report.wording import NO_BREAK


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A straight axis, linear or logarithmic.

    Attributes:
        low: Value at its start.
        high: Value at its end.
        start: Where it starts, in SVG units.
        end: Where it ends.
        ticks: Values to mark.
        logarithmic: Whether equal steps are equal factors.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Where a value stands, in SVG units."""
        low, high, value = (
            (math.log10(v) for v in (self.low, self.high, value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def count_axis(most: float, start: float, end: float, steps: int = 5) -> Axis:
    """An axis of counts, from 0 to a round number.

    Args:
        most: Largest value to cover.
        start: Where it starts, in SVG units.
        end: Where it ends.
        steps: About how many marks.

    Returns:
        A linear axis that marks whole numbers only.
    """
    ticks = nice_ticks(0, max(most, 1), steps)
    if ticks[1] < 1:
        ticks = [float(n) for n in range(math.ceil(max(most, 1)) + 1)]
    return Axis(low=0, high=ticks[-1], start=start, end=end, ticks=tuple(ticks))


def power_axis(least: int, most: int, start: float, end: float) -> Axis:
    """A logarithmic axis between powers of ten.

    Args:
        least: Smallest value to cover, above 0.
        most: Largest value to cover.
        start: Where it starts, in SVG units.
        end: Where it ends.

    Returns:
        The axis.
    """
    first = len(str(least)) - 1
    last = max(len(str(most - 1)), first + 1)
    ticks = tuple(10.0**power for power in range(first, last + 1))
    return Axis(low=ticks[0], high=ticks[-1], start=start, end=end, ticks=ticks, logarithmic=True)


def brief(value: float) -> str:
    """A number for an axis: ``2,500``, ``40 k``, ``1.5 M``."""
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= least:
            return f"{value / unit:,g}{NO_BREAK}{letter}"
    return f"{value:,g}"


def every(values: Sequence[float], room: float) -> int:
    """How many evenly spaced values share one number, so that no two numbers touch.

    Args:
        values: What would be spelled.
        room: Distance of neighbours, in SVG units.

    Returns:
        1 where each can have its own; letters may be a sixth larger, as on narrow screens.
    """
    widest = max(text_width(brief(value)) for value in values) * 1.16 + 8
    return max(1, math.ceil(widest / room))


def window(least: float, most: float) -> tuple[float, float]:
    """The stretch of an axis that shows some values well without a zero.

    Args:
        least: The smallest value.
        most: The largest value, at least `least`.

    Returns:
        Its ends: a tenth of air on both sides, and never less than a third of `most`.
    """
    span = max(1.2 * (most - least), most / 3, 1.0)
    middle = (least + most) / 2
    return max(0.0, middle - span / 2), middle + span / 2


def across(axis: Axis, y: float, title: str) -> list[Mark]:
    """The marks of a horizontal axis.

    Args:
        axis: What it shows.
        y: Where it lies.
        title: What runs to the right.

    Returns:
        Line, ticks, numbers, and the title below them.
    """
    marks: list[Mark] = [Segment(x1=axis.start, x2=axis.end, y1=y, y2=y, tone="faint")]
    named = every(axis.ticks, abs(axis.at(axis.ticks[-1]) - axis.at(axis.ticks[-2])))
    for place, tick in enumerate(axis.ticks):
        x = axis.at(tick)
        marks.append(Segment(x1=x, x2=x, y1=y, y2=y + 4, tone="faint"))
        if place % named == 0:
            marks.append(Label(x=x, y=y + 18, text=brief(tick), anchor="middle"))
    middle = (axis.start + axis.end) / 2
    return [*marks, Label(x=middle, y=y + 36, text=title, anchor="middle")]


def upwards(axis: Axis, left: float, right: float, title: str) -> list[Mark]:
    """The marks of a vertical axis.

    Args:
        axis: What it shows; it starts at the bottom.
        left: Where its lines begin.
        right: Where they end.
        title: What it counts, set above it.

    Returns:
        Grid lines, numbers, and the title.
    """
    marks: list[Mark] = [Label(x=left, y=axis.end - 10, text=title, anchor="start")]
    for tick in axis.ticks:
        y = axis.at(tick)
        marks.append(Segment(x1=left, x2=right, y1=y, y2=y, tone="rule"))
        marks.append(Label(x=left - 7, y=y + 4, text=brief(tick), anchor="end"))
    return marks
