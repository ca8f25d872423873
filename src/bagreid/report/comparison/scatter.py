"""Every query's rank under one method against its rank under another.

Shape letters: Q queries.
"""

from __future__ import annotations

import math

import numpy as np

from bagreid.contracts import IntArray
from bagreid.report.chart import WIDTH
from bagreid.report.comparison.lines import TONES, shorten
from bagreid.report.comparison.pairing import Pair
from bagreid.report.statistics.axes import Axis, across, brief
from bagreid.report.statistics.marks import Disc, Figure, Key, Label, Mark, Segment
from bagreid.report.wording import count

_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 36.0, 42.0
_HEIGHT = 420.0
_CELLS = 32
_APART = 18
_LEAST, _GROWTH, _LARGEST = 2.6, 3.0, 11.0
_SAME = "s4"


def rank_scatter(pair: Pair, name: str, numbers: tuple[int, int]) -> Figure:
    """Lays out a pair's ranks on logarithmic axes.

    Queries that only one method answers right in the first place are the ones McNemar's test
    counts: they stand at the edges, in that method's colour.

    Args:
        pair: Two methods.
        name: Stem of its files.
        numbers: Of the two methods' colours.

    Returns:
        The figure; its table has a row a query.
    """
    most = int(max(pair.first_rank.max(initial=1), pair.second_rank.max(initial=1), 10))
    x = _axis(most, _LEFT, WIDTH - _RIGHT)
    y = _axis(most, _HEIGHT - _BOTTOM, _TOP)
    first, second = (shorten(e.name, WIDTH - _LEFT - 150) for e in (pair.first, pair.second))
    tones = tuple(TONES[number % len(TONES)] for number in numbers)
    marks: list[Mark] = _frame(x, y, first, second)
    marks += _discs(pair, x, y, tones)
    rank1 = pair.ranks[0].discordance
    shown = count(len(pair.names), "query", "queries")
    return Figure(
        name=name,
        title=f"{pair.first.name} against {pair.second.name}, query by query",
        note=(
            f"{shown} with a match; larger dots are several at one place. Above the line "
            f"{pair.first.name} ranks the match better, below it {pair.second.name}."
        ),
        description=(
            f"Scatter plot of {shown}: both methods rank {count(rank1.both)} first, only "
            f"{pair.first.name} {count(rank1.only_first)}, only {pair.second.name} "
            f"{count(rank1.only_second)}."
        ),
        width=WIDTH,
        height=_HEIGHT,
        marks=marks,
        legend=[
            Key(name=f"first only under {first}", tone=tones[0], shape="disc"),
            Key(name=f"first only under {second}", tone=tones[1], shape="disc"),
            Key(name="the rest", tone=_SAME, shape="disc"),
        ],
        header=["query", f"rank under {pair.first.name}", f"rank under {pair.second.name}"],
        rows=[
            list(row)
            for row in zip(
                pair.names, pair.first_rank.tolist(), pair.second_rank.tolist(), strict=True
            )
        ],
    )


def _axis(most: int, start: float, end: float) -> Axis:
    """From a little before 1, where many queries stand, to a little beyond the largest rank."""
    ticks = tuple(10.0**power for power in range(len(str(most))))
    room = max(most, 10) ** 0.05
    return Axis(low=1 / room, high=most * room, start=start, end=end, ticks=ticks, logarithmic=True)


def _frame(x: Axis, y: Axis, first: str, second: str) -> list[Mark]:
    marks: list[Mark] = [Label(x=_LEFT, y=_TOP - 12, text=f"rank under {second}")]
    for tick in y.ticks:
        at = y.at(tick)
        marks.append(Segment(x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, tone="rule"))
        marks.append(Label(x=_LEFT - 7, y=at + 4, text=brief(tick), anchor="end"))
    marks += [Segment(x1=x.at(t), x2=x.at(t), y1=_TOP, y2=y.start, tone="rule") for t in x.ticks]
    marks.append(Segment(x1=x.start, y1=y.start, x2=x.end, y2=y.end, tone="faint", dashed=True))
    return [*marks, *across(x, y.start, f"rank under {first}")]


def _discs(pair: Pair, x: Axis, y: Axis, tones: tuple[str, ...]) -> list[Mark]:
    """One disc a cell of the plane, the most crowded first, so that none is hidden."""
    cells, place_Q, number = np.unique(
        np.stack([_cell(pair.first_rank), _cell(pair.second_rank)]),
        axis=1,
        return_inverse=True,
        return_counts=True,
    )
    place_Q = place_Q.ravel()
    sample = np.full(cells.shape[1], -1, np.int64)
    sample[place_Q] = np.arange(len(place_Q))
    marks: list[Mark] = []
    for cell in np.argsort(-number, kind="stable").tolist():
        query = int(sample[cell])
        one, other = int(pair.first_rank[query]), int(pair.second_rank[query])
        tone = _SAME
        if (one == 1) != (other == 1):
            tone = tones[0] if one == 1 else tones[1]
        many = int(number[cell])
        what = pair.names[query] if many == 1 else count(many, "query", "queries")
        near = "rank" if many == 1 or max(one, other) < _APART else "rank about"
        title = f"{what}: {near} {count(one)} under {pair.first.name}, {count(other)} under "
        radius = min(_LEAST + _GROWTH * math.log10(many), _LARGEST)
        marks.append(
            Disc(
                x=x.at(one), y=y.at(other), radius=radius, tone=tone, title=title + pair.second.name
            )
        )
    return marks


def _cell(ranks: IntArray) -> IntArray:
    """Numbers ranks so that those too near to tell apart on paper are one; small ones never are."""
    cells: IntArray = np.floor(_CELLS * np.log10(ranks)).astype(np.int64)
    return cells
