"""Columns that are worked out where they are indexed, and look like arrays.

Shape letters: M images, R runs of neighbouring rows, F train folders.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray
from bagreid.shards.header import BLOCK

Rows = slice | npt.NDArray[Any] | Sequence[int]

_PIECE = 1 << 20


class Column(np.lib.mixins.NDArrayOperatorsMixin, ABC):
    """`(M,)` numbers: indexing gives an array of no more than was asked for.

    Arithmetic, comparisons and NumPy functions work as on an array, and take memory like one.

    Args:
        length: M.
        dtype: Kind of the numbers.
    """

    def __init__(self, length: int, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.shape = (length,)

    @abstractmethod
    def _fetch(self, rows: IntArray) -> npt.NDArray[Any]:
        """The numbers of some rows, all of them between 0 and M."""

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(np.asarray(self))

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> np.integer[Any]: ...
    @overload
    def __getitem__(self, rows: Rows) -> npt.NDArray[Any]: ...
    def __getitem__(self, rows: Any) -> Any:
        """The numbers of some rows, as an array is indexed."""
        length = len(self)
        if isinstance(rows, slice):
            return self._span(range(*rows.indices(length)))
        wanted = np.asarray(rows)
        if wanted.dtype == np.bool_:
            (wanted,) = np.nonzero(wanted)
        wanted = wanted.astype(np.int64)
        if wanted.size and not -length <= wanted.min() <= wanted.max() < length:
            raise IndexError(f"row {rows} of a column of {length}")
        found = self._cast(np.where(wanted < 0, wanted + length, wanted).reshape(-1))
        return found[0] if wanted.ndim == 0 else found.reshape(wanted.shape)

    def _span(self, rows: range) -> npt.NDArray[Any]:
        """Piece by piece, so that row numbers take no more memory than the result."""
        found = np.empty(len(rows), self.dtype)
        for start in range(0, len(rows), _PIECE):
            piece = rows[start : start + _PIECE]
            found[start : start + _PIECE] = self._fetch(
                np.arange(piece.start, piece.stop, piece.step)
            )
        return found

    def _cast(self, rows: IntArray) -> npt.NDArray[Any]:
        return self._fetch(rows).astype(self.dtype, copy=False)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """All numbers at once."""
        del copy  # it is always a new one
        return self[:].astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Arithmetic and comparisons, on all numbers at once."""
        plain = [np.asarray(item) if isinstance(item, Column) else item for item in inputs]
        return getattr(ufunc, method)(*plain, **options)

    def astype(self, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """All numbers as an array of some kind."""
        return np.asarray(self, dtype)

    def min(self) -> Any:
        """The least of all numbers."""
        return np.asarray(self).min()

    def max(self) -> Any:
        """The largest of all numbers."""
        return np.asarray(self).max()

    def tolist(self) -> list[int]:
        """All numbers as a list."""
        numbers: list[int] = np.asarray(self).tolist()
        return numbers


class OffsetColumn(Column):
    """Byte offsets, stored as blocks.

    Args:
        block: `(M,)` uint32 offsets in 512-byte blocks.
    """

    def __init__(self, block: npt.NDArray[np.uint32]) -> None:
        super().__init__(len(block), np.int64)
        self._block = block

    def _fetch(self, rows: IntArray) -> npt.NDArray[Any]:
        return self._block[rows].astype(np.int64) * BLOCK


class RunColumn(Column):
    """A number that stays the same over runs of rows: the shard.

    Args:
        length: M.
        start: `(R,)` first row of each run, ascending from 0.
        value: `(R,)` its number.
    """

    def __init__(self, length: int, start: npt.NDArray[Any], value: npt.NDArray[Any]) -> None:
        super().__init__(length, value.dtype)
        self._start = start
        self._value = value
        # Rows are sought as numbers of this kind, or NumPy turns the whole table into another.
        self._kind = start.dtype.type

    def one(self, row: int) -> int:
        """The number of one row, in a tenth of the time that indexing takes.

        Args:
            row: Which, from 0 to M - 1.

        Returns:
            Its number.
        """
        return int(self._value[self._start.searchsorted(self._kind(row), "right") - 1])

    def _fetch(self, rows: IntArray) -> npt.NDArray[Any]:
        if not len(rows):
            return self._value[:0]
        rows = rows.astype(self._start.dtype)
        return self._value[np.searchsorted(self._start, rows, "right") - 1]


class GroupColumn(Column):
    """The folder of train images, which is where their row lies; the identity of test images.

    Args:
        folder_stop: `(F,)` one past the last row of each folder.
        identity: Identities of the rows behind the train images.
        train: Number of train images.
    """

    def __init__(self, folder_stop: IntArray, identity: npt.NDArray[np.int32], train: int) -> None:
        super().__init__(train + len(identity), np.int32)
        self._stop = folder_stop
        self._identity = identity
        self._train = train

    def _fetch(self, rows: IntArray) -> npt.NDArray[Any]:
        found = np.searchsorted(self._stop, rows, "right").astype(np.int32)
        test = rows >= self._train
        found[test] = self._identity[rows[test] - self._train]
        return found


class CameraColumn(Column):
    """Cameras of test images; 0 for train images, whose cameras nobody knows.

    Args:
        camera: Cameras of the rows behind the train images.
        train: Number of train images.
    """

    def __init__(self, camera: npt.NDArray[np.int16], train: int) -> None:
        super().__init__(train + len(camera), np.int16)
        self._camera = camera
        self._train = train

    def _fetch(self, rows: IntArray) -> npt.NDArray[Any]:
        found = np.zeros(len(rows), np.int16)
        test = rows >= self._train
        found[test] = self._camera[rows[test] - self._train]
        return found
