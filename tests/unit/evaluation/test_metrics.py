"""Metrics from ranks against the literal formulas, and Wilson's interval against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.contracts import Convention
from bagreid.evaluation.metrics import cumulative_matches, query_metrics
from bagreid.evaluation.statistics import wilson_interval

from .literal import average_precision


@given(
    ranks=st.lists(st.sets(st.integers(0, 40), max_size=6), min_size=1, max_size=8),
    convention=st.sampled_from(["sysu30k", "standard"]),
)
def test_queries_against_literal_formulas(ranks: list[set[int]], convention: Convention) -> None:
    lists = [sorted(places) for places in ranks]
    query = np.repeat(np.arange(len(lists)), [len(places) for places in lists])
    rank = np.array([place for places in lists for place in places], dtype=np.int64)
    metrics = query_metrics(query, rank, len(lists), convention)
    for number, places in enumerate(lists):
        assert metrics.first_match_rank[number] == (places[0] if places else -1)
        expected = average_precision(places, convention)
        assert metrics.average_precision[number] == pytest.approx(expected, abs=1e-12)
        penalty = len(places) / (places[-1] + 1) if places else 0.0
        assert metrics.inverse_negative_penalty[number] == pytest.approx(penalty)


def test_cmc_by_hand() -> None:
    first = np.array([0, 2, -1, 60])
    sysu30k = cumulative_matches(first, "sysu30k", 5)
    np.testing.assert_allclose(sysu30k, [0.25, 0.25, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(
        cumulative_matches(first, "standard", 3), [1 / 3, 1 / 3, 2 / 3], rtol=1e-15
    )


@given(trials=st.integers(1, 3000), share=st.floats(0, 1))
def test_wilson_ends_solve_the_score_equation(trials: int, share: float) -> None:
    hits = round(share * trials)
    low, high = wilson_interval(hits, trials)
    assert 0 <= low <= hits / trials <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            z = abs(hits / trials - end) / math.sqrt(end * (1 - end) / trials)
            assert z == pytest.approx(1.959964, rel=1e-5)


def test_wilson_refuses_nonsense() -> None:
    assert wilson_interval(270, 1000) == pytest.approx((0.2434, 0.2984), abs=2e-4)
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(1, 0)
