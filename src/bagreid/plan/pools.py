"""Pools of images and the groups they are cut into.

All images of an epoch stand in one line, pool after pool; nothing here is as long as that line.

Shape letters: M members (a folder, or an identity's run of rows), P pools, G groups, S images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray

GroupNumbers = npt.NDArray[np.uint32]
"""Numbers of an epoch's groups: short, for each worker holds two million (SYSU-30k) as its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """The pools of one epoch: each holds the images drawn from one bag.

    Attributes:
        bag: ``(P,)`` the bag (or identity) of each pool.
        start: ``(P + 1,)`` place in the line of each pool's first image.
        group_start: ``(P + 1,)`` number of each pool's first group.
        member_start: ``(M + 1,)`` place in the line of each member's first image.
        member_row: ``(M,)`` row of each member's first image; the others follow it.
    """

    bag: IntArray
    start: IntArray
    group_start: IntArray
    member_start: IntArray
    member_row: IntArray

    @property
    def num_groups(self) -> int:
        """Groups of the epoch, each image in at least one."""
        return int(self.group_start[-1])

    def rows(self, place: IntArray) -> IntArray:
        """Finds the rows at places of the line; ``(S,)`` → ``(S,)``."""
        member = np.searchsorted(self.member_start, place, side="right") - 1
        found: IntArray = self.member_row[member] + place - self.member_start[member]
        return found


def running_total(counts: IntArray) -> IntArray:
    """Sums of all counts before each place, and of all; ``(P,)`` → ``(P + 1,)``."""
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)))


def cut_pools(
    bag: IntArray,
    first_member: IntArray,
    member_row: IntArray,
    member_size: IntArray,
    images_per_group: int,
) -> Pools:
    """Cuts pools into groups of equal size; a pool's last group may need filling up.

    Args:
        bag: ``(P,)`` the bag of each pool.
        first_member: ``(P + 1,)`` each pool's first member; pools share no member.
        member_row: ``(M,)`` row of each member's first image.
        member_size: ``(M,)`` images of each member.
        images_per_group: Images of one group.

    Returns:
        The pools.
    """
    member_start = running_total(member_size)
    start = member_start[first_member]
    groups = -(-np.diff(start) // images_per_group)
    return Pools(bag, start, running_total(groups), member_start, member_row)


def group_places(
    pools: Pools, pool: int, group: int, images_per_group: int, random: np.random.Generator
) -> IntArray:
    """Draws one group: its cut of the shuffled pool.

    A pool's last group is filled up from the beginning of the same shuffled pool.

    Args:
        pools: The epoch's pools.
        pool: The pool that the group belongs to.
        group: Number of the group within the epoch.
        images_per_group: Images of one group.
        random: The pool's own stream of random numbers, at its start.

    Returns:
        ``(images_per_group,)`` places in the line.
    """
    first, stop = int(pools.start[pool]), int(pools.start[pool + 1])
    cut = (group - int(pools.group_start[pool])) * images_per_group
    wanted = np.arange(cut, cut + images_per_group) % (stop - first)
    places: IntArray = random.permutation(stop - first)[wanted] + first
    return places
