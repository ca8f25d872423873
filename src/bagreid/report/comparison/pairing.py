"""Two methods query by query: where they differ, how surely, and on which queries most.

Shape letters: Q queries, M measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bagreid.contracts import FloatArray, IntArray
from bagreid.evaluation.comparison import Discordance, bootstrap_intervals, discordance, holm
from bagreid.report.comparison.entries import Entry, first_ranks, precisions
from bagreid.report.comparison.joining import By, join

RANKS = (1, 5, 10)
"""The rank-k that methods are compared by, rank-1 first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A share under both methods, and the first's less the second's with its 95 % interval."""

    first: float
    second: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """What the first method has more."""
        return self.first - self.second


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedRank:
    """Rank-k of two methods on the same queries."""

    k: int
    difference: Difference
    discordance: Discordance


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A query that two methods answer very differently; ranks are from 1."""

    name: str
    pid: int
    first: int
    second: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Two methods set against each other.

    Attributes:
        first: The one.
        second: The other.
        by: What the queries were recognised by.
        queries: How many queries the shares are of.
        people: How many people (or queries of nobody known) the bootstrap draws from.
        ranks: Rank-1, 5 and 10.
        mean_ap: Mean average precision.
        p_value: Of rank-1, corrected for the number of pairs tested.
        first_rank: ``(Q,)`` int64 ranks from 1 of queries with a match, under the first.
        second_rank: ``(Q,)`` the same under the second.
        names: The names of these queries.
        changes: The queries that changed most, for the better and for the worse.
    """

    first: Entry
    second: Entry
    by: By
    queries: int
    people: int
    ranks: tuple[PairedRank, ...]
    mean_ap: Difference
    p_value: float
    first_rank: IntArray
    second_rank: IntArray
    names: tuple[str, ...]
    changes: tuple[Change, ...]


MOST_CHANGES = 8
"""Queries shown that the one, and as many that the other, answers better."""


def pair_up(entries: Sequence[Entry], *, seed: int = 0) -> list[Pair]:
    """Sets the first method against each of the others.

    Args:
        entries: At least one evaluation.
        seed: What the bootstrap's draws follow from.

    Returns:
        A pair a further method; rank-1's p-values are Holm's where there are several.

    Raises:
        BagreidError: When two are not of the same test.
    """
    pairs = [_pair(entries[0], other, seed) for other in entries[1:]]
    corrected = holm([pair.ranks[0].discordance.p_value for pair in pairs])
    return [replace(pair, p_value=p) for pair, p in zip(pairs, corrected, strict=True)]


def _pair(first: Entry, second: Entry, seed: int) -> Pair:
    joined = join(first, second)
    sides = ((first.evaluation, joined.first), (second.evaluation, joined.second))
    rank = np.stack([first_ranks(evaluation)[places] for evaluation, places in sides])
    precision = np.stack([precisions(evaluation)[places] for evaluation, places in sides])
    queries = [first.evaluation.queries[place] for place in joined.first.tolist()]
    pids = np.array([query.pid for query in queries], np.int64)
    # A query of nobody known is of somebody else than all others.
    person = np.where(pids >= 0, pids, -1 - np.arange(len(pids)))
    have = rank[0] >= 0
    counted = have if first.evaluation.convention == "standard" else np.ones_like(have)
    ranks, mean_ap = _measure(rank[:, counted], precision[:, counted], person[counted], seed)
    names = [queries[place].name for place in np.flatnonzero(have).tolist()]
    return Pair(
        first=first,
        second=second,
        by=joined.by,
        queries=int(counted.sum()),
        people=len(np.unique(person[counted])),
        ranks=ranks,
        mean_ap=mean_ap,
        p_value=ranks[0].discordance.p_value,
        first_rank=rank[0, have] + 1,
        second_rank=rank[1, have] + 1,
        names=tuple(names),
        changes=_changes(rank[:, have] + 1, names, pids[have]),
    )


def _measure(
    rank: IntArray, precision: FloatArray, person: IntArray, seed: int
) -> tuple[tuple[PairedRank, ...], Difference]:
    """Rank-k and mAP of both, from ``(2, Q)`` ranks and precisions of the queries that count."""
    right = [(rank >= 0) & (rank < k) for k in RANKS]
    value = np.stack([*(hits.astype(np.float64) for hits in right), precision], axis=-1)
    ends = bootstrap_intervals(value[0] - value[1], person, seed=seed).tolist()
    differences = [
        Difference(first=one, second=other, low=low, high=high)
        for one, other, (low, high) in zip(*value.mean(axis=1).tolist(), ends, strict=True)
    ]
    ranks = tuple(
        PairedRank(k=k, difference=difference, discordance=discordance(hits[0], hits[1]))
        for k, difference, hits in zip(RANKS, differences, right, strict=False)
    )
    return ranks, differences[-1]


def _changes(rank: IntArray, names: Sequence[str], pids: IntArray) -> tuple[Change, ...]:
    """By the factor between the ranks: from 1 to 10 is as much as from 100 to 1,000."""
    factor = np.log(rank[0]) - np.log(rank[1])
    order = np.argsort(factor, kind="stable")
    better = [place for place in order[:MOST_CHANGES].tolist() if factor[place] < 0]
    worse = [place for place in order[::-1][:MOST_CHANGES].tolist() if factor[place] > 0]
    return tuple(
        Change(
            name=names[place],
            pid=int(pids[place]),
            first=int(rank[0, place]),
            second=int(rank[1, place]),
        )
        for place in (*better, *worse)
    )
