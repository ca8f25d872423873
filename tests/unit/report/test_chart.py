"""Charts: ticks, thinning, labels that do not cover each other, lines inside the plot."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.report.chart import HEIGHT, WIDTH, Series, line_chart, nice_ticks, thin
from bagreid.report.log import Curve

from .fabricate import curve

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(low=NUMBERS, span=st.floats(1e-2, 1e6), count=st.integers(2, 8))
def test_ticks_enclose_the_range_in_round_steps(low: float, span: float, count: int) -> None:
    ticks = nice_ticks(low, low + span, count)
    assert ticks[0] <= low + 1e-6 * span
    assert ticks[-1] >= low + span - 1e-6 * span
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0], rtol=1e-6)
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-6)
    assert any(abs(mantissa - round_one) < 1e-6 for round_one in (1, 2, 5))
    assert len(ticks) <= count + 2


def test_ticks_of_a_single_value() -> None:
    assert nice_ticks(3.0, 3.0, 4)[0] < 3.0 < nice_ticks(3.0, 3.0, 4)[-1]
    assert nice_ticks(0.0, 0.0, 4)[0] < 0.0 < nice_ticks(0.0, 0.0, 4)[-1]


@given(values=st.lists(NUMBERS, min_size=1, max_size=200), most=st.integers(1, 70))
def test_thinning_averages_equal_runs_from_the_end(values: list[float], most: int) -> None:
    thinned = thin(curve(*values), most)
    assert thinned.step.size <= most
    assert thinned.step[-1] == 10 * (len(values) - 1)
    width = 1 if len(values) <= most else math.ceil(len(values) / most)
    assert thinned.value[-1] == pytest.approx(np.mean(values[-width:]), abs=1e-6)


@given(
    lines=st.lists(st.lists(NUMBERS, min_size=1, max_size=30), min_size=1, max_size=6),
)
def test_lines_and_labels_stay_inside_and_apart(lines: list[list[float]]) -> None:
    series = [
        Series(name=f"m{place}", curve=curve(*values), colour=place)
        for place, values in enumerate(lines)
    ]
    chart = line_chart("Loss", series, note="", x_label="step")
    for line in chart.lines:
        for dot in line.dots:
            assert chart.left <= dot.x <= chart.right
            assert chart.top - 0.01 <= dot.y <= chart.bottom + 0.01
    ends = sorted(line.end.at for line in chart.lines)
    assert all(below - above >= 13.9 for above, below in itertools.pairwise(ends))
    assert ends[-1] <= chart.bottom
    assert (chart.width, chart.height) == (WIDTH, HEIGHT)


def test_shares_are_drawn_in_percent_from_zero() -> None:
    chart = line_chart(
        "CMC",
        [Series(name="DGL", curve=curve(0.25, 0.5), colour=0)],
        note="",
        x_label="rank",
        shares=True,
    )
    assert chart.y_ticks[0].text == "0\u00a0%"
    assert chart.lines[0].end.text == "50.0\u00a0%"
    assert chart.lines[0].dots[0].title == "DGL, rank 0: 25.0\u00a0%"
    assert chart.legend == ()
    assert chart.description == "Line chart, CMC: DGL goes from 25.0\u00a0% to 50.0\u00a0%."


def test_a_curve_of_one_point_is_drawn() -> None:
    only = Series(name="DGL", curve=Curve(np.array([0]), np.array([2.0])), colour=0)
    chart = line_chart("Loss", [only], note="", x_label="step")
    assert chart.lines[0].marked
    assert math.isfinite(chart.lines[0].dots[0].x)
