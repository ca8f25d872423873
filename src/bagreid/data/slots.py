"""Memory that workers write batches to and the process that uses them reads, again and again.

A batch sent in fresh shared memory costs a page fault for every 4 KiB, a file descriptor and a
mapping; for images of this size that is a fifth of the time it takes to decode them. Here a few
slots are made once and mapped by all. They are anonymous memory shared by forking, so they need no
room in /dev/shm, of which containers have 64 MB.
"""

from __future__ import annotations

import mmap
import weakref

import numpy as np
import torch
from torch import Tensor

_ALIGNED = mmap.PAGESIZE


class Slots:
    """Some slots of equal size, shared with the processes forked after this.

    The process that uses the batches lends a slot with every batch it asks for, and gets it back
    when the last tensor over it is gone: who keeps batches keeps their pixels, and further batches
    have to do without a slot.

    Args:
        count: How many.
        size: Bytes of each; rounded up to whole pages.
    """

    def __init__(self, count: int, size: int) -> None:
        self._size = -(-size // _ALIGNED) * _ALIGNED
        self._memory = np.frombuffer(mmap.mmap(-1, max(1, count * self._size)), dtype=np.uint8)
        self._free = list(range(count))

    def lend(self) -> int | None:
        """A free slot's number, or None."""
        return self._free.pop() if self._free else None

    def give_back(self, slot: int) -> None:
        """Makes a lent slot free again."""
        self._free.append(slot)

    def write(self, slot: int) -> Tensor:
        """The slot for a worker to write to: ``(size,)`` uint8."""
        return torch.from_numpy(self._memory[slot * self._size : (slot + 1) * self._size])

    def take(self, slot: int) -> Tensor:
        """The slot as a worker left it: ``(size,)`` uint8; free again when no tensor uses it."""
        part = self._memory[slot * self._size : (slot + 1) * self._size]
        # Every tensor made from this one shares its storage, which holds this very array.
        weakref.finalize(part, self.give_back, slot).atexit = False
        return torch.from_numpy(part)
