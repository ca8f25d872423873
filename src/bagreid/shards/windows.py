"""The part of a tar that the scanner looks at: all of a local file, or a window that moves on.

Shape letters: W blocks of a window, B bytes of a block (512).
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bagreid.shards.header import BLOCK
from bagreid.shards.source import ByteSource, LocalSource

SMALLEST = 64 * 1024
"""Bytes of the first window, and of the first one after a leap."""

LARGEST = 16 * 1024 * 1024
"""Bytes of a window once the scan has gone on without a leap for a while."""

AHEAD = 512 * 1024
"""From this size on the window to come is fetched while the present one is looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Some bytes of a tar.

    Attributes:
        start: Where they begin, a multiple of 512.
        view: The bytes.
        block_WB: The same as `(W, 512)` uint8, without a last part of a block.
    """

    start: int
    view: memoryview
    block_WB: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, start: int, view: memoryview) -> Window:
        """Wraps bytes that begin at `start`.

        Args:
            start: Their place in the tar.
            view: The bytes.

        Returns:
            The window.
        """
        whole = len(view) // BLOCK
        blocks = np.frombuffer(view, np.uint8, whole * BLOCK).reshape(whole, BLOCK)
        return cls(start, view, blocks)

    @property
    def end(self) -> int:
        """Where the window ends in the tar."""
        return self.start + len(self.view)


class Windows(Protocol):
    """Gives the scanner the bytes around where it stands."""

    def at(self, position: int) -> Window:
        """The window that holds the block at `position`; an empty one behind the tar's end."""

    def close(self) -> None:
        """Stops fetching."""


class WholeFile:
    """A local file needs no windows: one covers it all."""

    def __init__(self, source: LocalSource) -> None:
        self._window = Window.of(0, source.view)

    def at(self, position: int) -> Window:
        """The whole file, wherever one stands."""
        del position
        return self._window

    def close(self) -> None:
        """Nothing is being fetched."""


class MovingWindow:
    """Windows of a remote tar, each fetched by one ranged read.

    Going on where the last one ended doubles the size up to `LARGEST` and fetches the next one
    ahead; data that reach beyond the next window are leapt over, and the size begins again at
    `SMALLEST`. So small members are read in a stream, and large ones for their headers only.

    Args:
        source: Where to read.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._window = Window.of(0, memoryview(b""))
        self._size = SMALLEST // 2
        self._thread = ThreadPoolExecutor(1, "tar-ahead")
        self._next: Future[memoryview] | None = None

    def at(self, position: int) -> Window:
        """The window that holds the block at `position`; an empty one behind the tar's end.

        Args:
            position: A multiple of 512, never before an earlier one.

        Returns:
            The window.

        Raises:
            BagreidError: If the source cannot be read.
        """
        if self._window.start <= position < self._window.end:
            return self._window
        if position >= self._source.size:
            return Window.of(position, memoryview(b""))
        start, size = self._window.end, min(2 * self._size, LARGEST)
        if position < start + size:
            view = self._next.result() if self._next else self._source.read(start, size)
        else:
            if self._next:
                self._next.cancel()
            start, size = position, SMALLEST
            view = self._source.read(start, size)
        self._size, self._next = size, None
        self._window = Window.of(start, view)
        if size >= AHEAD and self._window.end < self._source.size:
            self._next = self._thread.submit(
                self._source.read, self._window.end, min(2 * size, LARGEST)
            )
        return self._window

    def close(self) -> None:
        """Stops fetching; what is under way is waited for."""
        self._thread.shutdown(cancel_futures=True)


def windows_of(source: ByteSource) -> Windows:
    """The windows that fit a source.

    Args:
        source: An opened tar.

    Returns:
        One window for a local file, moving ones for any other.
    """
    return WholeFile(source) if isinstance(source, LocalSource) else MovingWindow(source)
