"""A copy of a run's state as it is at one moment, made fast enough to be made between two steps.

The copies lie in buffers in the computer's memory that are used again from snapshot to snapshot, so
that no fresh pages are needed after the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PLAIN = (type(None), bool, int, float, str, bytes)

Place = tuple[Any, ...]
"""Keys and indices that lead to a value in a nested content."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a moment.

    Attributes:
        content: Nested dicts, lists and tuples of tensors on the CPU and plain values. The tensors
            lie in the buffers: the next snapshot overwrites them.
        arrays: Where a tensor stands for a NumPy array.
        size: Bytes of all tensors, shared memory counted once.
        tensors: How many pieces of memory those are.
        wait: Waits until the copies are made; before, the tensors must not be read.
    """

    content: dict[str, Any]
    arrays: list[Place]
    size: int
    tensors: int
    wait: Callable[[], None]


class Snapshots:
    """Makes snapshots, and keeps the memory for them."""

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []

    def take(self, content: dict[str, Any]) -> Snapshot:
        """Copies a state.

        Tensors of a GPU are copied on its current stream, without waiting for it: whatever is done
        to them later on that stream does not reach the copy. All others are copied on return.
        Views of one storage remain views of one storage. Strides are kept.

        Args:
            content: Nested dicts, lists and tuples of dense tensors, NumPy arrays and plain values
                (str, bytes, bool, int, float, None; NumPy numbers become Python's).

        Returns:
            The copy.

        Raises:
            TypeError: There is something else in it; says where.
        """
        taking = _Taking(self._buffers)
        _visit(content, (), taking.measure)
        taking.copy()
        again = _visit(content, (), taking.stand_in)
        self._buffers[:] = taking.used
        size = sum(buffer.numel() * buffer.element_size() for buffer in taking.used)
        wait = _recorded(taking.devices)
        return Snapshot(again, taking.arrays, size, len(taking.used), wait)


def _visit(value: Any, place: Place, found: Callable[[Any, Place], Any]) -> Any:
    """Builds the content anew, with what ``found`` makes of every tensor and array."""
    if isinstance(value, Tensor | np.ndarray):
        return found(value, place)
    if isinstance(value, dict):
        return {
            _visit(key, (*place, "key"), _refuse): _visit(item, (*place, key), found)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        items = [_visit(item, (*place, number), found) for number, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) not in _PLAIN:
        _refuse(value, place)
    return value


def _refuse(value: Any, place: Place) -> None:
    where = " → ".join(map(str, place)) or "the top"
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__} (at {where})")


@dataclass(slots=True)
class _Extent:
    """The stretch of one storage that the tensors of one type in it reach over, in elements."""

    source: Tensor
    low: int
    high: int
    copy: Tensor | None = None

    def reach(self, low: int, high: int) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)


class _Taking:
    """One snapshot in the making."""

    def __init__(self, buffers: list[Tensor]) -> None:
        self._old = buffers
        self._extents: dict[tuple[Any, ...], _Extent] = {}
        self.used: list[Tensor] = []
        self.arrays: list[Place] = []
        self.devices: set[torch.device] = set()

    def measure(self, value: Tensor | np.ndarray, place: Place) -> None:
        """Notes the memory that a tensor shows."""
        if not isinstance(value, Tensor):
            return
        dense = value.layout is torch.strided and not value.is_quantized and not value.is_meta
        if type(value) not in (Tensor, torch.nn.Parameter) or not dense or value.is_complex():
            _refuse(value, place)
        if value.numel():
            low = int(value.storage_offset())
            spans = zip(value.shape, value.stride(), strict=True)
            high = low + sum((length - 1) * int(stride) for length, stride in spans) + 1
            extent = self._extents.setdefault(_memory(value), _Extent(value.detach(), low, high))
            extent.reach(low, high)

    def copy(self) -> None:
        """Copies the memory that the tensors show, each stretch once."""
        for extent in self._extents.values():
            length = extent.high - extent.low
            source = extent.source.as_strided((length,), (1,), extent.low)
            on_gpu = source.device.type == "cuda"
            extent.copy = self._buffer(source.dtype, length, pinned=on_gpu)
            extent.copy.copy_(source, non_blocking=on_gpu)
            if on_gpu:
                self.devices.add(source.device)

    def stand_in(self, value: Tensor | np.ndarray, place: Place) -> Tensor:
        """The copy of a tensor or an array."""
        if not isinstance(value, Tensor):
            self.arrays.append(place)
            return self._of_array(value, place)
        if not value.numel():
            return torch.empty(value.shape, dtype=value.dtype)
        extent = self._extents[_memory(value)]
        assert extent.copy is not None, "copied before"
        offset = value.storage_offset() - extent.low
        return extent.copy.as_strided(value.shape, value.stride(), offset)

    def _of_array(self, value: np.ndarray, place: Place) -> Tensor:
        try:
            dtype = torch.from_numpy(np.empty(0, value.dtype.newbyteorder("="))).dtype
        except TypeError:
            _refuse(value, (*place, str(value.dtype)))
            raise
        if not value.size:
            return torch.empty(value.shape, dtype=dtype)
        copy = self._buffer(dtype, value.size, pinned=False).view(value.shape)
        np.copyto(copy.numpy(), value)
        return copy

    def _buffer(self, dtype: torch.dtype, length: int, *, pinned: bool) -> Tensor:
        """The buffer that served the same purpose the last time, or a new one."""
        number = len(self.used)
        if number < len(self._old):
            old = self._old[number]
            if (old.dtype, len(old), old.is_pinned()) == (dtype, length, pinned):
                self.used.append(old)
                return old
        self.used.append(torch.empty(length, dtype=dtype, pin_memory=pinned))
        return self.used[-1]


def _memory(tensor: Tensor) -> tuple[Any, ...]:
    # a file of torch holds no storage that is read as two types: such a one is copied twice
    storage = tensor.untyped_storage()
    return tensor.device, storage.data_ptr(), storage.nbytes(), tensor.dtype


def _recorded(devices: set[torch.device]) -> Callable[[], None]:
    """Marks how far the devices' streams are; the function waits until they have come there."""
    events = []
    for device in devices:
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(device))
        events.append(event)

    def wait() -> None:
        for event in events:
            event.synchronize()

    return wait
