"""Identity-balanced groups for strongly labelled sets, and for the ceiling of the weak ones.

Shape letters: N images, P identities that have images, T batches, S = T · groups slots.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray
from bagreid.plan.pools import GroupNumbers, Pools, cut_pools, running_total


@dataclass(frozen=True, slots=True, eq=False)
class IdentitySource:
    """Groups of one identity each, in batches of distinct identities where that is possible.

    All that grows with the images are four bytes for each row of a known identity.

    Attributes:
        labels: ``(N,)`` class index of each row, -1 where it is unknown; it is not kept.
        groups: Groups of a batch.
        images_per_group: Images of one group.
        left_out: Images of unknown identity.
    """

    labels: InitVar[IntArray]
    groups: int
    images_per_group: int
    left_out: int = field(init=False)
    _rows: npt.NDArray[np.uint32] = field(init=False)
    _pools: Pools = field(init=False)

    def __post_init__(self, labels: IntArray) -> None:
        known = labels >= 0
        counts = np.bincount(labels[known])
        identity = np.flatnonzero(counts)
        count = counts[identity]
        members = np.arange(len(identity) + 1)
        first = running_total(count)[:-1]
        pools = cut_pools(identity, members, first, count, self.images_per_group)
        object.__setattr__(self, "left_out", len(labels) - int(count.sum()))
        object.__setattr__(self, "_rows", _rows_by_label(labels, known))
        object.__setattr__(self, "_pools", pools)

    @property
    def most_groups(self) -> int:
        """Groups of every epoch."""
        return self._pools.num_groups

    def pools(self, seed: int, epoch: int) -> Pools:  # noqa: ARG002
        """The identities themselves, the same in every epoch."""
        return self._pools

    def order(self, pools: Pools, slots: int, random: np.random.Generator) -> GroupNumbers:
        """Spreads each identity's groups over the batches; see `spread_groups`."""
        return spread_groups(np.diff(pools.group_start), slots // self.groups, self.groups, random)

    def rows(self, rows: IntArray) -> IntArray:
        """Turns places among the sorted rows into catalog rows."""
        return self._rows[rows].astype(np.int64)

    def bag_rows(self, bag: int) -> IntArray:
        """All rows of an identity, ascending."""
        pool = int(np.searchsorted(self._pools.bag, bag))
        assert self._pools.bag[pool] == bag, "an identity without images is never drawn"
        start, stop = self._pools.start[pool : pool + 2].tolist()
        return self.rows(np.arange(start, stop))


def _rows_by_label(labels: IntArray, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """The rows of known identity, sorted by identity, then by row."""
    # NumPy sorts 16-bit numbers by radix, ten times as fast as wider ones.
    short = labels[known].astype(np.min_scalar_type(int(labels.max(initial=0))))
    rows: npt.NDArray[np.uint32] = np.flatnonzero(known).astype(np.uint32)
    return rows[np.argsort(short, kind="stable")]


def spread_groups(
    counts: IntArray, batches: int, groups: int, random: np.random.Generator
) -> GroupNumbers:
    """Puts groups into batches so that a batch repeats no identity unless it must.

    Identities stand in random order in one line, each as long as it has groups; dealing the line
    out to the batches in turn keeps an identity with at most T groups out of any batch twice. What
    is missing for full batches is filled up by showing one more group of the first identities.

    Args:
        counts: ``(P,)`` groups of each identity.
        batches: Number of batches T, at least Σ counts / groups.
        groups: Groups of a batch.
        random: Where the order comes from.

    Returns:
        ``(T · groups,)`` group numbers, batch after batch.
    """
    line_P = random.permutation(len(counts))
    shown_P = counts[line_P]
    missing = batches * groups - int(counts.sum())
    while missing:
        room = np.flatnonzero(shown_P < batches)
        extra = (room if len(room) else np.arange(len(shown_P)))[:missing]
        shown_P[extra] += 1
        missing -= len(extra)
    start_P, first_P, count_P = (
        per_P.astype(np.uint32)
        for per_P in (running_total(shown_P)[:-1], running_total(counts)[line_P], counts[line_P])
    )
    number_S = np.arange(batches * groups, dtype=np.uint32) - np.repeat(start_P, shown_P)
    number_S %= np.repeat(count_P, shown_P)
    group_S = np.repeat(first_P, shown_P) + number_S
    # (S,) → (groups, T): column t holds what is dealt to batch t
    batch_TG = group_S.reshape(groups, batches).T[random.permutation(batches)]
    return random.permuted(batch_TG, axis=1).ravel()
