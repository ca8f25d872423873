"""Figures hold what the results say, keep inside their frames, and no two texts touch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.contracts import printable
from bagreid.evaluation.statistics import wilson_interval
from bagreid.report.comparison.entries import read_entries
from bagreid.report.comparison.figures import (
    Drawn,
    cmc_figure,
    drawn,
    needle_figures,
    rank_figures,
)
from bagreid.report.comparison.lines import shorten
from bagreid.report.comparison.pairing import pair_up
from bagreid.report.comparison.ranks import rank_limits
from bagreid.report.comparison.scatter import rank_scatter
from bagreid.report.statistics.marks import Area, Disc, Figure, Label, Polyline, Rect, text_width
from bagreid.report.statistics.raster import png_file
from bagreid.report.statistics.svg import svg_file

from ..statistics.looks import check
from .results_of import hard_and_easy, record, written


def methods_of(tmp_path: Path, *ranks: list[int], **settings: object) -> list[Drawn]:
    names = ["DGL", "A method with quite a long name, and longer still", "C", "D", "E", "F", "G"]
    files = [
        written(tmp_path / f"{n}.json", record(found, method=names[n], **settings))  # type: ignore[arg-type]
        for n, found in enumerate(ranks)
    ]
    return [drawn(e.name, n, e.evaluation) for n, e in enumerate(read_entries(files))]


def figures_of(tmp_path: Path, *ranks: list[int], **settings: object) -> list[Figure]:
    methods = methods_of(tmp_path, *ranks, **settings)
    cmc = cmc_figure(methods)
    assert cmc is not None
    found = [cmc, *needle_figures(methods), *rank_figures(methods)]
    if len(ranks) > 1:
        entries = read_entries([tmp_path / f"{n}.json" for n in range(len(ranks))])
        found += [
            rank_scatter(pair, f"ranks-{n}", (0, n)) for n, pair in enumerate(pair_up(entries), 1)
        ]
    return found


@settings(max_examples=8)
@given(
    data=st.data(),
    wrong=st.integers(2, 10**6),
    methods=st.integers(1, 3),
    queries=st.integers(1, 25),
)
def test_any_result_can_be_drawn(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    wrong: int,
    methods: int,
    queries: int,
) -> None:
    rank = st.integers(0, wrong) | st.integers(0, min(wrong, 3))
    ranks = [[data.draw(rank) for _ in range(queries)] for _ in range(methods)]
    if queries > 1 and data.draw(st.booleans()):
        for found in ranks:
            found[0] = -1
    for figure in figures_of(tmp_path_factory.mktemp("any"), *ranks, wrong=wrong):
        check(figure)


def test_curves_hold_the_shares_and_their_intervals(tmp_path: Path) -> None:
    ranks = [0, 0, 2, 40, 499, -1]
    [method] = methods_of(tmp_path, ranks, convention="standard")
    cmc = cmc_figure([method])
    assert cmc is not None
    assert len(cmc.rows) == 50
    for name, k, share, low, high in cmc.rows:
        hits = sum(0 <= rank < k for rank in ranks)
        assert name == "DGL"
        assert share == pytest.approx(hits / 5)
        assert (low, high) == pytest.approx(wilson_interval(hits, 5))
    [needle] = needle_figures([method])
    ends = {name: share for name, size, share, *_ in needle.rows if size == 500}
    assert ends == pytest.approx({"rank-1": 0.4, "rank-5": 0.6, "rank-10": 0.6})
    for figure in (cmc, needle):
        assert sum(isinstance(mark, Area) for mark in figure.marks) == len(figure.legend)
        assert sum(isinstance(mark, Polyline) for mark in figure.marks) == len(figure.legend)


def test_pointing_at_a_curve_tells_every_method(tmp_path: Path) -> None:
    methods = methods_of(tmp_path, [0, 3, 9, 9], [0, 0, 9, 9])
    cmc = cmc_figure(methods)
    assert cmc is not None
    titles = [mark.title for mark in cmc.marks if isinstance(mark, Rect)]
    assert len(titles) == 50
    assert titles[0].startswith("rank-1: DGL 25.0\u00a0% (4.6\u201369.9), A method")
    assert all("DGL" in title and "A method" in title for title in titles)


def test_bands_hold_their_lines(tmp_path: Path) -> None:
    for figure in figures_of(tmp_path, hard_and_easy(300, 1), hard_and_easy(300, 2), wrong=479_729):
        areas = [mark for mark in figure.marks if isinstance(mark, Area)]
        lines = [mark for mark in figure.marks if isinstance(mark, Polyline)]
        for area, line in zip(areas, lines, strict=True):
            half = len(area.points) // 2
            upper, lower = area.points[:half], area.points[half:][::-1]
            for (x, y), (_, top), (_, bottom) in zip(line.points, upper, lower, strict=True):
                assert top - 1e-9 <= y <= bottom + 1e-9
                assert 0 <= x <= figure.width


def test_methods_without_a_needle_curve_are_left_out(tmp_path: Path) -> None:
    content = record([0, 5]) | {"reranking": {}}
    [entry] = read_entries([written(tmp_path / "r.json", content)])
    reranked = drawn(entry.name, 0, entry.evaluation)
    assert reranked.curve is None
    assert needle_figures([reranked]) == []
    assert cmc_figure([reranked]) is not None
    plain = methods_of(tmp_path, [0, 5])
    names = {row[0] for figure in needle_figures([reranked, *plain]) for row in figure.rows}
    assert names == {"DGL"}


@settings(max_examples=25)
@given(ranks=st.lists(st.integers(-1, 10**6), min_size=1, max_size=50))
def test_every_query_stands_in_one_column(
    tmp_path_factory: pytest.TempPathFactory, ranks: list[int]
) -> None:
    ranks[0] = max(ranks[0], 0)
    [figure] = rank_figures(
        methods_of(tmp_path_factory.mktemp("columns"), ranks, wrong=10**6, convention="standard")
    )
    counted = {str(row[0]): row[1] for row in figure.rows}
    assert sum(counted.values()) == len(ranks)
    assert counted.get("no match", 0) == ranks.count(-1)
    assert counted["1"] == ranks.count(0)
    assert counted["3\u20135"] == sum(2 <= rank <= 4 for rank in ranks)


@given(most=st.integers(1, 10**9))
def test_columns_grow_by_two_and_a_half_at_most(most: int) -> None:
    limits = rank_limits(most)
    assert limits[:4].tolist() == [1, 2, 5, 10]
    assert limits[-1] >= most
    assert np.all(limits[1:] <= 2.5 * limits[:-1])


def test_a_scatter_shows_what_mcnemar_counts(tmp_path: Path) -> None:
    ranks = [hard_and_easy(300, seed) for seed in (1, 2)]
    *_, figure = figures_of(tmp_path, *ranks, wrong=479_729)
    rows = [tuple(row[1:]) for row in figure.rows]
    assert sorted(rows) == sorted((a + 1, b + 1) for a, b in zip(*ranks, strict=True))
    discs = [mark for mark in figure.marks if isinstance(mark, Disc)]
    assert {disc.tone for disc in discs} == {"s0", "s1", "s4"}
    left = min(disc.x for disc in discs)
    low = max(disc.y for disc in discs)
    for disc in discs:
        wanted = "s4"
        if (disc.x == left) != (disc.y == low):
            wanted = "s0" if disc.x == left else "s1"
        assert disc.tone == wanted


def test_two_identical_methods_can_be_drawn(tmp_path: Path) -> None:
    for figure in figures_of(tmp_path, [0, 0, 0], [0, 0, 0]):
        check(figure)


def test_files_are_drawn_in_full(tmp_path: Path) -> None:
    for figure in figures_of(tmp_path, hard_and_easy(60, 1), hard_and_easy(60, 2), wrong=479_729):
        assert svg_file(figure).count("<polygon") == sum(
            isinstance(mark, Area) for mark in figure.marks
        )
        assert png_file(figure).startswith(b"\x89PNG")


@settings(max_examples=40)
@given(text=st.text(max_size=30).map(printable), width=st.floats(40, 300))
def test_names_are_cut_to_their_room(text: str, width: float) -> None:
    cut = shorten(text, width)
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1].rstrip()))
    assert len(cut) <= 2 or text_width(cut) * 1.16 <= width


def test_seven_methods_have_a_colour_each_or_share_a_dash(tmp_path: Path) -> None:
    methods = methods_of(tmp_path, *([n, n, n] for n in range(7)))
    cmc = cmc_figure(methods)
    assert cmc is not None
    looks = [(key.tone, key.dash) for key in cmc.legend]
    assert len(set(looks[:6])) == 6
    assert looks[6] == looks[0]
    labels = [mark for mark in cmc.marks if isinstance(mark, Label) and mark.bold]
    assert len(labels) == 7
