"""Where features come from: arrays, memory maps, tensors or shards of them, read row by row.

Nothing here holds more than it is asked for, so features may be larger than memory.

Shape letters: N images, D features, P picked rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagreid.contracts import BagreidError, IntArray

Features = npt.NDArray[np.floating] | Tensor
"""``(N, D)`` features: a NumPy array, a memory map or a tensor, of any floating-point type."""

_DTYPES = {2: torch.float16, 4: torch.float32, 8: torch.float64}
_TORCH_FLOATS = {*_DTYPES.values(), torch.bfloat16}


@runtime_checkable
class FeatureSource(Protocol):
    """Features that can be read in runs of rows, or a few rows anywhere.

    Attributes:
        shape: (N, D).
        dtype: The type they are stored in: float16, bfloat16, float32 or float64.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""

    @property
    def dtype(self) -> torch.dtype:
        """The type they are stored in."""

    def block(self, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop``, ``(stop − start, D)``, in the stored type.

        The tensor may be a view of a read-only map: it must not be written to.
        """

    def pick(self, rows: IntArray) -> Tensor:
        """A copy of the ``(P,)`` rows, ``(P, D)``, in the stored type."""


class ArraySource:
    """One array of features, in memory or on disk.

    Args:
        values: ``(N, D)`` floating-point numbers of 16, 32 or 64 bits, in any byte order; a
            memory map stays on disk, a tensor stays on its device.
        name: What they are, for messages: ``query``, ``gallery``.

    Raises:
        BagreidError: When ``values`` is not two-dimensional or not floating point.
    """

    def __init__(self, values: Features, name: str = "image") -> None:
        if values.ndim != 2:
            raise BagreidError(
                f"the {name} features have shape {tuple(values.shape)}",
                remedy="Give one row of D numbers an image: (images, D)",
            )
        dtype = _stored_type(values)
        if dtype is None:
            raise BagreidError(
                f"the {name} features have type {values.dtype}", remedy="Give floating-point values"
            )
        self._dtype = dtype
        self._values = values.detach() if isinstance(values, Tensor) else values

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        count, dim = self._values.shape
        return int(count), int(dim)

    @property
    def dtype(self) -> torch.dtype:
        """The type they are stored in."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """Where they lie."""
        return self._values.device if isinstance(self._values, Tensor) else torch.device("cpu")

    def block(self, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop``; see `FeatureSource`."""
        return _as_tensor(self._values[start:stop])

    def pick(self, rows: IntArray) -> Tensor:
        """The ``(P,)`` rows; see `FeatureSource`."""
        if isinstance(self._values, Tensor):
            index = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
            return self._values.index_select(0, index.to(self._values.device))
        return _as_tensor(self._values[rows])


class ShardedSource:
    """Several sources as one, the rows of one after those of another.

    Args:
        parts: At least one; an empty one is passed over.

    Raises:
        ValueError: When there are no parts, or their dimensions or types differ.
    """

    def __init__(self, parts: Sequence[FeatureSource]) -> None:
        if not parts:
            raise ValueError("there are no shards of features")
        kinds = {(part.shape[1], part.dtype) for part in parts}
        if len(kinds) > 1:
            raise ValueError(f"the shards differ in dimension or type: {sorted(map(str, kinds))}")
        self._parts = list(parts)
        self._edges = np.concatenate([[0], np.cumsum([part.shape[0] for part in parts])])

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D) of all shards together."""
        return int(self._edges[-1]), self._parts[0].shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The type they are stored in."""
        return self._parts[0].dtype

    def block(self, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop``; a view where one shard holds them all."""
        stop = min(stop, int(self._edges[-1]))
        first = int(np.searchsorted(self._edges, start, "right")) - 1
        pieces = []
        while start < stop:
            offset = int(self._edges[first])
            end = min(stop, int(self._edges[first + 1]))
            if end > start:
                pieces.append(self._parts[first].block(start - offset, end - offset))
            start, first = end, first + 1
        return pieces[0] if len(pieces) == 1 else self._joined(pieces)

    def _joined(self, pieces: list[Tensor]) -> Tensor:
        if not pieces:
            return torch.empty(0, self.shape[1], dtype=self.dtype)
        return torch.cat(pieces)

    def pick(self, rows: IntArray) -> Tensor:
        """The ``(P,)`` rows, in the order given."""
        picked_PD = torch.empty(len(rows), self.shape[1], dtype=self.dtype)
        home = np.searchsorted(self._edges, rows, "right") - 1
        for number in np.unique(home):
            here = np.flatnonzero(home == number)
            part_PD = self._parts[number].pick(rows[here] - self._edges[number])
            picked_PD[torch.from_numpy(here)] = part_PD.to(picked_PD.device)
        return picked_PD


def as_source(features: Features | FeatureSource, name: str = "image") -> FeatureSource:
    """The features as a source.

    Args:
        features: An array, a memory map, a tensor, or a source already.
        name: What they are, for messages.

    Returns:
        A source over the same memory.

    Raises:
        BagreidError: When an array is not two-dimensional or not floating point.
    """
    if isinstance(features, np.ndarray | Tensor):
        return ArraySource(features, name)
    return features


def _stored_type(values: Features) -> torch.dtype | None:
    if isinstance(values, Tensor):
        return values.dtype if values.dtype in _TORCH_FLOATS else None
    return _DTYPES.get(values.dtype.itemsize) if values.dtype.kind == "f" else None


def _as_tensor(rows: Features) -> Tensor:
    """A tensor over the same memory; a read-only map is only ever read, so no copy is made."""
    if isinstance(rows, Tensor):
        return rows
    return tensor_over(np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("=")))


def tensor_over(array: npt.NDArray[Any]) -> Tensor:
    """A tensor over an array's memory, which must not be written to where the array must not."""
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)
