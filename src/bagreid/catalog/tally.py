"""How often each whole number occurs: what a histogram or a median needs, and no more.

Shape letters: S distinct values, W bins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray

_DENSE = 1 << 20
"""Values below this are counted in one array of 8 MB; the few above in a sorted table."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Distinct values and how often each occurs.

    Attributes:
        value: `(S,)` int64, ascending.
        count: `(S,)` int64, each at least 1.
    """

    value: IntArray
    count: IntArray

    @classmethod
    def of(cls, pieces: Iterable[npt.NDArray[np.integer]]) -> Tally:
        """Counts piece by piece, in memory that does not grow with the number of values.

        Args:
            pieces: Arrays of whole numbers from 0 on.

        Returns:
            The tally of them all.
        """
        dense = np.zeros(0, np.int64)
        large = cls(np.zeros(0, np.int64), np.zeros(0, np.int64))
        for piece in pieces:
            over = piece >= _DENSE
            if over.any():
                large = large + cls(*_unique(piece[over]))
                piece = piece[~over]
            found = np.bincount(piece)
            shorter, longer = sorted((dense, found), key=len)
            longer[: len(shorter)] += shorter
            dense = longer
        value = np.flatnonzero(dense)
        return cls(value, dense[value]) + large

    def __add__(self, other: Tally) -> Tally:
        value, place = np.unique(np.concatenate([self.value, other.value]), return_inverse=True)
        count = np.zeros(len(value), np.int64)
        np.add.at(count, place, np.concatenate([self.count, other.count]))
        return Tally(value, count)

    def __len__(self) -> int:
        """How many values were counted, with repetitions."""
        return int(self.count.sum())

    @property
    def total(self) -> int:
        """The sum of all values."""
        return int((self.value * self.count).sum())

    @property
    def least(self) -> int:
        """The smallest value; there must be one."""
        return int(self.value[0])

    @property
    def most(self) -> int:
        """The largest value; there must be one."""
        return int(self.value[-1])

    def quantile(self, share: float) -> int:
        """The least value that at least a share of all values do not exceed.

        Args:
            share: From 0 to 1; 0.5 is the (lower) median.

        Returns:
            One of the values; there must be one.
        """
        below = np.cumsum(self.count)
        wanted = max(1, int(np.ceil(share * below[-1] - 1e-9)))
        return int(self.value[np.searchsorted(below, wanted)])

    def binned(self, edges: npt.ArrayLike) -> IntArray:
        """Counts bins, each from its left edge up to, but not including, its right one.

        Args:
            edges: `(W+1,)` ascending.

        Returns:
            `(W,)` int64.
        """
        below = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.count)])
        counted: IntArray = np.diff(below[np.searchsorted(self.value, np.asarray(edges))])
        return counted

    def summary(self) -> dict[str, float | int | None]:
        """Count, sum, mean, extremes and quartiles; None where there is nothing to tell."""
        number = len(self)
        keys = ("least", "lower_quartile", "median", "upper_quartile", "percentile_99", "most")
        told: dict[str, float | int | None] = {"count": number, "sum": self.total}
        told["mean"] = self.total / number if number else None
        shares = (0.0, 0.25, 0.5, 0.75, 0.99, 1.0)
        told |= {k: self.quantile(s) if number else None for k, s in zip(keys, shares, strict=True)}
        return told


def _unique(values: npt.NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    value, count = np.unique(values, return_counts=True)
    return value.astype(np.int64), count.astype(np.int64)
