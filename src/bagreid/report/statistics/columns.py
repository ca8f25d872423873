"""A column for each of a few whole numbers, such as cameras, with its count above it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from bagreid.catalog.tally import Tally
from bagreid.report.chart import HEIGHT, WIDTH
from bagreid.report.statistics.axes import brief, count_axis, every, upwards
from bagreid.report.statistics.histogram import Kind, Words
from bagreid.report.statistics.marks import Figure, Key, Label, Mark, Rect, Segment, text_width
from bagreid.report.wording import count

_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 4.0, 40.0, 42.0
_WIDEST = 46.0


def columns(words: Words, kinds: Sequence[Kind], values: Sequence[int]) -> Figure:
    """Lays out columns, one a value and kind.

    Args:
        words: What it says.
        kinds: What is counted apart, side by side.
        values: The values, ascending; at least one.

    Returns:
        The figure.
    """
    counted = [_counts(kind.tally) for kind in kinds]
    most = max((n for found in counted for n in found.values()), default=0)
    y = count_axis(1.1 * most, HEIGHT - _BOTTOM, _TOP, 4)
    room = (WIDTH - _LEFT - _RIGHT) / len(values)
    wide = min(_WIDEST, 0.8 * room / len(kinds))
    marks: list[Mark] = [*upwards(y, _LEFT, WIDTH - _RIGHT, words.things)]
    named = every(values, room)
    bars: list[tuple[float, Kind, int]] = []
    for place, value in enumerate(values):
        middle = _LEFT + room * (place + 0.5)
        present = [(k, f[value]) for k, f in zip(kinds, counted, strict=True) if value in f]
        for number, (kind, found) in enumerate(present):
            bars.append((middle + wide * (number + 0.5 - len(present) / 2), kind, found))
        if place % named == 0:
            text = brief(value)
            marks.append(Label(x=middle, y=HEIGHT - _BOTTOM + 18, text=text, anchor="middle"))
        marks.append(_title(words, kinds, counted, value, middle - room / 2, room))
    spell = _spelling([(x, number) for x, _, number in bars])
    for x, kind, number in bars:
        marks += _column(kind, number, x, wide, y.at, spell(number))
    base = HEIGHT - _BOTTOM
    marks.append(Segment(x1=_LEFT, x2=WIDTH - _RIGHT, y1=base, y2=base, tone="faint"))
    centre = (_LEFT + WIDTH - _RIGHT) / 2
    marks.append(Label(x=centre, y=base + 36, text=words.values, anchor="middle"))
    return Figure(
        name=words.name,
        title=words.title,
        note=words.note,
        description=_describe(words, kinds, counted, values),
        width=WIDTH,
        height=HEIGHT,
        marks=marks,
        legend=[Key(name=k.name, tone=k.tone) for k in kinds] if len(kinds) > 1 else (),
        header=[words.values, *(k.name if len(kinds) > 1 else words.things for k in kinds)],
        rows=[[v, *(found.get(v, 0) for found in counted)] for v in values],
    )


def _counts(tally: Tally) -> dict[int, int]:
    return dict(zip(tally.value.tolist(), tally.count.tolist(), strict=True))


def _column(
    kind: Kind, number: int, x: float, wide: float, at: Callable[[float], float], text: str
) -> list[Mark]:
    """A column around `x`, and its number above it."""
    bottom = at(0)
    # A thin line at least: one image beside half a million is still one.
    top = min(at(number), bottom - 1)
    marks: list[Mark] = [
        Rect(x=x - wide / 2 + 1, y=top, width=wide - 2, height=bottom - top, tone=kind.tone)
    ]
    if text:
        marks.append(Label(x=x, y=top - 5, text=text, anchor="middle", tone="ink"))
    return marks


def _spelling(bars: Sequence[tuple[float, int]]) -> Callable[[int], str]:
    """How to write numbers above columns: in full, else rounded, else not at all.

    Args:
        bars: Middle and number of each column, from left to right.

    Returns:
        The first that leaves room between neighbours; letters may be a sixth larger.
    """
    for spell in (count, _rounded):
        boxes = [(x, text_width(spell(number)) * 1.16) for x, number in bars]
        apart = all(
            right - left >= (one + other) / 2 + 4
            for (left, one), (right, other) in itertools.pairwise(boxes)
        )
        if apart and all(x + wide / 2 <= WIDTH + 4 for x, wide in boxes):
            return spell
    return lambda _: ""


def _rounded(number: int) -> str:
    """Two digits of a number, and its size: ``480 k``, ``29 M``."""
    digits = max(len(str(number)) - 2, 0)
    return brief(round(number, -digits) if number >= 10_000 else number)


def _title(
    words: Words,
    kinds: Sequence[Kind],
    counted: Sequence[dict[int, int]],
    value: int,
    x: float,
    room: float,
) -> Mark:
    parts = [
        f"{k.name} {count(found.get(value, 0))}" for k, found in zip(kinds, counted, strict=True)
    ]
    told = ", ".join(parts) if len(kinds) > 1 else count(counted[0].get(value, 0), *_nouns(words))
    title = f"{words.values} {value}: {told}"
    return Rect(x=x, y=_TOP, width=room, height=HEIGHT - _BOTTOM - _TOP, tone="none", title=title)


def _nouns(words: Words) -> tuple[str, str]:
    return words.thing, words.things


def _describe(
    words: Words, kinds: Sequence[Kind], counted: Sequence[dict[int, int]], values: Sequence[int]
) -> str:
    parts = [
        f"{words.values} {v}, {count(found[v], *_nouns(words))} ({k.name})"
        for v in values
        for k, found in zip(kinds, counted, strict=True)
        if v in found
    ]
    return f"Column chart, {words.title}: {'; '.join(parts)}."
