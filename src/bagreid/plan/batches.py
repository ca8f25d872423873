"""Batches of a plan: any step of any epoch, for any rank, without walking there.

Shape letters: F folders, B bags, G groups of a batch, N images.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bagreid.contracts import BagreidError, IntArray, PlannedBatch
from bagreid.plan.config import PlanConfig
from bagreid.plan.folders import BagFileSource, Folders, WindowSource
from bagreid.plan.identities import IdentitySource
from bagreid.plan.pools import GroupNumbers, Pools, group_places
from bagreid.plan.randomness import Purpose, generator


class Source(Protocol):
    """What an epoch's groups are drawn from; everything it does follows from (seed, epoch)."""

    @property
    def most_groups(self) -> int:
        """Upper bound of an epoch's groups, the same for every epoch."""

    @property
    def left_out(self) -> int:
        """Images that are never shown, for no bag (or identity) holds them."""

    def pools(self, seed: int, epoch: int) -> Pools:
        """Draws the pools of an epoch."""

    def order(self, pools: Pools, slots: int, random: np.random.Generator) -> GroupNumbers:
        """Orders the groups and fills up to whole batches; ``(slots,)`` group numbers."""

    def rows(self, rows: IntArray) -> IntArray:
        """Turns the pools' rows into catalog rows; ``(N,)`` → ``(N,)``."""

    def bag_rows(self, bag: int) -> IntArray:
        """All rows that may stand in for one another in a bag, ascending."""


def array_split(count: int, shares: int, number: int) -> tuple[int, int]:
    """Where one share of some things begins and ends, as `numpy.array_split` deals them.

    Args:
        count: How many things.
        shares: Into how many shares they are dealt; the first ``count % shares`` take one more.
        number: Which share.

    Returns:
        The first thing and one past the last.
    """
    size, more = divmod(count, shares)
    first = number * size + min(number, more)
    return first, first + size + (number < more)


class BatchPlan:
    """Which images form which batch.

    A batch is a pure function of (sizes, seed, epoch, step); ranks share its groups. All that is
    kept is the tables of one epoch, and they are no state: losing them changes nothing.

    Args:
        source: What the groups are drawn from.
        config: Size of groups and batches.
        seed: The run's seed.

    Attributes:
        steps_per_epoch: Batches of an epoch, the same for every epoch.
        left_out: Images that no batch ever shows, for no bag (or identity) holds them.
    """

    def __init__(self, source: Source, config: PlanConfig, seed: int) -> None:
        self._source = source
        self._config = config
        self._seed = seed
        self._epoch: tuple[int, Pools, GroupNumbers] | None = None
        self.steps_per_epoch = -(-source.most_groups // config.groups)
        self.left_out = source.left_out
        if not self.steps_per_epoch:
            raise BagreidError(
                "there is no image to plan with: no folder of a bag (or identity) holds any"
            )

    def batch(
        self,
        epoch: int,
        step: int,
        rank: int = 0,
        world_size: int = 1,
        part: int = 0,
        parts: int = 1,
    ) -> PlannedBatch:
        """Plans one rank's share of one batch, or of a part of it.

        A batch is cut into parts, and each part is dealt to the ranks: all parts in order, each in
        rank order, are the global batch. A group is never cut.

        Args:
            epoch: The epoch, from 0.
            step: The step within the epoch, 0 ≤ step < steps_per_epoch.
            rank: Which share of the part's groups.
            world_size: Into how many shares they are dealt.
            part: Which part of the batch's groups.
            parts: Into how many parts they are cut.

        Returns:
            The rows with their groups, bags and keys.

        Raises:
            ValueError: If there is no such step, rank or part, or if a share would be empty.
        """
        if not 0 <= step < self.steps_per_epoch:
            raise ValueError(f"no step {step} of {self.steps_per_epoch}")
        groups, size = self._config.groups, self._config.images_per_group
        first, stop = self._cut(rank, world_size, part, parts)
        pools, order = self._tables(epoch)
        group = order[step * groups + first : step * groups + stop].astype(np.int64)
        pool = np.searchsorted(pools.group_start, group, side="right") - 1
        place = np.zeros((len(group), size), dtype=np.int64)
        for share, (of_pool, number) in enumerate(zip(pool, group, strict=True)):
            random = generator(Purpose.POOL, self._seed, epoch, of_pool)
            place[share] = group_places(pools, of_pool, number, size, random)
        slot = np.arange(first * size, stop * size)
        return PlannedBatch(
            rows=self._source.rows(pools.rows(place.ravel())),
            groups=slot // size,
            bags=np.repeat(pools.bag[pool], size),
            keys=step * groups * size + slot,
        )

    def shares(self, world_size: int, part: int = 0, parts: int = 1) -> tuple[int, ...]:
        """How many images of a batch, or of a part of it, each rank takes; the same in every step.

        Args:
            world_size: Number of ranks.
            part: Which part of the batch.
            parts: Into how many parts it is cut.

        Returns:
            A number a rank; they may differ by one group.

        Raises:
            ValueError: If there is no such part, or if a share would be empty.
        """
        cuts = (self._cut(rank, world_size, part, parts) for rank in range(world_size))
        return tuple((stop - first) * self._config.images_per_group for first, stop in cuts)

    def _cut(self, rank: int, world_size: int, part: int, parts: int) -> tuple[int, int]:
        """The groups of one share: the first, and one past the last."""
        if not (0 <= rank < world_size and 0 <= part < parts):
            raise ValueError(f"no rank {rank} of {world_size}, or no part {part} of {parts}")
        groups = self._config.groups
        if groups // parts < world_size:
            raise ValueError(
                f"{groups} groups a batch cannot be cut into {parts} parts for {world_size} ranks: "
                "each needs at least one group"
            )
        begin, end = array_split(groups, parts, part)
        first, stop = array_split(end - begin, world_size, rank)
        return begin + first, begin + stop

    def prepare(self, epoch: int) -> None:
        """Draws the tables of an epoch now, so that processes forked later share them."""
        self._tables(epoch)

    def bag_rows(self, bag: int) -> IntArray:
        """All rows of a bag (or identity), ascending: those that may stand in for one another."""
        return self._source.bag_rows(bag)

    def _tables(self, epoch: int) -> tuple[Pools, GroupNumbers]:
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = None  # the tables before these make room for them
            pools = self._source.pools(self._seed, epoch)
            slots = self.steps_per_epoch * self._config.groups
            order = self._source.order(pools, slots, generator(Purpose.ORDER, self._seed, epoch))
            self._epoch = (epoch, pools, order)
        return self._epoch[1:]


def make_bag_plan(
    folder_start: IntArray,
    folder_stop: IntArray,
    bags: tuple[IntArray, IntArray],
    config: PlanConfig,
    seed: int,
) -> BatchPlan:
    """Plans batches of bags.

    Args:
        folder_start: ``(F,)`` first row of each folder.
        folder_stop: ``(F,)`` one past the last row of each folder.
        bags: The bag table: ``(B + 1,)`` offsets into the ``(nnz,)`` folder indices, which are
            ascending within a bag.
        config: Kind `windows` or `bag_file`, and the sizes.
        seed: The run's seed.

    Returns:
        The plan.

    Raises:
        BagreidError: If there is no image to plan with, or kind `windows` does not suit the bags.
        ValueError: If the kind is `identities`.

    Example:
        >>> start, stop = np.array([0, 40]), np.array([40, 70])
        >>> bags = np.array([0, 1, 2]), np.array([0, 1])
        >>> plan = make_bag_plan(start, stop, bags, PlanConfig(groups=2), seed=0)
        >>> plan.batch(epoch=0, step=1).rows.shape
        (30,)
    """
    as_int = [np.asarray(array, dtype=np.int64) for array in (folder_start, folder_stop, *bags)]
    folders = Folders(as_int[0], as_int[1] - as_int[0], as_int[2], as_int[3])
    if config.kind == "windows":
        window = WindowSource(folders, config.window_sizes, config.images_per_group)
        return BatchPlan(window, config, seed)
    if config.kind == "bag_file":
        return BatchPlan(BagFileSource(folders, config.images_per_group), config, seed)
    raise ValueError(f"a plan of bags is of kind windows or bag_file, not {config.kind}")


def make_identity_plan(labels: IntArray, config: PlanConfig, seed: int) -> BatchPlan:
    """Plans identity-balanced batches.

    Args:
        labels: ``(N,)`` class index of each train row, -1 where it is unknown.
        config: The sizes; its kind is `identities`.
        seed: The run's seed.

    Returns:
        The plan; its bags are class indices.

    Raises:
        BagreidError: If no image has an identity.
        ValueError: If the kind is another.
    """
    if config.kind != "identities":
        raise ValueError(f"a plan of identities is of kind identities, not {config.kind}")
    labels = np.asarray(labels, dtype=np.int64)
    source = IdentitySource(labels, config.groups, config.images_per_group)
    return BatchPlan(source, config, seed)
