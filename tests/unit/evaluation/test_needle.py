"""The needle curve against enumeration, whole-number fractions, simulation and real galleries."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.contracts import Convention
from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.needle import chance_within, needle_curve, needle_sizes
from bagreid.evaluation.statistics import wilson_interval


def one(ahead: int, whole: int, drawn: int, k: int) -> float:
    arrays = (np.array([value]) for value in (ahead, whole, drawn))
    return float(chance_within(*arrays, [k])[0, 0])


def exact(ahead: int, whole: int, drawn: int, k: int) -> Fraction:
    """The sum of hypergeometric probabilities in whole numbers."""
    ways = sum(
        math.comb(ahead, j) * math.comb(whole - ahead, drawn - j) for j in range(min(k, drawn + 1))
    )
    return Fraction(ways, math.comb(whole, drawn))


def enumerated(ahead: int, whole: int, drawn: int, k: int) -> Fraction:
    """Every sub-gallery there is, tested one by one; wrong answers 0 … ahead − 1 are ahead."""
    galleries = list(itertools.combinations(range(whole), drawn))
    hits = sum(sum(answer < ahead for answer in gallery) < k for gallery in galleries)
    return Fraction(hits, len(galleries))


def test_small_cases_against_every_sub_gallery() -> None:
    for whole in range(8):
        for ahead, drawn, k in itertools.product(range(whole + 1), range(whole + 1), (1, 2, 3, 9)):
            wanted = enumerated(ahead, whole, drawn, k)
            assert exact(ahead, whole, drawn, k) == wanted
            assert one(ahead, whole, drawn, k) == pytest.approx(float(wanted), abs=1e-14)


@settings(max_examples=60)
@given(data=st.data(), whole=st.integers(1, 4000), k=st.integers(1, 20))
def test_formula_against_whole_number_fractions(data: st.DataObject, whole: int, k: int) -> None:
    ahead, drawn = (data.draw(st.integers(0, whole)) for _ in range(2))
    wanted = float(exact(ahead, whole, drawn, k))
    assert one(ahead, whole, drawn, k) == pytest.approx(wanted, rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("ahead", [0, 1, 2, 17, 400])
@pytest.mark.parametrize("drawn", [1, 100, 7_777, 300_000, 479_728])
def test_first_places_at_full_size(ahead: int, drawn: int) -> None:
    """C(N − r, n) / C(N, n) as a product of whole-number factors."""
    whole = 479_729
    above = math.prod(max(whole - drawn - i, 0) for i in range(ahead))
    below = math.prod(whole - i for i in range(ahead))
    wanted = float(Fraction(above, below))
    assert one(ahead, whole, drawn, 1) == pytest.approx(wanted, rel=1e-12, abs=1e-300)


@given(data=st.data(), whole=st.integers(1, 10**7), k=st.integers(1, 10))
def test_both_ends_are_certain(data: st.DataObject, whole: int, k: int) -> None:
    ahead = data.draw(st.integers(0, min(whole, 30)))
    assert one(ahead, whole, whole, k) == (ahead < k)
    assert one(ahead, whole, 0, k) == 1
    if ahead < k:
        assert one(ahead, whole, whole // 2, k) == pytest.approx(1, abs=1e-12)


@given(data=st.data(), whole=st.integers(2, 500_000))
def test_more_wrong_answers_never_help(data: st.DataObject, whole: int) -> None:
    ahead = data.draw(st.integers(0, whole))
    sizes = needle_sizes(whole)
    curve = needle_curve(
        np.array([ahead]), np.array([whole]), convention="standard", places=(1, 2, 5), sizes=sizes
    )
    assert np.all(np.diff(curve.share, axis=0) <= 1e-11)
    assert np.all(np.diff(curve.share, axis=1) >= 0)


def test_expected_shares_against_simulation() -> None:
    """Draws galleries from the wrong answers and counts; within five standard errors each."""
    rng = np.random.Generator(np.random.Philox(key=7))
    whole, draws = 300, 4_000
    ranks = np.array([0, 0, 1, 3, 8, 30, 120, 299, 300, -1])
    sizes = np.array([1, 10, 60, 200, 299, 300])
    curve = needle_curve(
        ranks, np.full(10, whole), convention="sysu30k", places=(1, 3, 10), sizes=sizes
    )
    hits = np.zeros((len(sizes), 3))
    for _ in range(draws):
        order = rng.permutation(whole)
        for place, size in enumerate(sizes):
            ahead = (order[:size, None] < ranks).sum(0)
            hits[place] += [((ahead < k) & (ranks >= 0)).mean() for k in (1, 3, 10)]
    error = 0.5 / math.sqrt(draws)  # of a share whose draws differ by at most 1
    np.testing.assert_allclose(curve.share, hits / draws, atol=5 * error, rtol=0)
    np.testing.assert_array_equal(curve.share[-1], [0.2, 0.3, 0.5])


@pytest.mark.parametrize("convention", ["sysu30k", "standard"])
def test_expected_rank_k_against_tests_of_smaller_galleries(convention: Convention) -> None:
    """Several matches a query, ties, junk, and queries without a match, through the real ranking.

    Every sub-gallery of three of the wrong answers is tested with all matches left in.
    """
    rng = np.random.Generator(np.random.Philox(key=3))
    query = rng.integers(-2, 3, (6, 2)).astype(np.float32)  # few values: many ties
    query_pid = np.array([1, 2, 3, 4, 1, 9])
    wrong = rng.integers(-2, 3, (8, 2)).astype(np.float32)
    right = rng.integers(-2, 3, (7, 2)).astype(np.float32)
    right_pid = np.array([1, 1, 2, 3, 4, 4, 4])
    own = [np.flatnonzero(right_pid == pid) for pid in query_pid]

    def test_of(number: int, chosen: tuple[int, ...]) -> tuple[int, int]:
        matches = right[own[number]]
        gallery = np.concatenate([wrong[list(chosen)], matches, right[:1]])
        pid = np.concatenate([[-1000] * len(chosen), [query_pid[number]] * len(matches), [-1]])
        if not len(matches):
            return -1, len(chosen)
        result = evaluate_ranking(
            query[number : number + 1],
            query_pid[number : number + 1],
            [2],
            gallery,
            pid.astype(np.int64),
            np.ones(len(pid), np.int64),
            convention=convention,
        )
        return int(result.first_match_rank[0]), int(result.wrong_answers[0])

    whole = [test_of(number, tuple(range(8))) for number in range(6)]
    ranks, number_wrong = (np.array(values) for values in zip(*whole, strict=True))
    assert number_wrong.tolist() == [8] * 6
    curve = needle_curve(
        ranks, number_wrong, convention=convention, places=(1, 2), sizes=np.array([3, 8])
    )
    tested = [
        [test_of(number, chosen)[0] for number in range(6)]
        for chosen in itertools.combinations(range(8), 3)
    ]
    counted = 6 if convention == "sysu30k" else 5
    for column, k in enumerate((1, 2)):
        shares = [sum(0 <= rank < k for rank in row) / counted for row in tested]
        assert curve.share[0, column] == pytest.approx(np.mean(shares), abs=1e-12)
        at_all = sum(0 <= rank < k for rank in ranks) / counted
        assert curve.share[1, column] == at_all
        wilson = wilson_interval(round(at_all * counted), counted)
        assert curve.interval[1, column].tolist() == pytest.approx(wilson)


def test_queries_with_fewer_wrong_answers_have_all_of_theirs() -> None:
    curve = needle_curve(
        np.array([2, 5]), np.array([4, 50]), convention="standard", places=(1, 3), sizes=None
    )
    assert curve.sizes[-1] == 50
    for size, share in zip(curve.sizes.tolist(), curve.share, strict=True):
        for column, k in enumerate((1, 3)):
            wanted = (exact(2, 4, min(size, 4), k) + exact(5, 50, size, k)) / 2
            assert share[column] == pytest.approx(float(wanted), abs=1e-13)


@given(most=st.integers(1, 10**8))
def test_sizes_rise_evenly_to_all(most: int) -> None:
    sizes = needle_sizes(most)
    assert sizes[-1] == most
    assert sizes[0] in {1, 10, 100}
    assert np.all(np.diff(sizes) > 0)
    if most >= 1000:
        assert sizes[0] == 100
        steps = np.diff(np.log10(sizes))
        assert steps.max() < 1.3 * steps.min()


def test_impossible_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="behind more images than there are"):
        needle_curve(np.array([5]), np.array([4]), convention="sysu30k")
    with pytest.raises(ValueError, match="no query counts"):
        needle_curve(np.array([-1]), np.array([4]), convention="standard")
