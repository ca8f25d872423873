"""What the numbers in a bag file are: folders, neighbours, windows.

In the release (and in synthetic archives) folder i gives three bags, of the folders within 0, 1
and 2 places of it, clamped at both ends, and the labels of a bag are its folders' numbers. This is
inferred from the published example and from 84,930 = 3 × 28,310, so it is tested before it is
taken for granted.

Shape letters: B bags, F folder names in the bag file, E entries (a folder or a label in a bag),
U numbers of the universe.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bagreid.catalog.bags import BagFile
from bagreid.catalog.checks.folders import number_of
from bagreid.contracts import IntArray

REACH = 2
"""The widest bag of a folder reaches this many places to each side."""

_MOST = 0.9
"""From this share of the bags on, what they have in common is taken for the rule."""


class BagNumbers:
    """A bag file in numbers.

    Args:
        bags: The file as read.
        there: `(U,)` ascending folder numbers that are or should be there; others that several bags
            name are added.
    """

    def __init__(self, bags: BagFile, there: IntArray) -> None:
        self._bags = bags
        numbers = [number_of(name) for name in bags.folder_name.to_pylist()]
        number_F = np.array([-1 if number is None else number for number in numbers], np.int64)
        self._number_E = number_F[bags.folder]
        self._folder_bag_E = _bag_of_entry(bags.folder_offset)
        self._label_bag_E = _bag_of_entry(bags.label_offset)
        # Of a folder that is missing, many bags tell; of a number that is wrong, one.
        named_F = np.bincount(bags.folder, minlength=len(number_F)) > REACH
        self.universe = np.union1d(there, number_F[(number_F >= 0) & named_F])

    @cached_property
    def bags_with_other_labels(self) -> IntArray:
        """Bags whose labels are not the numbers of their folders, ascending."""
        by_folder = self._folder_bag_E * 2**32 + self._number_E
        by_label = self._label_bag_E * 2**32 + self._bags.label
        only_folder = self._folder_bag_E[~np.isin(by_folder, by_label)]
        only_label = self._label_bag_E[~np.isin(by_label, by_folder)]
        return np.union1d(only_folder, only_label)

    @property
    def labels_are_folders(self) -> bool:
        """Whether labels are, as a rule, the numbers of folders."""
        return len(self.bags_with_other_labels) <= (1 - _MOST) * len(self._bags)

    @property
    def expected_windows(self) -> int:
        """Bags that a file like the released one should have."""
        return (REACH + 1) * len(self.universe)

    @property
    def released(self) -> bool:
        """Whether the bags are, as a rule, windows of neighbouring folders, as released."""
        known = np.isin(self._window_B, self._window_UR)
        return bool(known.sum() >= _MOST * len(self._bags)) and len(self._bags) > 1

    def missing_windows(self) -> list[tuple[int, int]]:
        """Windows without a bag.

        Returns:
            (Numbers of the first and the last folder), by the folder in the middle.
        """
        wanted, first, count = np.unique(
            self._window_UR.ravel(), return_index=True, return_counts=True
        )
        found, found_count = np.unique(self._window_B, return_counts=True)
        at = np.minimum(np.searchsorted(found, wanted), len(found) - 1)
        have = np.where(found[at] == wanted, found_count[at], 0)
        lacking = np.sort(np.repeat(first, np.maximum(count - have, 0)))
        start, stop = np.divmod(self._window_UR.ravel()[lacking], 2**32)
        return list(zip(self.universe[start].tolist(), self.universe[stop].tolist(), strict=True))

    def identities_of_bags_with(self, folder_names: Sequence[str]) -> npt.NDArray[np.int32]:
        """Identities that some bag with images lists.

        Args:
            folder_names: Folders that hold images.

        Returns:
            Their numbers, with repetitions.
        """
        there = set(folder_names)
        there_F = np.array([name in there for name in self._bags.folder_name.to_pylist()], np.bool_)
        with_images_B = np.zeros(len(self._bags), np.bool_)
        with_images_B[self._folder_bag_E[there_F[self._bags.folder]]] = True
        return self._bags.label[with_images_B[self._label_bag_E]]

    @cached_property
    def _window_UR(self) -> IntArray:  # noqa: N802 - the shape
        """`(U, REACH + 1)` the windows of each folder, first and last place as one number."""
        place = np.arange(len(self.universe))[:, None]
        reach = np.arange(REACH + 1)
        last = len(self.universe) - 1
        window_UR: IntArray = np.maximum(place - reach, 0) * 2**32
        window_UR += np.minimum(place + reach, last)
        return window_UR

    @cached_property
    def _window_B(self) -> IntArray:  # noqa: N802 - the shape
        """`(B,)` each bag's window; -1 where its folders are no neighbours."""
        place_E = np.searchsorted(self.universe, self._number_E)
        place_E[self._number_E < 0] = -(2**31)
        start = self._bags.folder_offset[:-1]
        first_B = np.minimum.reduceat(place_E, start)
        last_B = np.maximum.reduceat(place_E, start)
        joined = last_B - first_B + 1 == np.diff(self._bags.folder_offset)
        return np.where(joined & (first_B >= 0), first_B * 2**32 + last_B, -1)


def _bag_of_entry(offset: IntArray) -> IntArray:
    return np.repeat(np.arange(len(offset) - 1), np.diff(offset))
