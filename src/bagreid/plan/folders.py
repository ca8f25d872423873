"""Groups drawn from folders through their bags: windows of neighbours, or the bag file.

Shape letters: F folders, B bags, P pools, V window widths.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bagreid.contracts import BagreidError, IntArray
from bagreid.plan.pools import GroupNumbers, Pools, cut_pools, running_total
from bagreid.plan.randomness import Purpose, generator
from bagreid.plan.tiling import count_windows, tile, window_images


@dataclass(frozen=True, slots=True, eq=False)
class Folders:
    """The folders and the bag table, as plain arrays.

    Attributes:
        start: ``(F,)`` first row of each folder.
        size: ``(F,)`` images of each folder.
        bag_start: ``(B + 1,)`` where each bag's folders begin in ``bag_folder``.
        bag_folder: ``(nnz,)`` folder indices, ascending within a bag, none twice.
    """

    start: IntArray
    size: IntArray
    bag_start: IntArray
    bag_folder: IntArray

    def bag_rows(self, bag: int) -> IntArray:
        """All rows of a bag's folders, ascending."""
        folders = self.bag_folder[self.bag_start[bag] : self.bag_start[bag + 1]]
        runs = [np.arange(self.start[f], self.start[f] + self.size[f]) for f in folders]
        return np.concatenate(runs)

    def bags_of_windows(self, width: int) -> IntArray:
        """Finds the bag that holds exactly the folders of each window.

        Args:
            width: Folders in a window.

        Returns:
            ``(F - width + 1,)`` bag of the window that begins at each folder, -1 where there is
            none; of several such bags the first.
        """
        bags = np.flatnonzero(np.diff(self.bag_start) == width)[::-1]
        first = self.bag_folder[self.bag_start[bags]]
        last = self.bag_folder[self.bag_start[bags] + width - 1]
        contiguous = last - first == width - 1
        found = np.full(max(0, len(self.size) - width + 1), -1, dtype=np.int64)
        found[first[contiguous]] = bags[contiguous]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class WindowSource:
    """The released sampler: windows of 1, 3 and 5 neighbouring folders in equal thirds.

    Every epoch the windows are laid anew along the line of folders, each folder in one of them.

    Attributes:
        folders: The folders and their bags.
        widths: ``(V,)`` folders in a window.
        images_per_group: Images of one group.
    """

    folders: Folders
    widths: tuple[int, ...]
    images_per_group: int
    _counts: IntArray = field(init=False)
    _bag: tuple[IntArray, ...] = field(init=False)

    def __post_init__(self) -> None:
        counts = count_windows(self.folders.size, self.widths, self.images_per_group)
        object.__setattr__(self, "_counts", counts)
        bags = tuple(self.folders.bags_of_windows(width) for width in self.widths)
        object.__setattr__(self, "_bag", bags)
        for width, count, bag in zip(self.widths, counts, bags, strict=True):
            images = window_images(self.folders.size, width)
            if count and (lost := (bag < 0) & (images > 0)).any():
                raise BagreidError(
                    f"{lost.sum()} of {len(bag)} windows of {width} neighbouring folders are no "
                    f"bag of the bag file, the first at folder number {lost.argmax()} (from 0)",
                    remedy="Draw from the bag file itself: plan kind bag_file",
                )

    @property
    def most_groups(self) -> int:
        """Upper bound of an epoch's groups: exact where all folders are of one size."""
        images = int(self.folders.size.sum())
        for width, count in zip(self.widths, self._counts, strict=True):
            # What filling up the last group of a window costs, at worst over all its positions.
            filled = -window_images(self.folders.size, width) % self.images_per_group
            images += int(np.sort(filled)[::-1][:count].sum())
        return images // self.images_per_group

    @property
    def left_out(self) -> int:
        """None: every folder lies in a window."""
        return 0

    def pools(self, seed: int, epoch: int) -> Pools:
        """Lays the windows of an epoch."""
        first, kind = tile(self.widths, self._counts, generator(Purpose.TILING, seed, epoch))
        bag = np.empty_like(first)
        for number, bag_of_window in enumerate(self._bag):
            bag[kind == number] = bag_of_window[first[kind == number]]
        first = np.append(first, len(self.folders.size))
        start, size = self.folders.start, self.folders.size
        return cut_pools(bag, first, start, size, self.images_per_group)

    def order(self, pools: Pools, slots: int, random: np.random.Generator) -> GroupNumbers:
        """Shuffles the epoch's groups; see `shuffled_order`."""
        return shuffled_order(pools, slots, random)

    def rows(self, rows: IntArray) -> IntArray:
        """The pools' rows are the catalog's."""
        return rows

    def bag_rows(self, bag: int) -> IntArray:
        """All rows of a bag, ascending."""
        return self.folders.bag_rows(bag)


@dataclass(frozen=True, slots=True, eq=False)
class BagFileSource:
    """Bags as the bag file lists them: every epoch each folder is shown in one of its bags.

    Attributes:
        folders: The folders and their bags.
        images_per_group: Images of one group.
    """

    folders: Folders
    images_per_group: int
    _cover_start: IntArray = field(init=False)
    _cover: IntArray = field(init=False)

    def __post_init__(self) -> None:
        # The bag table turned round: which bags cover each folder.
        bag = np.repeat(np.arange(len(self.folders.bag_start) - 1), np.diff(self.folders.bag_start))
        folder = self.folders.bag_folder
        covers = np.bincount(folder, minlength=len(self.folders.size))
        object.__setattr__(self, "_cover_start", running_total(covers))
        object.__setattr__(self, "_cover", bag[np.argsort(folder, kind="stable")])

    @property
    def _shown(self) -> IntArray:
        """Folders that hold images and lie in a bag."""
        return np.flatnonzero((self.folders.size > 0) & (np.diff(self._cover_start) > 0))

    @property
    def most_groups(self) -> int:
        """Upper bound of an epoch's groups: every pool's last group may need filling up.

        Exact where no folder has a choice between bags, as in simulated ones, which hold one group
        each: an epoch then shows every image once.
        """
        shown = self._shown
        if (np.diff(self._cover_start)[shown] == 1).all():
            bag = self._cover[self._cover_start[shown]]
            images_B = np.zeros(len(self.folders.bag_start) - 1, np.int64)
            np.add.at(images_B, bag, self.folders.size[shown])
            return int((-(-images_B // self.images_per_group)).sum())
        images = int(self.folders.size[shown].sum())
        pools = min(len(shown), len(self.folders.bag_start) - 1)
        return (images + pools * (self.images_per_group - 1)) // self.images_per_group

    @property
    def left_out(self) -> int:
        """Images whose folder no bag names: they have no candidates."""
        return int(self.folders.size.sum() - self.folders.size[self._shown].sum())

    def pools(self, seed: int, epoch: int) -> Pools:
        """Lets every folder pick one of its bags and gathers the folders of a bag."""
        draws = generator(Purpose.BAG_CHOICE, seed, epoch).random(len(self.folders.size))
        shown = self._shown
        covers = np.diff(self._cover_start)[shown]
        chosen = self._cover[self._cover_start[shown] + (draws[shown] * covers).astype(np.int64)]
        member = np.argsort(chosen, kind="stable")
        bag, first = np.unique(chosen[member], return_index=True)
        folder = shown[member]
        return cut_pools(
            bag,
            np.append(first, len(folder)),
            self.folders.start[folder],
            self.folders.size[folder],
            self.images_per_group,
        )

    def order(self, pools: Pools, slots: int, random: np.random.Generator) -> GroupNumbers:
        """Shuffles the epoch's groups; see `shuffled_order`."""
        return shuffled_order(pools, slots, random)

    def rows(self, rows: IntArray) -> IntArray:
        """The pools' rows are the catalog's."""
        return rows

    def bag_rows(self, bag: int) -> IntArray:
        """All rows of a bag, ascending."""
        return self.folders.bag_rows(bag)


def shuffled_order(pools: Pools, slots: int, random: np.random.Generator) -> GroupNumbers:
    """Shuffles an epoch's groups and fills up from the first ones; ``(slots,)`` group numbers."""
    return np.resize(random.permutation(np.arange(pools.num_groups, dtype=np.uint32)), slots)
