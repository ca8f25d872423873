"""Two methods on the same queries: exact McNemar, paired bootstrap, Holm's correction.

NumPy alone. Shape letters: Q queries, M measures, C clusters of queries, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.contracts import FloatArray, IntArray
from bagreid.evaluation.statistics import CONFIDENCE

RESAMPLES = 10_000
"""How often the bootstrap draws."""

_AT_ONCE = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class Discordance:
    """How two methods' right answers fall together.

    Attributes:
        both: Queries that both answer right.
        only_first: Queries that only the first method does.
        only_second: Queries that only the second does.
        neither: Queries that neither does.
        p_value: Of the exact two-sided McNemar test.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float


def discordance(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Discordance:
    """Counts and tests on which queries two methods differ.

    Args:
        first: ``(Q,)`` whether the first method answers each query right.
        second: ``(Q,)`` the same of the second.

    Returns:
        The four counts and the exact test of the two that differ.
    """
    one, other = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    both = int(np.sum(first & second))
    return Discordance(
        both=both,
        only_first=one,
        only_second=other,
        neither=len(first) - both - one - other,
        p_value=exact_mcnemar(one, other),
    )


def exact_mcnemar(one: int, other: int) -> float:
    """The exact two-sided McNemar test: are two counts of differing answers evenly split?

    Twice the chance that a fair coin gives the smaller count or less in as many throws, at most 1;
    in whole numbers, so right to the last digit. Source: Q. McNemar, Psychometrika 12 (1947), with
    the binomial in place of its approximation.

    Args:
        one: Queries that only the first method answers right.
        other: Queries that only the second does.

    Returns:
        The p-value, 1 where the two never differ.
    """
    throws = one + other
    term = total = 1
    for heads in range(min(one, other)):
        term = term * (throws - heads) // (heads + 1)
        total += term
    return min(1.0, 2 * total / (1 << throws))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for several tests at once.

    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal
    of Statistics 6 (1979).

    Args:
        p_values: Of each test by itself.

    Returns:
        The corrected p-values in the same order: all below α are significant together at α.
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        least = max(least, min(1.0, (len(p_values) - done) * p_values[place]))
        corrected[place] = least
    return corrected


def bootstrap_intervals(
    difference: FloatArray,
    cluster: IntArray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> FloatArray:
    """Percentile bootstrap intervals of mean differences, paired by query.

    A resample draws clusters with replacement, as many as there are, each with all its queries:
    queries of the same person are answered alike, so people are drawn, not queries. Where each
    person has one query the two are the same. Source: B. Efron, Bootstrap Methods, Annals of
    Statistics 7 (1979); A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application,
    section 3.8 (1997), for clusters.

    Args:
        difference: ``(Q, M)`` what the first method has more than the second, by query.
        cluster: ``(Q,)`` int64, equal where queries are drawn together.
        resamples: R.
        seed: Every draw follows from it.
        confidence: Share of the resamples between the ends.

    Returns:
        ``(M, 2)`` float64 lower and upper ends; both are the mean where there is one cluster.
    """
    names, place = np.unique(cluster, return_inverse=True)
    clusters = len(names)
    sums_CM = np.zeros((clusters, difference.shape[1] + 1))
    np.add.at(sums_CM[:, :-1], place, difference)
    sums_CM[:, -1] = np.bincount(place, minlength=clusters)
    rng = np.random.Generator(np.random.Philox(key=seed))
    at_once = max(1, _AT_ONCE // clusters)
    means = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = rng.integers(0, clusters, size=(rows, clusters))
        flat = (drawn + np.arange(rows)[:, None] * clusters).ravel()
        times_RC = np.bincount(flat, minlength=rows * clusters).reshape(rows, clusters)
        total_RM = times_RC.astype(np.float64) @ sums_CM
        means.append(total_RM[:, :-1] / total_RM[:, -1:])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    ends: FloatArray = np.quantile(np.concatenate(means), tails, axis=0).T
    return ends
