"""What a query scores where wrong answers tie with its matches: worst, best, or on average.

The averages are expectations over every order of the answers that score the same, each as likely
as any other (after McSherry & Najork, Computing Information Retrieval Performance Measures
Efficiently in the Presence of Tied Scores, ECIR 2008), in closed form.

Shape letters: Q queries, M matches, R runs: matches of one query that score the same, K ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bagreid.contracts import Convention, FloatArray, IntArray
from bagreid.evaluation.counting import Counted
from bagreid.evaluation.metrics import (
    QueryMetrics,
    cumulative_matches,
    divisor,
    query_metrics,
)
from bagreid.evaluation.toplist import Ties


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """``(R,)`` int64 each; a run and the wrong answers that tie with it stand in any order."""

    query: IntArray
    earlier: IntArray
    ahead: IntArray
    matches: IntArray
    total: IntArray


def score_queries(
    counted: Counted, queries: int, convention: Convention, ties: Ties, length: int
) -> tuple[QueryMetrics, FloatArray, FloatArray]:
    """Metrics, expected first ranks and the CMC under a rule of ties.

    Args:
        counted: The matches, and how many wrong answers stand around each.
        queries: Q.
        convention: What shares are of, and which average precision.
        ties: ``pessimistic``: every wrong answer that ties with a match stands ahead of it;
            ``optimistic``: behind it; ``mean``: expected values over all their orders.
        length: Ranks of the CMC.

    Returns:
        The metrics; the ``(Q,)`` float64 rank of the best match, NaN = no match; and the
        ``(length,)`` float64 CMC. Under ``mean`` these are expectations, but for the metrics'
        integer `first_match_rank`, which is the pessimistic one.
    """
    query_M, better_M = counted.match_query, counted.better
    ahead_M = counted.higher + (0 if ties == "optimistic" else counted.equal)
    metrics = query_metrics(query_M, ahead_M + better_M, queries, convention)
    first = metrics.first_match_rank
    rank_Q = np.where(first < 0, np.nan, first)
    cmc = cumulative_matches(first, convention, length)
    if ties != "mean" or not counted.ties:
        return metrics, rank_Q, cmc
    runs = _runs(counted)
    tied = np.unique(query_M[counted.equal > 0])
    average = metrics.average_precision.copy()
    penalty = metrics.inverse_negative_penalty.copy()
    number = np.bincount(query_M, minlength=queries)
    precision = np.bincount(runs.query, _run_precision(runs, convention), minlength=queries)
    average[tied] = precision[tied] / number[tied]
    for query in tied.tolist():
        penalty[query] = number[query] * _inverse_last(runs, query)
    opening = np.unique(runs.query, return_index=True)[1]
    rank_Q[runs.query[opening]] = _first_rank(runs)[opening]
    cmc = _expected_hits(runs, opening, length).sum(0) / divisor(first, convention)
    return QueryMetrics(first, average, penalty), rank_Q, cmc


def _runs(counted: Counted) -> _Runs:
    query_M, score_M, better_M = counted.match_query, counted.match_score, counted.better
    new = np.ones(len(query_M), dtype=bool)
    same = (query_M[1:] == query_M[:-1]) & (score_M[1:] == score_M[:-1])
    new[1:] = ~same | (score_M[1:] == -np.inf)  # what nobody saw stands in a fixed order
    start = np.flatnonzero(new)
    matches = np.diff(np.append(start, len(new)))
    return _Runs(
        query=query_M[start],
        earlier=better_M[start],
        ahead=counted.higher[start] + better_M[start],
        matches=matches,
        total=matches + counted.equal[start],
    )


def _run_precision(runs: _Runs, convention: Convention) -> FloatArray:
    """The expected sum of the precisions of each run's matches, ``(R,)``.

    Place j = 1 … N of a run holds one of its n matches with probability n/N, and then ρ·(j − 1) of
    the others are expected before it, ρ = (n − 1)/(N − 1). Summed over j, precisions at a place
    give a constant and a difference of harmonic numbers; so do those before it.
    """
    n, total, ahead = runs.matches, runs.total, runs.ahead
    rho = (n - 1) / np.maximum(total - 1, 1)
    steps = _harmonic(ahead + total) - _harmonic(ahead)
    at = rho * total + (runs.earlier + 1 - (ahead + 1) * rho) * steps
    if convention == "standard":
        return np.asarray(n / total * at)
    leads = ahead == 0  # the place before the first counts as precision 1
    steps = _harmonic(ahead + total - 1) - _harmonic(np.maximum(ahead, 1) - 1)
    before = rho * (total - leads) + (runs.earlier - ahead * rho) * steps + leads
    return np.asarray(n / total * (at + before) / 2)


def _harmonic(number: IntArray) -> FloatArray:
    """1 + 1/2 + … + 1/n, less a constant."""
    shifted = torch.from_numpy(np.asarray(number, dtype=np.float64) + 1)
    return np.asarray(torch.special.digamma(shifted).numpy())


def _first_rank(runs: _Runs) -> FloatArray:
    """The expected rank of each run's first match, from 0: the others part the wrong evenly."""
    return runs.ahead + (runs.total - runs.matches) / (runs.matches + 1)


def _expected_hits(runs: _Runs, opening: IntArray, length: int) -> FloatArray:
    """The probability that a query's best match is among the first k, ``(queries with one, K)``."""
    ahead, n = runs.ahead[opening, None], runs.matches[opening, None]
    total = runs.total[opening, None]
    inside = np.clip(np.arange(1, length + 1) - ahead, 0, total)
    missed = np.ones(inside.shape)
    for drawn in range(int(n.max(initial=0))):
        left = np.maximum(total - inside - drawn, 0) / np.maximum(total - drawn, 1)
        missed = np.where(drawn < n, missed * left, missed)
    return 1 - missed


def _inverse_last(runs: _Runs, query: int) -> float:
    """The expectation of 1/(rank of the worst match + 1) of one query.

    Among N places the last of n matches is at place x with probability C(x−1, n−1)/C(N, n).
    """
    last = int(np.searchsorted(runs.query, query, "right")) - 1
    n, total, ahead = int(runs.matches[last]), int(runs.total[last]), int(runs.ahead[last])
    place = np.arange(total, n - 1, -1)
    ratio = (place[:-1] - n) / np.maximum(place[:-1] - 1, 1)
    chance = n / total * np.cumprod(np.append(1.0, ratio))
    return float(np.sum(chance / (ahead + place)))
