"""First-match ranks in columns: how far down the right answers stand.

Shape letters: Q queries, W columns.
"""

from __future__ import annotations

import numpy as np

from bagreid.contracts import IntArray
from bagreid.report.chart import HEIGHT, WIDTH
from bagreid.report.statistics.axes import Axis, brief, count_axis, upwards
from bagreid.report.statistics.marks import Figure, Label, Mark, Rect, Segment
from bagreid.report.wording import count

_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 12.0, 36.0, 42.0
_FEWEST = 4


def rank_columns(
    name: str, method: str, ranks: IntArray, tone: str, limits: IntArray, tallest: int
) -> Figure:
    """Lays out how many queries have their first match at rank 1, at 2, from 3 to 5, and so on.

    Args:
        name: Stem of its files.
        method: Whose ranks they are.
        ranks: ``(Q,)`` int64 ranks from 1, 0 for queries without a match.
        tone: Colour of the columns.
        limits: ``(W,)`` int64, the last rank of each column, as of `rank_limits`.
        tallest: Largest number to make room for, so that methods can be set side by side.

    Returns:
        The figure; queries without a match stand in a last column where there are any.
    """
    without = int(np.sum(ranks == 0))
    spans = [
        str(high) if low == high else f"{count(low)}\u2013{count(high)}"
        for low, high in zip([1, *(limits[:-1] + 1).tolist()], limits.tolist(), strict=True)
    ]
    counted = column_counts(ranks, limits).tolist()
    rows = [[span, number] for span, number in zip(spans, counted, strict=True)]
    return Figure(
        name=name,
        title=f"Where {method} ranks the first match",
        note="Queries by the rank of their first right answer; steps to the right grow.",
        description=_describe(method, spans, counted, without),
        width=WIDTH,
        height=HEIGHT,
        marks=_columns(limits, spans, counted, without, tone, tallest),
        header=["rank", "queries"],
        rows=[*rows, ["no match", without]] if without else rows,
    )


def rank_limits(most: int) -> IntArray:
    """The last rank of each column: 1, 2, 5, 10, 20, 50 … to where all ranks are covered.

    Args:
        most: The largest rank.

    Returns:
        ``(W,)`` int64 ascending, at least four.
    """
    limits: list[int] = []
    while len(limits) < _FEWEST or limits[-1] < most:
        limits.append((1, 2, 5)[len(limits) % 3] * 10 ** (len(limits) // 3))
    return np.array(limits, np.int64)


def column_counts(ranks: IntArray, limits: IntArray) -> IntArray:
    """How many ranks, 0 left out, fall into each column; ``(W,)`` int64."""
    return np.bincount(np.searchsorted(limits, ranks[ranks > 0]), minlength=len(limits))


def _columns(
    limits: IntArray, spans: list[str], counted: list[int], without: int, tone: str, tallest: int
) -> list[Mark]:
    y = count_axis(max(tallest, without), HEIGHT - _BOTTOM, _TOP, 4)
    marks: list[Mark] = [*upwards(y, _LEFT, WIDTH - _RIGHT, "queries")]
    # The column of queries without a match stands apart, by half a column.
    places = len(counted) + (1.5 if without else 0.0)
    room = (WIDTH - _RIGHT - _LEFT) / places
    bars = [(_LEFT + room * w, tone, counted[w], f"rank {spans[w]}") for w in range(len(counted))]
    if without:
        left = _LEFT + room * (len(counted) + 0.5)
        bars.append((left, "s4", without, "no match in the gallery"))
    for left, colour, number, what in bars:
        marks += _column(left, room, y, number, colour, what)
    base, named = HEIGHT - _BOTTOM, 0.0
    marks.append(Segment(x1=_LEFT, x2=WIDTH - _RIGHT, y1=base, y2=base, tone="faint"))
    for w, limit in enumerate(limits.tolist()):
        x = _LEFT + room * (w + 1)
        free = x - named > 34 and (not without or x < WIDTH - _RIGHT - room / 2 - 44)
        if w % 3 == 0 and free:
            named = x
            marks.append(Segment(x1=x, x2=x, y1=base, y2=base + 4, tone="faint"))
            marks.append(Label(x=x, y=base + 18, text=brief(limit), anchor="middle"))
    if without:
        x = _LEFT + room * (len(counted) + 1)
        marks.append(Label(x=x, y=base + 18, text="none", anchor="middle"))
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    title = "rank of the first match, up to the mark"
    return [*marks, Label(x=middle, y=base + 36, text=title, anchor="middle")]


def _column(left: float, room: float, y: Axis, number: int, tone: str, what: str) -> list[Mark]:
    """A column, and a strip over the whole height that tells its number when pointed at."""
    marks: list[Mark] = []
    if number:
        top = min(y.at(number), y.start - 1)  # one query beside a thousand is still one
        bar = Rect(x=left + 1, y=top, width=room - 2, height=y.start - top, tone=tone)
        marks.append(bar)
    title = f"{what}: {count(number, 'query', 'queries')}"
    high = y.start - y.end
    return [*marks, Rect(x=left, y=y.end, width=room, height=high, tone="none", title=title)]


def _describe(method: str, spans: list[str], counted: list[int], without: int) -> str:
    parts = [f"{count(n)} at {span}" for span, n in zip(spans, counted, strict=True) if n]
    if without:
        parts.append(f"{count(without)} without a match")
    return f"Column chart, queries by the rank of {method}'s first match: {', '.join(parts)}."
