"""The needle curve: rank-k against the number of wrong answers, in closed form.

A query's best match stands behind r of the N wrong answers of the whole gallery. Draw n of the N
at random and leave the matches in: the number h of drawn ones that stand ahead of the best match
is hypergeometric, and the match is among the first k where h < k. So one test of the whole
gallery tells what every smaller gallery would have given on average, without drawing any:

    P(rank <= k) = sum over j < k of C(r, j) C(N - r, n - j) / C(N, n),

for k = 1 simply C(N - r, n) / C(N, n). With all N it is 1 where r < k and 0 elsewhere: the CMC as
measured. Where a query has several matches all stay in, and the best one counts. The ranks are
those of the test, so under its pessimistic rule a tie is ahead of the match here too.

All of this holds for scores that depend on the query and the image alone. Re-ranking scores an
image by its neighbours in the gallery too, so there a smaller gallery must be tested itself.

NumPy alone. Shape letters: Q queries, S sizes, K places, J numbers of wrong answers ahead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bagreid.contracts import Convention, FloatArray, IntArray
from bagreid.evaluation.metrics import divisor
from bagreid.evaluation.statistics import wilson_intervals

PLACES = (1, 5, 10)
"""The k of the curves unless one asks for others."""

SMALLEST = 100
"""Wrong answers at the left end of a curve, where the gallery has ten times as many."""

_A_DECADE = 16
_STIRLING_FROM = 16
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_STIRLING = np.array(
    [0.0]
    + [
        math.lgamma(m + 1) - (m + 0.5) * math.log(m) + m - _HALF_LOG_2PI
        for m in range(1, _STIRLING_FROM)
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeedleCurve:
    """Expected rank-k over sizes of the gallery.

    Attributes:
        sizes: ``(S,)`` int64, wrong answers in the gallery, ascending; the last is all of them.
        places: The k.
        share: ``(S, K)`` float64, expected share of queries with a match among the first k.
        interval: ``(S, K, 2)`` float64, Wilson's 95 % interval at the expected share and the
            number of queries, for each size by itself. It is the interval of a test that draws
            its gallery once; the expected share varies less from one set of queries to another,
            so the interval is on the wide side. At the right end it is that of the measured CMC.
    """

    sizes: IntArray
    places: tuple[int, ...]
    share: FloatArray
    interval: FloatArray


def needle_sizes(most: int) -> IntArray:
    """Sizes for a curve: 100 to all, evenly spaced in the logarithm.

    Args:
        most: Wrong answers in the whole gallery, at least 1.

    Returns:
        ``(S,)`` int64 ascending, the last is `most`; they begin at 10 or 1 where the gallery has
        not ten times 100, or ten times 10.
    """
    first = SMALLEST
    while first > 1 and most < 10 * first:
        first //= 10
    steps = max(2, math.ceil(_A_DECADE * math.log10(max(most / first, 1.0))) + 1)
    sizes = np.rint(np.geomspace(first, most, steps)).astype(np.int64)
    return np.unique(np.append(sizes, most))


def needle_curve(
    first_match_rank: IntArray,
    wrong_answers: IntArray,
    *,
    convention: Convention,
    places: Sequence[int] = PLACES,
    sizes: IntArray | None = None,
) -> NeedleCurve:
    """Expected rank-k of smaller galleries, from the ranks in the whole one.

    Args:
        first_match_rank: ``(Q,)`` int64, wrong answers ahead of each query's best match, −1 where
            it has none.
        wrong_answers: ``(Q,)`` int64, how many each query's matches compete with; a query with
            fewer than a size has all of them there.
        convention: What the shares are of.
        places: The k.
        sizes: ``(S,)`` ascending; those of `needle_sizes` where left out.

    Returns:
        The curve.

    Raises:
        ValueError: When a match stands behind more wrong answers than there are, or no query
            counts.
    """
    have = first_match_rank >= 0
    ahead, whole = first_match_rank[have], wrong_answers[have]
    queries = divisor(first_match_rank, convention)
    if queries == 0 or np.any(ahead > whole):
        raise ValueError("no query counts, or a match stands behind more images than there are")
    if sizes is None:
        sizes = needle_sizes(max(1, int(whole.max(initial=1))))
    # Some queries have the same rank among as many: each such pair is computed once.
    pairs, times = np.unique(np.stack([ahead, whole]), axis=1, return_counts=True)
    share = np.zeros((len(sizes), len(places)))
    for place, size in enumerate(sizes.tolist()):
        drawn = np.minimum(size, pairs[1])
        share[place] = times @ chance_within(pairs[0], pairs[1], drawn, places) / queries
    share = np.clip(share, 0.0, 1.0)
    return NeedleCurve(
        sizes=sizes,
        places=tuple(places),
        share=share,
        interval=wilson_intervals(share * queries, queries),
    )


def chance_within(
    ahead: IntArray, whole: IntArray, drawn: IntArray, places: Sequence[int]
) -> FloatArray:
    """The chance that fewer than k of the wrong answers ahead of a match are drawn.

    Args:
        ahead: ``(Q,)`` int64, r: wrong answers ahead of the match.
        whole: ``(Q,)`` int64, N: wrong answers in all, at least `ahead`.
        drawn: ``(Q,)`` int64, n: how many of them are drawn, at most `whole`.
        places: The k, at least 1 each.

    Returns:
        ``(Q, K)`` float64; exactly 0 or 1 where all or none are drawn.
    """
    number_J = np.arange(max(places))
    r, total, n = (values[:, None] for values in (ahead, whole, drawn))
    # All or none drawn leaves nothing to chance; the formula divides by zero there.
    chance = np.clip(n / np.maximum(total, 1), 0.0, 1.0)
    settled = (n == total) | (n == 0)
    p = np.where(settled, 0.5, chance)
    log_QJ = (
        _log_binomial(number_J, r, p)
        + _log_binomial(n - number_J, total - r, p)
        - _log_binomial(n, total, p)
    )
    within_QJ = np.cumsum(np.exp(log_QJ), axis=1)
    certain_QJ = (np.where(n == 0, 0, r) <= number_J).astype(np.float64)
    result_QJ = np.where(settled, certain_QJ, np.minimum(within_QJ, 1.0))
    return result_QJ[:, np.asarray(places) - 1]


def _log_binomial(hits: IntArray, trials: IntArray, p: FloatArray) -> FloatArray:
    """Logarithm of a binomial probability, to about 1e-14 also for millions of trials.

    Source: C. Loader, Fast and Accurate Computation of Binomial Probabilities (2000): deviances
    instead of differences of large logarithms.

    Args:
        hits: Whole numbers, possibly outside 0 … trials; all three broadcast.
        trials: Whole numbers from 0 on.
        p: Between 0 and 1.

    Returns:
        The logarithms, −∞ for impossible numbers of hits.
    """
    x, m, p = np.broadcast_arrays(hits, trials, p)
    inside = (x > 0) & (x < m)
    # Any harmless numbers where another formula holds.
    y, t = np.where(inside, x, 1), np.where(inside, m, 2)
    value = _stirling_error(t) - _stirling_error(y) - _stirling_error(t - y)
    value -= _deviance(y, t * p) + _deviance(t - y, t * (1 - p))
    value += 0.5 * np.log(t / y / (t - y)) - _HALF_LOG_2PI
    value = np.where(x == 0, m * np.log1p(-p), value)
    value = np.where((x == m) & (m > 0), m * np.log(p), value)
    return np.where((x < 0) | (x > m), -np.inf, value)


def _stirling_error(number: IntArray) -> FloatArray:
    """Stirling's approximation √(2πm)(m/e)^m taken from m!, in logarithms; 0 for 0."""
    small = np.take(_STIRLING, np.minimum(number, _STIRLING_FROM - 1))
    large = np.maximum(number, _STIRLING_FROM).astype(np.float64)
    q = large**-2
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - q / 1188) * q) * q) * q) / large
    return np.where(number < _STIRLING_FROM, small, series)


def _deviance(x: IntArray, mean: FloatArray) -> FloatArray:
    """The term x log(x / mean) + mean − x, exact also where the two are near; x above 0."""
    v = (x - mean) / (x + mean)
    near = np.abs(v) < 0.1
    w = np.where(near, v, 0.0)
    # log(x / mean) = 2 artanh(v): its series, with the first term taken into (x − mean) v.
    tail = np.zeros_like(w)
    for power in range(19, 1, -2):
        tail = (tail + 2.0 / power) * w * w
    far = np.where(near, 1.0, x / mean)
    return np.where(near, (x - mean) * w + x * w * tail, x * np.log(far) + mean - x)
