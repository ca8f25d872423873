"""Height against width of the images: cells, the darker the more images lie in them.

Shape letters: S distinct sizes, X and Y cells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bagreid.catalog.image_sizes import ImageSizes
from bagreid.contracts import IntArray
from bagreid.report.chart import WIDTH
from bagreid.report.statistics.axes import Axis, across, upwards
from bagreid.report.statistics.histogram import bin_edges, edge_axis
from bagreid.report.statistics.marks import Figure, Key, Label, Mark, Rect, Segment, text_width
from bagreid.report.wording import count

_HEIGHT = 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 44.0, 36.0, 42.0
_SHADES = (0.16, 0.34, 0.54, 0.76, 1.0)
_ASPECTS = (2, 1, 3, 4)
"""So many times as high as wide; the first is the shape that people are cut to."""

_UP = "height in pixels"


def size_map(sizes: ImageSizes, note: str) -> Figure:
    """Lays out the map of sizes.

    Args:
        sizes: At least one image's size.
        note: How many images are shown, of how many.

    Returns:
        The figure; its table has a row for each distinct size.
    """
    x_edges = bin_edges(sizes.widths(), from_zero=False)
    y_edges = bin_edges(sizes.heights(), from_zero=False)
    x = edge_axis(x_edges, _LEFT, WIDTH - _RIGHT)
    y = edge_axis(y_edges, _HEIGHT - _BOTTOM, _TOP)
    cell_XY = np.histogram2d(
        sizes.width, sizes.height, bins=(x_edges, y_edges), weights=sizes.count
    )[0].astype(np.int64)
    # np.histogram counts the last edge in; nothing lies on it, for it is beyond all that is shown.
    beyond = int(sizes.count.sum() - cell_XY.sum())
    limits = _limits(int(cell_XY.max()))
    marks: list[Mark] = [*upwards(y, _LEFT, WIDTH - _RIGHT, _UP)]
    marks += _cells(cell_XY, x_edges, y_edges, x, y, limits)
    marks += _rays(x, y)
    marks += across(x, _HEIGHT - _BOTTOM, "width in pixels")
    outside = f" {count(beyond, 'image')} outside the frame." if beyond else ""
    return Figure(
        name="image-sizes",
        title="Height and width of the images",
        note=f"{note} Dashed: so many times as high as wide.{outside}",
        description=_describe(sizes),
        width=WIDTH,
        height=_HEIGHT,
        marks=marks,
        legend=_legend(limits),
        header=["height", "width", "images"],
        rows=np.stack([sizes.height, sizes.width, sizes.count], 1).tolist(),
    )


def _limits(most: int) -> list[int]:
    """The largest count of each shade: equal factors up to the fullest cell, none twice."""
    steps = [round(most ** (n / len(_SHADES))) for n in range(1, len(_SHADES))]
    return sorted({max(1, step) for step in steps} | {most})


def _legend(limits: list[int]) -> list[Key]:
    keys, first = [], 1
    for limit, shade in zip(limits, _SHADES[-len(limits) :], strict=True):
        span = count(first) if first == limit else f"{count(first)}\u2013{count(limit)}"
        keys.append(Key(name=span, tone="s0", opacity=shade))
        first = limit + 1
    noun = "image" if limits == [1] else "images"
    return [*keys[:-1], Key(name=f"{keys[-1].name} {noun}", tone="s0", opacity=_SHADES[-1])]


def _cells(
    cell_XY: IntArray, x_edges: IntArray, y_edges: IntArray, x: Axis, y: Axis, limits: list[int]
) -> list[Mark]:
    marks: list[Mark] = []
    shades = _SHADES[-len(limits) :]
    for place_x, place_y in np.argwhere(cell_XY).tolist():
        number = int(cell_XY[place_x, place_y])
        wide = x_edges[place_x : place_x + 2].tolist()
        high = y_edges[place_y : place_y + 2].tolist()
        marks.append(
            Rect(
                x=x.at(wide[0]),
                y=y.at(high[1]),
                width=x.at(wide[1]) - x.at(wide[0]),
                height=y.at(high[0]) - y.at(high[1]),
                tone="s0",
                crisp=True,
                opacity=shades[int(np.searchsorted(limits, number))],
                title=f"{_span(*wide)} wide, {_span(*high)} high: {count(number, 'image')}",
            )
        )
    return marks


def _span(low: int, high: int) -> str:
    return f"{low}" if high - low == 1 else f"{low} to {high - 1}"


def _rays(x: Axis, y: Axis) -> list[Mark]:
    """Lines of equal shape, named where they leave the frame, if they cross it at all."""
    lines: list[Mark] = []
    names: list[Label] = []
    for aspect in _ASPECTS:
        first, last = max(x.low, y.low / aspect), min(x.high, y.high / aspect)
        if last - first < 0.1 * (x.high - x.low):
            continue
        end_x, end_y = x.at(last), y.at(last * aspect)
        name = Label(x=end_x + 5, y=end_y + 4, text=f"{aspect}\u2009:\u20091")
        if last < x.high:
            name = replace(name, x=end_x, y=end_y - 10, anchor="middle")
            if end_x < x.start + text_width(_UP) * 1.16 + 30:
                continue  # it would stand on the title of the axis
        if any(abs(name.x - n.x) < 40 and abs(name.y - n.y) < 16 for n in names):
            continue
        start = {"x1": x.at(first), "y1": y.at(first * aspect)}
        lines.append(Segment(**start, x2=end_x, y2=end_y, tone="faint", dashed=True))
        names.append(name)
    return [*lines, *names]


def _describe(sizes: ImageSizes) -> str:
    heights, widths = sizes.heights(), sizes.widths()
    return (
        f"Map of image sizes: {count(len(heights), 'image')}, {heights.least} to {heights.most} "
        f"pixels high (median {heights.quantile(0.5)}), {widths.least} to {widths.most} wide "
        f"(median {widths.quantile(0.5)})."
    )
