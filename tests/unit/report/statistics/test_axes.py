"""Axes enclose their values, mark round ones, and leave room for each number."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.report.statistics.axes import brief, count_axis, every, power_axis, window
from bagreid.report.statistics.marks import text_width


@given(most=st.integers(0, 10**9))
def test_counts_are_marked_in_whole_numbers_from_zero(most: int) -> None:
    axis = count_axis(most, 0, 100)
    assert axis.ticks[0] == axis.low == 0
    assert axis.ticks[-1] == axis.high >= most
    assert all(tick == int(tick) for tick in axis.ticks)
    assert 2 <= len(axis.ticks) <= 8
    assert axis.at(0) == 0
    assert axis.at(axis.high) == 100


@given(values=st.lists(st.integers(1, 10**12), min_size=1, max_size=5))
def test_powers_of_ten_enclose_and_equal_factors_are_equal_steps(values: list[int]) -> None:
    axis = power_axis(min(values), max(values), 10, 210)
    assert axis.low <= min(values)
    assert max(values) <= axis.high
    for value in values:
        assert 10 - 1e-6 <= axis.at(value) <= 210 + 1e-6
    steps = [axis.at(b) - axis.at(a) for a, b in zip(axis.ticks, axis.ticks[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_numbers_are_brief() -> None:
    spelled = [brief(v).replace("\u00a0", " ") for v in (0, 2_500, 10_000, 45_500, 1_500_000, 2e9)]
    assert spelled == ["0", "2,500", "10 k", "45.5 k", "1.5 M", "2 G"]


@given(power=st.integers(1, 9), room=st.floats(5, 200))
def test_no_two_numbers_touch_even_when_letters_grow(power: int, room: float) -> None:
    ticks = [10.0**p for p in range(power + 1)]
    step = every(ticks, room)
    shown = ticks[::step]
    for one, other in itertools.pairwise(shown):
        widths = (text_width(brief(one)) + text_width(brief(other))) / 2
        assert step * room >= 1.16 * widths


@given(least=st.integers(0, 5000), more=st.integers(0, 5000))
def test_a_window_holds_its_values_with_air_around(least: int, more: int) -> None:
    low, high = window(least, least + more)
    assert 0 <= low <= least
    assert least + more <= high
    assert high - low >= (least + more) / 6
    assert math.isfinite(high)
    assert high > low
