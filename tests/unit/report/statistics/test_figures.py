"""Histograms, columns, maps and comparisons: counts against slow twins, and texts that keep apart.

Every figure's own table is what the tests count again, value by value.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.catalog.image_sizes import ImageSizes
from bagreid.catalog.tally import Tally
from bagreid.report.chart import HEIGHT
from bagreid.report.statistics.columns import columns
from bagreid.report.statistics.comparison import Entry, comparison
from bagreid.report.statistics.datasets import BENCHMARK, HERE, PUBLISHED_SETS
from bagreid.report.statistics.histogram import Kind, Reference, Words, bin_edges, histogram
from bagreid.report.statistics.marks import Disc, Figure, Label, Rect, Segment
from bagreid.report.statistics.sizes import size_map

from .looks import check

WORDS = Words(
    name="x", title="Things by number", note="A note.", values="per lot", things="things",
    thing="thing",
)  # fmt: skip
VALUES = st.lists(st.integers(0, 12_000), min_size=1, max_size=80)


def kind(values: list[int], name: str = "", tone: str = "s0") -> Kind:
    return Kind(name=name, tally=Tally.of([np.array(values, np.int64)]), tone=tone)


def bars(figure: Figure, tone: str) -> list[Rect]:
    return [mark for mark in figure.marks if isinstance(mark, Rect) and mark.tone == tone]


@given(values=VALUES, others=st.lists(st.integers(0, 400), max_size=20), zero=st.booleans())
def test_every_value_is_in_one_bin_of_the_table(
    values: list[int], others: list[int], zero: bool
) -> None:
    kinds = [kind(values, "one"), kind(others, "other", "s1")] if others else [kind(values)]
    figure = histogram(
        WORDS, kinds, reference=Reference(value=500, text="about 500"), from_zero=zero
    )
    check(figure)
    for place, counted in enumerate((values, others)[: len(kinds)]):
        for row in figure.rows:
            left, right = row[0], row[1]
            assert row[2 + place] == sum(left <= v < right for v in counted)
        assert sum(row[2 + place] for row in figure.rows) == len(counted)


@given(values=VALUES)
def test_bars_are_as_high_as_their_counts(values: list[int]) -> None:
    figure = histogram(WORDS, [kind(values)])
    drawn = [row[2] for row in figure.rows if row[2] and row[0] < bin_edges(_tally(values))[-1]]
    heights = [bar.height for bar in bars(figure, "s0")]
    assert len(heights) == len(drawn)
    assert np.allclose(np.array(heights) / drawn, heights[0] / drawn[0])
    assert all(bar.y + bar.height == pytest.approx(HEIGHT - 42) for bar in bars(figure, "s0"))


def _tally(values: list[int]) -> Tally:
    return Tally.of([np.array(values, np.int64)])


def test_layers_stand_on_each_other() -> None:
    figure = histogram(WORDS, [kind([5] * 3, "a"), kind([5] * 2, "b", "s1")])
    (low,), (high,) = bars(figure, "s0"), bars(figure, "s1")
    assert high.y + high.height == pytest.approx(low.y)
    assert [key.name for key in figure.legend] == ["a", "b"]
    (hit,) = bars(figure, "none")
    assert hit.title == "5 per lot: 5 things (a 3, b 2)"


def test_a_long_tail_is_cut_and_told() -> None:
    values = [*range(80, 120)] * 20 + [9_000]
    figure = histogram(WORDS, [kind(values)])
    assert figure.note == "A note. 1 thing lies beyond the right edge, up to 9,000."
    assert figure.rows[-1][1:] == [9_001, 1]
    assert bin_edges(_tally(values))[-1] < 200
    whole = histogram(WORDS, [kind([*range(80, 120), 200])])
    assert whole.note == "A note."


def test_a_published_value_is_marked_only_where_the_axis_reaches() -> None:
    mode = Reference(value=500, text="about 500")

    def marked(values: list[int]) -> bool:
        figure = histogram(WORDS, [kind(values)], reference=mode)
        texts = [mark.text for mark in figure.marks if isinstance(mark, Label)]
        dashed = [m for m in figure.marks if isinstance(m, Segment) and m.dashed]
        assert (mode.text in texts) == bool(dashed)
        return mode.text in texts

    assert marked([600])
    assert not marked([300])


def test_bytes_are_shown_in_units_and_counted_exactly() -> None:
    values = [900, 1_000, 1_999, 2_000, 25_000]
    figure = histogram(WORDS, [kind(values)], unit=1000)
    assert figure.rows[0] == [0, 1000, 1]
    assert figure.rows[1] == [1000, 2000, 2]
    assert "from 0 to 25 per lot" in figure.description


@given(
    query=st.lists(st.integers(1, 15), max_size=40),
    gallery=st.lists(st.integers(1, 15), min_size=1, max_size=40),
)
def test_columns_count_each_value(query: list[int], gallery: list[int]) -> None:
    values = sorted({*query, *gallery})
    figure = columns(WORDS, [kind(query, "query", "s1"), kind(gallery, "gallery")], values)
    check(figure)
    assert figure.rows == [[v, query.count(v), gallery.count(v)] for v in values]
    assert len(bars(figure, "s0")) == len(set(gallery))


@pytest.mark.parametrize("numbers", [[1], [479_730, 1_000], [29_126_188] * 10, [7] * 40])
def test_columns_of_any_size_are_named_without_touching(numbers: list[int]) -> None:
    tally = Tally(np.arange(len(numbers)), np.array(numbers))
    check(columns(WORDS, [Kind(name="", tally=tally, tone="s0")], range(len(numbers))))


SIZES = st.lists(
    st.tuples(st.integers(1, 900), st.integers(1, 500), st.integers(1, 9_999)),
    min_size=1,
    max_size=40,
    unique_by=lambda size: size[:2],
)


def make_sizes(rows: list[tuple[int, int, int]]) -> ImageSizes:
    height, width, count = np.array(sorted(rows), np.int64).T
    total = int(count.sum())
    return ImageSizes(
        height=height, width=width, count=count, images=total, asked=total, broken=0,
        first_broken=(), seed=None,
    )  # fmt: skip


@given(SIZES)
def test_the_map_shows_every_image_once(rows: list[tuple[int, int, int]]) -> None:
    sizes = make_sizes(rows)
    figure = size_map(sizes, "All.")
    check(figure)
    assert sorted(map(tuple, figure.rows)) == sorted(rows)
    told = [mark.title for mark in bars(figure, "s0")]
    shown = sum(int(t.rsplit(": ")[1].split(" ")[0].replace(",", "")) for t in told)
    outside = figure.note.partition("wide. ")[2]
    left = int(outside.split(" ")[0].replace(",", "")) if outside else 0
    assert shown + left == int(sizes.count.sum())


def test_darker_cells_hold_more() -> None:
    figure = size_map(make_sizes([(200, 100, 1), (250, 120, 50), (300, 140, 5000)]), "All.")
    opacity = [mark.opacity for mark in bars(figure, "s0")]
    assert opacity == sorted(opacity)
    assert len(set(opacity)) == 3
    assert figure.legend[-1].name.endswith("5,000 images")


@given(
    total=st.integers(0, 10**9), test=st.one_of(st.none(), st.integers(0, 10**9)), things=st.text()
)
def test_data_sets_stand_in_order_of_size(total: int, test: int | None, things: str) -> None:
    entries = [Entry(name=s.name, total=s.images, test=s.test_images) for s in PUBLISHED_SETS]
    entries.append(Entry(name=HERE, total=total, test=test))
    figure = comparison("x", "Images", "", "images", entries)
    check(figure)
    totals = [row[1] for row in figure.rows]
    assert totals == sorted(totals, reverse=True)
    dots = [mark for mark in figure.marks if isinstance(mark, Disc) and not mark.hollow]
    assert len(dots) == sum(e.total > 0 for e in entries)
    assert [dot.x for dot in dots] == sorted((dot.x for dot in dots), reverse=True)
    rings = [mark for mark in figure.marks if isinstance(mark, Disc) and mark.hollow]
    assert len(rings) == sum(bool(e.test) for e in entries)
    del things


def test_this_archive_and_the_benchmark_stand_out() -> None:
    entries = [Entry(name=name, total=10, test=None) for name in (HERE, BENCHMARK, "Duke")]
    figure = comparison("x", "Images", "", "images", entries)
    bold = {mark.text for mark in figure.marks if isinstance(mark, Label) and mark.bold}
    assert {HERE, BENCHMARK} <= bold
    assert "Duke" not in bold
