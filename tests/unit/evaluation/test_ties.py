"""Rules of ties against every order that tied answers can have."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.contracts import Convention
from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.toplist import Ties

from .literal import average_precision


def all_orders(score: Any, match: Any, rule: str) -> list[list[bool]]:
    """Whether the answers are right, best first, in every order that the rule leaves open."""
    groups = []
    for value in sorted(set(score.tolist()), reverse=True):
        tied = match[score == value].tolist()
        if rule == "mean":
            groups.append(list(itertools.permutations(tied)))
        else:
            groups.append([tuple(sorted(tied, reverse=rule == "optimistic"))])
    return [list(itertools.chain(*order)) for order in itertools.product(*groups)]


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    gallery=st.integers(1, 7),
    levels=st.integers(1, 3),
    rule=st.sampled_from(["pessimistic", "optimistic", "mean"]),
    convention=st.sampled_from(["sysu30k", "standard"]),
)
def test_equals_the_average_over_all_orders(
    seed: int, gallery: int, levels: int, rule: Ties, convention: Convention
) -> None:
    rng = np.random.Generator(np.random.Philox(key=seed))
    score = rng.integers(0, levels, gallery).astype(np.float32)
    match = rng.random(gallery) < 0.4
    match[0] = True
    result = evaluate_ranking(
        np.ones((1, 1), np.float32),
        [3],
        [1],
        score[:, None],
        np.where(match, 3, -1000),
        np.full(gallery, 2),
        convention=convention,
        ties=rule,
    )
    orders = all_orders(score, match, rule)
    places = [np.flatnonzero(order) for order in orders]
    first = np.array([hits[0] for hits in places])
    assert result.expected_rank[0] == pytest.approx(first.mean(), abs=1e-12)
    expected = [average_precision(hits.tolist(), convention) for hits in places]
    assert result.mean_ap == pytest.approx(np.mean(expected), abs=1e-12)
    penalty = [len(hits) / (hits[-1] + 1) for hits in places]
    assert result.mean_inp == pytest.approx(np.mean(penalty), abs=1e-12)
    for k in range(1, 9):
        assert result.rank(k) == pytest.approx(np.mean(first < k), abs=1e-12)
    if rule != "mean":
        assert result.first_match_rank[0] == first[0]
    ties = sum(int(((score == value) & ~match).sum()) for value in score[match])
    assert result.counts.ties == ties
    assert result.ties == rule


@pytest.mark.parametrize(
    ("rule", "first", "listed"),
    [("pessimistic", 2, [0, 2, 1]), ("optimistic", 0, [1, 0, 2]), ("mean", 2, [0, 1, 2])],
)
def test_lists_follow_the_rule(rule: Ties, first: int, listed: list[int]) -> None:
    ones = np.ones((3, 2), np.float32)
    result = evaluate_ranking(
        ones[:1], [5], [1], ones, [-1000, 5, -1000], [2, 2, 2], convention="standard", ties=rule
    )
    assert result.first_match_rank.tolist() == [first]
    assert result.top_index[0, :3].tolist() == listed


@pytest.mark.parametrize("rule", ["pessimistic", "optimistic", "mean"])
def test_what_nobody_saw_is_last_under_every_rule(rule: Ties) -> None:
    result = evaluate_ranking(
        np.ones((1, 2), np.float32),
        [5],
        [1],
        np.ones((4, 2), np.float32),
        [-1000, 5, 5, -1000],
        [2, 2, 2, 2],
        convention="standard",
        ties=rule,
        gallery_broken=np.array([1, 2, 3]),
    )
    assert result.expected_rank.tolist() == [2.0]
    assert result.mean_inp == 0.5


def test_thousands_of_ties_on_average() -> None:
    """One match among n ties is in the middle, and within the first k by a chance of k/n."""
    ones = np.ones((2001, 4), np.float32)
    pid = np.full(2001, -1000)
    pid[77] = 1
    result = evaluate_ranking(
        ones[:1], [1], [2], ones, pid, np.ones(2001, int), convention="sysu30k", ties="mean"
    )
    assert result.expected_rank.tolist() == [1000.0]
    assert result.rank(10) == pytest.approx(10 / 2001, rel=1e-12)
    harmonic = sum(1 / place for place in range(1, 2002))
    standard = evaluate_ranking(
        ones[:1], [1], [2], ones, pid, np.ones(2001, int), convention="standard", ties="mean"
    )
    assert standard.mean_ap == pytest.approx(harmonic / 2001, rel=1e-12)
    with pytest.raises(ValueError, match="ties is 'never'"):
        evaluate_ranking(
            ones, pid, pid, ones, pid, pid, convention="sysu30k", ties="never"  # type: ignore[arg-type]
        )  # fmt: skip
