"""Data sets side by side on a logarithmic axis: dots, for there a bar's length means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bagreid.report.chart import WIDTH
from bagreid.report.statistics.axes import Axis, across, power_axis
from bagreid.report.statistics.datasets import BENCHMARK, HERE
from bagreid.report.statistics.marks import (
    Disc,
    Figure,
    Key,
    Label,
    Mark,
    Rect,
    Segment,
    text_width,
)
from bagreid.report.wording import count

_ROW = 24.0
_TOP, _BOTTOM = 8.0, 42.0
_TONES = {HERE: "s1", BENCHMARK: "s0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One data set: its whole, and its test part where it is known."""

    name: str
    total: int
    test: int | None


def comparison(name: str, title: str, note: str, things: str, entries: Sequence[Entry]) -> Figure:
    """Lays out data sets by size, the largest first.

    Args:
        name: Stem of its files.
        title: Its heading.
        note: What one sees.
        things: What is counted.
        entries: The data sets; some total must be above 0.

    Returns:
        The figure.
    """
    ordered = sorted(entries, key=lambda entry: -entry.total)
    shown = [n for e in ordered for n in (e.total, e.test) if n]
    left = max(text_width(e.name, bold=e.name in _TONES) for e in ordered) + 10
    right = max(text_width(count(e.total), bold=True) for e in ordered) + 16
    bottom = _TOP + _ROW * len(ordered)
    axis = power_axis(min(shown), max(shown), left, WIDTH - right)
    marks: list[Mark] = [
        Segment(x1=axis.at(t), x2=axis.at(t), y1=_TOP, y2=bottom, tone="rule") for t in axis.ticks
    ]
    marks += across(axis, bottom, f"{things}, each step ten times as many")
    for place, entry in enumerate(ordered):
        marks += _row(entry, _TOP + _ROW * (place + 0.5), axis, things)
    return Figure(
        name=name,
        title=title,
        note=note,
        description=f"Dot plot, {title}: "
        + "; ".join(f"{e.name} {count(e.total)}" for e in ordered)
        + ".",
        width=WIDTH,
        height=bottom + _BOTTOM,
        marks=marks,
        legend=[
            Key(name="whole set", tone="s4", shape="disc"),
            Key(name="its test part", tone="s4", shape="ring"),
        ],
        header=["data set", things, f"{things} in the test part"],
        rows=[[e.name, e.total, "" if e.test is None else e.test] for e in ordered],
    )


def _row(entry: Entry, y: float, axis: Axis, things: str) -> list[Mark]:
    tone, bold = _TONES.get(entry.name, "s4"), entry.name in _TONES
    ink = "ink" if bold else "soft"
    marks: list[Mark] = [
        Label(x=axis.start - 10, y=y + 4, text=entry.name, anchor="end", tone=ink, bold=bold),
        Label(x=WIDTH, y=y + 4, text=count(entry.total), anchor="end", tone=ink, bold=bold),
    ]
    title = f"{entry.name}: {count(entry.total)} {things}"
    if entry.test is not None:
        title += f", {count(entry.test)} of them for testing"
    if entry.total:
        marks.append(
            Segment(x1=axis.start, x2=axis.at(entry.total), y1=y, y2=y, tone=tone, width=1.5)
        )
    if entry.test:
        marks.append(Disc(x=axis.at(entry.test), y=y, radius=4.5, tone=tone, hollow=True))
    if entry.total:
        marks.append(Disc(x=axis.at(entry.total), y=y, radius=5.5, tone=tone))
    hit = Rect(x=0, y=y - _ROW / 2, width=WIDTH, height=_ROW, tone="none", title=title)
    return [*marks, hit]
