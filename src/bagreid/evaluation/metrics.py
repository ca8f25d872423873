"""CMC, average precision and inverse negative penalty, from the ranks of the matches alone.

Shape letters: Q queries, M matches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bagreid.contracts import Convention, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class QueryMetrics:
    """What each query scores; a query without a match has rank −1 and zeros.

    Attributes:
        first_match_rank: ``(Q,)`` int64, rank of the best match, 0 = first place, −1 = no match.
        average_precision: ``(Q,)`` float64.
        inverse_negative_penalty: ``(Q,)`` float64, matches / (rank of the worst match + 1).
    """

    first_match_rank: IntArray
    average_precision: FloatArray
    inverse_negative_penalty: FloatArray


def query_metrics(
    match_query: IntArray, match_rank: IntArray, queries: int, convention: Convention
) -> QueryMetrics:
    """Scores every query from the ranks of its matches.

    With the i-th of n matches (i from 0) at rank r (from 0), its precision is (i + 1)/(r + 1).
    ``standard`` averages that over the matches (the step rule of the Market-1501 tools).
    ``sysu30k`` averages the trapezoids ((precision before) + (precision at it))/2, where the
    precision before is i/r, and 1 in front of a first place (the rule of the Oxford buildings
    benchmark, which the released SYSU-30k test script follows). The inverse negative penalty is
    that of Ye et al., arXiv 2001.04193, section 4.1.

    Args:
        match_query: ``(M,)`` int64 query of each match, ascending.
        match_rank: ``(M,)`` int64 rank of each match among the kept gallery images, from 0,
            ascending within a query.
        queries: Q.
        convention: Which rule of average precision.

    Returns:
        The queries' metrics.
    """
    start = np.searchsorted(match_query, match_query, "left")
    earlier = np.arange(len(match_query)) - start
    precision = (earlier + 1) / (match_rank + 1)
    if convention == "sysu30k":
        before = np.where(match_rank > 0, earlier / np.maximum(match_rank, 1), 1.0)
        precision = (before + precision) / 2
    number = np.bincount(match_query, minlength=queries)
    total = np.bincount(match_query, weights=precision, minlength=queries)
    first = np.full(queries, -1, dtype=np.int64)
    last = np.zeros(queries, dtype=np.int64)
    is_first = earlier == 0
    first[match_query[is_first]] = match_rank[is_first]
    np.maximum.at(last, match_query, match_rank)
    return QueryMetrics(first, total / np.maximum(number, 1), number / (last + 1))


def divisor(first_match_rank: IntArray, convention: Convention) -> int:
    """How many queries a share is of: all (``sysu30k``), or those with a match (``standard``)."""
    if convention == "sysu30k":
        return len(first_match_rank)
    return int(np.sum(first_match_rank >= 0))


def cumulative_matches(
    first_match_rank: IntArray, convention: Convention, length: int
) -> FloatArray:
    """The CMC: the share of queries whose best match stands among the first k, k = 1 … length.

    Args:
        first_match_rank: ``(Q,)`` int64, −1 = no match.
        convention: What the share is of.
        length: How many ranks.

    Returns:
        ``(length,)`` float64, rank-1 first.
    """
    within = first_match_rank[(first_match_rank >= 0) & (first_match_rank < length)]
    hits = np.bincount(within, minlength=length)
    return np.cumsum(hits) / divisor(first_match_rank, convention)
