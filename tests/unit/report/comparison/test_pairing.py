"""Pairs against a literal reckoning, query by query; verdicts say no more than the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bagreid.report.comparison.entries import read_entries
from bagreid.report.comparison.pairing import Difference, Pair, pair_up
from bagreid.report.comparison.verdict import (
    cautions,
    interval_text,
    p_text,
    signed_points,
    verdict,
)

from .results_of import hard_and_easy, record, written


def paired(tmp_path: Path, *ranks: list[int], **settings: object) -> list[Pair]:
    files = [
        written(tmp_path / f"{n}.json", record(found, method="ABCDE"[n], **settings))  # type: ignore[arg-type]
        for n, found in enumerate(ranks)
    ]
    return pair_up(read_entries(files))


@pytest.mark.parametrize("convention", ["sysu30k", "standard"])
def test_a_pair_against_a_literal_reckoning(tmp_path: Path, convention: str) -> None:
    one, other = (hard_and_easy(200, seed, wrong=900) for seed in (1, 2))
    for ranks in (one, other):
        ranks[17] = ranks[60] = -1
    [pair] = paired(tmp_path, one, other, convention=convention, wrong=900)
    counted = 200 if convention == "sysu30k" else 198
    assert pair.queries == pair.people == counted
    for found in pair.ranks:
        right = [[0 <= rank < found.k for rank in ranks] for ranks in (one, other)]
        only_one = sum(a and not b for a, b in zip(*right, strict=True))
        only_other = sum(b and not a for a, b in zip(*right, strict=True))
        counts = found.discordance
        assert (counts.only_first, counts.only_second) == (only_one, only_other)
        assert counts.both == sum(a and b for a, b in zip(*right, strict=True))
        both_ways = counts.both + counts.neither + only_one + only_other
        assert both_ways == counted
        assert counts.p_value == pytest.approx(binomtest(only_one, only_one + only_other).pvalue)
        assert found.difference.first == pytest.approx(sum(right[0]) / counted)
        assert found.difference.value == pytest.approx((only_one - only_other) / counted)
        assert found.difference.low <= found.difference.value <= found.difference.high
    precision = [sum(1 / (1 + r) for r in ranks if r >= 0) / counted for ranks in (one, other)]
    assert (pair.mean_ap.first, pair.mean_ap.second) == pytest.approx(precision)
    assert len(pair.names) == 198
    assert (pair.first_rank == [rank + 1 for rank in np.array(one)[pair_order(pair)]]).all()


def pair_order(pair: Pair) -> list[int]:
    return [int(name.removeprefix("query ")) for name in pair.names]


def test_the_other_way_round_is_the_mirror(tmp_path: Path) -> None:
    ranks = [hard_and_easy(80, seed, wrong=900) for seed in (1, 2)]
    [pair] = paired(tmp_path, *ranks, wrong=900)
    [mirrored] = paired(tmp_path, *ranks[::-1], wrong=900)
    for here, there in zip(pair.ranks, mirrored.ranks, strict=True):
        assert here.difference.value == pytest.approx(-there.difference.value)
        assert (here.difference.low, here.difference.high) == pytest.approx(
            (-there.difference.high, -there.difference.low)
        )
        assert here.discordance.p_value == there.discordance.p_value


def test_several_pairs_are_corrected(tmp_path: Path) -> None:
    ranks = [hard_and_easy(150, n, worse=0.1 * n, wrong=900) for n in range(4)]
    pairs = paired(tmp_path, *ranks, wrong=900)
    raw = [pair.ranks[0].discordance.p_value for pair in pairs]
    for pair, p in zip(pairs, raw, strict=True):
        assert p <= pair.p_value <= 3 * p or pair.p_value == 1
        said = verdict(pair, corrected=True)
        assert "corrected p" in said or "same rank-1" in said
    least = int(np.argmin(raw))
    assert pairs[least].p_value == pytest.approx(min(1, 3 * raw[least]))


def test_queries_of_one_person_are_drawn_together(tmp_path: Path) -> None:
    ranks = [hard_and_easy(60, seed, wrong=900) for seed in (1, 2)]
    [pair] = paired(tmp_path, *ranks, wrong=900, pids=[place % 20 for place in range(60)])
    assert (pair.queries, pair.people) == (60, 20)
    assert any("60 queries are of 20 people" in said for said in cautions([], [pair]))
    [unknown] = paired(tmp_path, *ranks, wrong=900, pids=[-1000] * 60)
    assert unknown.people == 60


def test_the_largest_changes_come_by_factor(tmp_path: Path) -> None:
    [pair] = paired(tmp_path, [0, 99, 499, 7, 0], [9, 0, 489, 7, 1], wrong=900)
    told = [(change.first, change.second) for change in pair.changes]
    assert told == [(1, 10), (1, 2), (100, 1), (500, 490)]


@given(answers=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_a_verdict_claims_no_more_than_the_test(
    tmp_path_factory: pytest.TempPathFactory, answers: list[tuple[int, int]]
) -> None:
    one, other = ([ranks[side] for ranks in answers] for side in (0, 1))
    [pair] = paired(tmp_path_factory.mktemp("pair"), one, other)
    said = verdict(pair)
    counts = pair.ranks[0].discordance
    significant = counts.p_value < 0.05
    assert ("more than the chance" in said) == significant
    if counts.only_first > counts.only_second:
        assert said.startswith("A is ahead of B by ")
    elif counts.only_first < counts.only_second:
        assert said.startswith("B is ahead of A by ")
    else:
        assert "ahead of" not in said
        assert not significant
    assert "equal" not in said
    assert said.endswith(".")


def test_words_for_numbers() -> None:
    assert [p_text(p) for p in (1.0, 0.25, 0.049, 0.0012, 1e-9)] == [
        "= 1.00", "= 0.25", "= 0.049", "= 0.0012", "< 0.0001"
    ]  # fmt: skip
    points = [signed_points(v) for v in (0.031, -0.2, 0.0, -0.0004)]
    assert points == ["+3.1", "\u221220.0", "0.0", "0.0"]
    difference = Difference(first=0.3, second=0.2, low=-0.001, high=0.2)
    assert interval_text(difference) == "\u22120.1\u00a0to\u00a0+20.0"


@given(p=st.floats(1e-4, 1) | st.floats(0.0499, 0.0501))
def test_no_p_value_is_rounded_to_the_other_side_of_the_level(p: float) -> None:
    assert (float(p_text(p).removeprefix("= ")) < 0.05) == (p < 0.05)
