"""Tallies against Python's own counting."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.catalog import tally
from bagreid.catalog.tally import Tally

VALUES = st.lists(st.one_of(st.integers(0, 40), st.integers(2**20 - 2, 2**32 - 1)), max_size=60)


def of(values: list[int], pieces: int = 3) -> Tally:
    return Tally.of(np.array_split(np.array(values, np.uint32), pieces))


@given(values=VALUES, pieces=st.integers(1, 5))
def test_it_counts_as_python_does(values: list[int], pieces: int) -> None:
    counted = of(values, pieces)
    assert dict(zip(counted.value.tolist(), counted.count.tolist(), strict=True)) == Counter(values)
    assert counted.value.tolist() == sorted(set(values))
    assert len(counted) == len(values)
    assert counted.total == sum(values)


@given(values=VALUES.filter(bool))
def test_quartiles_are_values_of_the_list(values: list[int]) -> None:
    counted, ordered = of(values), sorted(values)
    assert counted.quantile(0.5) == statistics.median_low(values)
    assert (counted.quantile(0), counted.quantile(1)) == (ordered[0], ordered[-1])
    assert (counted.least, counted.most) == (ordered[0], ordered[-1])
    for share in (0.25, 0.75, 0.99):
        value = counted.quantile(share)
        assert sum(v <= value for v in values) >= share * len(values)
        assert sum(v < value for v in values) < share * len(values)


@given(values=VALUES, edges=st.lists(st.integers(0, 50), min_size=2, max_size=9, unique=True))
def test_bins_hold_their_left_edge_and_not_their_right(values: list[int], edges: list[int]) -> None:
    edges.sort()
    found = of(values).binned(edges).tolist()
    slow = [sum(left <= v < right for v in values) for left, right in itertools.pairwise(edges)]
    assert found == slow


def test_one_large_value_costs_no_large_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_DENSE", 4)
    assert of([2**32 - 1, 4, 3, 4]).value.tolist() == [3, 4, 2**32 - 1]


def test_nothing_is_summed_up_without_numbers() -> None:
    assert of([]).summary() == {
        "count": 0, "sum": 0, "mean": None, "least": None, "lower_quartile": None, "median": None,
        "upper_quartile": None, "percentile_99": None, "most": None,
    }  # fmt: skip
    told = of([4, 1, 1]).summary()
    assert (told["count"], told["mean"], told["median"]) == (3, 2.0, 1)
