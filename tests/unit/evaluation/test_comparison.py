"""McNemar against enumeration and SciPy, Holm and the bootstrap against literal twins."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bagreid.evaluation.comparison import bootstrap_intervals, discordance, exact_mcnemar, holm


def slow_mcnemar(one: int, other: int) -> Fraction:
    """Over all falls of a fair coin: the share at least as uneven as what was seen."""
    throws = one + other
    falls = [sum(fall) for fall in itertools.product((0, 1), repeat=throws)]
    seen = abs(one - other)
    return Fraction(sum(abs(2 * heads - throws) >= seen for heads in falls), len(falls))


@pytest.mark.parametrize("one", range(7))
@pytest.mark.parametrize("other", range(7))
def test_mcnemar_against_every_fall_of_the_coin(one: int, other: int) -> None:
    assert exact_mcnemar(one, other) == float(slow_mcnemar(one, other))


@given(one=st.integers(0, 2000), other=st.integers(0, 2000))
def test_mcnemar_against_scipy(one: int, other: int) -> None:
    p = exact_mcnemar(one, other)
    assert p == exact_mcnemar(other, one)
    if one + other:
        assert p == pytest.approx(binomtest(one, one + other).pvalue, rel=1e-9, abs=1e-300)
    else:
        assert p == 1


@given(answers=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_the_four_counts(answers: list[tuple[bool, bool]]) -> None:
    first, second = np.array(answers, dtype=bool).reshape(-1, 2).T
    found = discordance(first, second)
    assert found.both == answers.count((True, True))
    assert found.only_first == answers.count((True, False))
    assert found.only_second == answers.count((False, True))
    assert found.neither == answers.count((False, False))


@given(p_values=st.lists(st.floats(0, 1), max_size=6), level=st.floats(0.001, 0.5))
def test_holm_rejects_what_its_steps_reject(p_values: list[float], level: float) -> None:
    """The definition: in ascending order, until one exceeds level / (tests left)."""
    rejected = set()
    for done, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] * (len(p_values) - done) > level:
            break
        rejected.add(place)
    corrected = holm(p_values)
    assert {place for place, p in enumerate(corrected) if p <= level} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, corrected, strict=True))


def slow_bootstrap(difference: np.ndarray, cluster: np.ndarray, resamples: int) -> np.ndarray:
    """Draws lists of clusters, and averages their queries one by one."""
    rng = np.random.default_rng(5)
    queries = [np.flatnonzero(cluster == name) for name in np.unique(cluster)]
    means = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(queries), len(queries))
        means.append(np.mean([difference[q] for name in drawn for q in queries[name]], axis=0))
    return np.quantile(np.array(means), [0.025, 0.975], axis=0).T


@pytest.mark.parametrize("people", [40, 12], ids=["each its own", "some share a person"])
def test_bootstrap_against_a_literal_one(people: int) -> None:
    rng = np.random.default_rng(2)
    difference = np.stack([rng.integers(-1, 2, 40), rng.normal(0.2, 0.3, 40)], axis=1)
    cluster = rng.permutation(np.arange(40) % people) * 7
    ends = bootstrap_intervals(difference, cluster)
    # The ends of 3,000 resamples are themselves known to about a twentieth of the spread.
    spread = (ends[:, 1] - ends[:, 0]).max()
    np.testing.assert_allclose(
        ends, slow_bootstrap(difference, cluster, 3000), atol=0.07 * spread, rtol=0
    )


def test_bootstrap_follows_from_its_seed_and_mirrors() -> None:
    difference = np.random.default_rng(1).normal(size=(300, 2))
    cluster = np.arange(300)
    ends = bootstrap_intervals(difference, cluster)
    np.testing.assert_array_equal(ends, bootstrap_intervals(difference, cluster))
    assert not np.array_equal(ends, bootstrap_intervals(difference, cluster, seed=1))
    np.testing.assert_allclose(bootstrap_intervals(-difference, cluster), -ends[:, ::-1])


def test_bootstrap_agrees_with_the_normal_law_for_many_queries() -> None:
    difference = np.random.default_rng(4).choice([-1, 0, 0, 0, 1, 1], (4000, 1)).astype(float)
    [[low, high]] = bootstrap_intervals(difference, np.arange(4000))
    error = 1.96 * difference.std() / 4000**0.5
    assert (low, high) == pytest.approx(
        (difference.mean() - error, difference.mean() + error), abs=0.05 * error
    )


def test_bootstrap_in_parts_is_the_same_kind_of_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    difference = np.random.default_rng(1).normal(size=(60, 1))
    whole = bootstrap_intervals(difference, np.arange(60))
    monkeypatch.setattr("bagreid.evaluation.comparison._AT_ONCE", 1000)
    parts = bootstrap_intervals(difference, np.arange(60))
    np.testing.assert_allclose(parts, whole, atol=0.03)


def test_a_single_cluster_has_no_spread() -> None:
    ends = bootstrap_intervals(np.array([[0.5], [0.1]]), np.zeros(2, np.int64))
    np.testing.assert_allclose(ends, [[0.3, 0.3]])
