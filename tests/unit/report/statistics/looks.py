"""What holds for every figure: nothing leaves its frame, and no two texts touch."""

from __future__ import annotations

import itertools
import math

from bagreid.report.statistics.marks import Disc, Figure, Label, Photo, Rect, Segment, text_width

OUTSIDE = 16.0
"""A number below the end of an axis may stand out by half; files have a margin, pages a gutter."""


def box(label: Label) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a text in the widest font it may have."""
    wide = text_width(label.text, label.size, bold=label.bold)
    left = label.x - {"start": 0.0, "middle": wide / 2, "end": wide}[label.anchor]
    return left, label.y - 0.75 * label.size, left + wide, label.y + 0.2 * label.size


def touch(one: Label, other: Label) -> bool:
    a, b = box(one), box(other)
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def check(figure: Figure) -> None:
    labels = [mark for mark in figure.marks if isinstance(mark, Label)]
    for one, other in itertools.combinations(labels, 2):
        assert not touch(one, other), (one.text, other.text)
    for label in labels:
        left, top, right, bottom = box(label)
        assert left >= -OUTSIDE, label
        assert right <= figure.width + OUTSIDE, label
        assert top >= 0, label
        assert bottom <= figure.height + 3, label
    for mark in figure.marks:
        if isinstance(mark, Rect | Photo):
            assert mark.width >= 0, mark
            assert mark.height >= 0, mark
            assert mark.x >= -0.01, mark
            assert mark.x + mark.width <= figure.width + 0.01, mark
            assert mark.y >= -0.01, mark
            assert mark.y + mark.height <= figure.height + 0.01, mark
        elif isinstance(mark, Segment):
            assert all(math.isfinite(v) for v in (mark.x1, mark.y1, mark.x2, mark.y2)), mark
        elif isinstance(mark, Disc):
            assert 0 <= mark.x <= figure.width, mark
            assert 0 <= mark.y <= figure.height, mark
    assert figure.description
    assert all(len(row) == len(figure.header) for row in figure.rows)
