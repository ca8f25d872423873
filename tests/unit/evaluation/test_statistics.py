"""Wilson's intervals: they solve his equation, and every rank-k of a result has its own."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.contracts import Convention
from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.statistics import wilson_interval, wilson_intervals

FIXTURE = Path(__file__).parents[2] / "reference" / "fixtures" / "evaluation.npz"
Z = 1.959963984540054
"""The normal quantile of 97.5 %."""


def slow_wilson(hits: float, trials: int) -> tuple[float, float]:
    """Both roots p of (hits/trials − p)² = z² p (1 − p) / trials, by bisection."""
    share = hits / trials

    def outside(p: float) -> bool:
        return (share - p) ** 2 > Z * Z * p * (1 - p) / trials

    ends = []
    for far in (0.0, 1.0):
        inner, outer = share, far
        for _ in range(200):
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if outside(middle) else (middle, outer)
        ends.append(inner)
    return ends[0], ends[1]


@given(trials=st.integers(1, 5000), share=st.floats(0.001, 0.999))
def test_the_ends_solve_wilsons_equation(trials: int, share: float) -> None:
    assert wilson_interval(share * trials, trials) == pytest.approx(
        slow_wilson(share * trials, trials), abs=1e-9
    )


@given(trials=st.integers(1, 10**7))
def test_nothing_and_everything_keep_an_end(trials: int) -> None:
    z2 = Z * Z
    assert wilson_interval(0, trials) == pytest.approx((0, z2 / (trials + z2)))
    assert wilson_interval(trials, trials) == pytest.approx((trials / (trials + z2), 1))
    assert wilson_interval(0, trials)[0] == 0
    assert wilson_interval(trials, trials)[1] == 1


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 5), (math.nan, 5)])
def test_what_is_no_share_is_refused(hits: float, trials: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson_interval(hits, trials)


@pytest.mark.parametrize("convention", ["sysu30k", "standard"])
@pytest.mark.parametrize("case", ["0", "1"])
def test_every_rank_k_has_the_interval_of_its_convention(case: str, convention: Convention) -> None:
    with np.load(FIXTURE) as arrays:
        given = [
            arrays[f"{case}/{side}_{what}"]
            for side in ("query", "gallery")
            for what in ("feature", "pid", "camid")
        ]
    result = evaluate_ranking(*given, convention=convention)
    ranks = result.first_match_rank
    queries = len(ranks) if convention == "sysu30k" else int((ranks >= 0).sum())
    assert result.cmc_interval.shape == (50, 2)
    for k in range(1, 51):
        hits = int(((ranks >= 0) & (ranks < k)).sum())
        assert result.interval(k) == wilson_interval(hits, queries)
        assert result.interval(k)[0] <= result.rank(k) <= result.interval(k)[1]
    assert result.rank1_interval == result.interval(1)


def test_many_at_once_are_each_by_itself() -> None:
    hits = [0, 3, 7.5, 20]
    each = [wilson_interval(number, 20) for number in hits]
    assert wilson_intervals(hits, 20).tolist() == [list(ends) for ends in each]


@pytest.mark.parametrize("name", ["statistics", "needle", "comparison"])
def test_statistics_need_no_torch(name: str) -> None:
    code = f"import sys, bagreid.evaluation.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
