"""Values that the host wants to see, read when they have come and not before.

To ask a GPU for a number is to wait until it has done all that it was told before. So a step's
numbers are copied out behind its own work, and looked at in a later step, when the copy is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

_Note = TypeVar("_Note")


class Arrivals(Generic[_Note]):
    """Tensors on their way from the device to the host, in the order they were sent."""

    def __init__(self) -> None:
        self._under_way: deque[tuple[_Note, tuple[Tensor, ...], Any]] = deque()

    @torch.no_grad()
    def send(self, note: _Note, *tensors: Tensor) -> None:
        """Starts copies to the host.

        Args:
            note: What they are, given back with them.
            *tensors: Not to be changed in place hereafter.
        """
        event = None
        if tensors and tensors[0].is_cuda:
            tensors = tuple(_to_pinned(tensor) for tensor in tensors)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._under_way.append((note, tensors, event))

    def take(self, *, keep: int = 0) -> Iterator[tuple[_Note, tuple[Tensor, ...]]]:
        """What was sent, in order.

        Args:
            keep: How many of the latest may still be under way: those sent before them have most
                likely arrived, so nobody waits. The number, and not the clock, decides what is
                taken, so that all ranks take the same at the same step.

        Yields:
            The note and the tensors on the host.
        """
        while self._under_way:
            note, tensors, event = self._under_way[0]
            if event is not None:
                if len(self._under_way) <= keep:
                    return
                event.synchronize()
            self._under_way.popleft()
            yield note, tensors


def _to_pinned(tensor: Tensor) -> Tensor:
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)
