"""Where the bytes of a tar come from: a local file, or one behind a URL read by ranges."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from pathlib import Path
from typing import Protocol

from bagreid.contracts import BagreidError
from bagreid.shards.header import BLOCK
from bagreid.shards.pointer import is_pointer

State = tuple[int, int | str]
"""What tells a file's present content from another: `(size, mtime_ns)` of a local file, `(size,
ETag or time of the last change)` of a remote one."""

NEAR = 64 * 1024
"""A read that begins at most so many bytes behind the end of the last one goes on in a row."""

IN_A_ROW = 4
"""From so many reads in a row on, bytes are fetched ahead."""

AHEAD = 4 * 1024 * 1024
"""Bytes fetched ahead at most."""

_SMALL = 2 * mmap.PAGESIZE
"""Up to here asking for bytes beforehand costs more than it saves: 5 µs where memory has them."""

_ENDS = 4096
_PIECES = 14


class ByteSource(Protocol):
    """Bytes that can be read anywhere in them, in any order."""

    @property
    def path(self) -> Path:
        """The local file: the tar itself, or the pointer to it."""

    @property
    def name(self) -> str:
        """What messages call it: the path, or the URL without passwords."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    @property
    def state(self) -> State:
        """What identifies the present content."""

    def read(self, offset: int, size: int) -> memoryview:
        """Some of the bytes.

        Args:
            offset: The first of them.
            size: How many.

        Returns:
            A read-only view, shorter than asked for only at the end of the source.

        Raises:
            BagreidError: If the source cannot be read or changed.
        """

    def close(self) -> None:
        """Lets file or connection go; views stay valid."""


class LocalSource:
    """A local file as one memory map, its pages shared by all processes.

    Left to itself the system reads far around each page that is missing (the whole tar, for a few
    thousand images drawn at random). So it is told to read nothing of its own accord, and then
    what to read: large images as a whole; and a stretch ahead, when images are read in a row.

    Args:
        path: A plain file.

    Raises:
        BagreidError: If it is none, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self._map: mmap.mmap | None = None
        try:
            # Opening a pipe or a device could wait for ever.
            if not stat.S_ISREG(path.stat().st_mode):
                raise BagreidError(
                    "cannot be read (it is no plain file)",
                    path=path,
                    remedy="Put the tar itself there",
                )
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_size:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise BagreidError(
                f"cannot be read ({why})",
                path=path,
                remedy="Put the file there, or fetch it again",
            ) from error
        self.view = memoryview(b"" if self._map is None else self._map)
        self.size = len(self.view)
        self.advise(mmap.MADV_RANDOM)
        self._end = 0
        self._row = 0
        self._due = 0
        self.state: State = (status.st_size, status.st_mtime_ns)

    def read(self, offset: int, size: int) -> memoryview:
        """A slice of the map: nothing is copied."""
        end = offset + size
        if 0 <= offset - self._end <= NEAR:
            self._row += 1
            if self._row >= IN_A_ROW and end > self._due:
                self._want(offset, AHEAD)
                self._due = offset + AHEAD // 2
        else:
            self._row = self._due = 0
            if size > _SMALL:
                self._want(offset, size)
        self._end = end
        return self.view[offset:end]

    def _want(self, offset: int, size: int) -> None:
        if self._map is not None and 0 <= offset < self.size:
            start = offset & -mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, start, offset + size - start)

    def advise(self, advice: int) -> None:
        """Tells the system how the map will be read.

        Args:
            advice: One of `mmap.MADV_…`.
        """
        if self._map is not None:
            self._map.madvise(advice)

    def close(self) -> None:
        """Lets the map go; it lives on until the last view of it is gone."""
        self.view = memoryview(b"")
        self._map = None


def open_source(path: Path) -> ByteSource:
    """Opens a tar for reading, wherever its bytes lie.

    Args:
        path: A local tar; or a pointer: a file called `NAME.tar.url` that holds in one line the
            URL of a tar, of any scheme fsspec knows (`http://`, `s3://`, `file://` …).

    Returns:
        The source.

    Raises:
        BagreidError: If the file or what its URL names cannot be read, or the server cannot send
            parts of a file.
    """
    path = Path(path)
    if is_pointer(path):
        from bagreid.shards.remote import RemoteSource  # fsspec is slow to import

        return RemoteSource(path)
    return LocalSource(path)


def header_probe(source: ByteSource) -> str:
    """A short hash of the beginning, some blocks spread over the file, and its end.

    Together with `ByteSource.state` it says whether a tar is one that was scanned before, at the
    price of 15 kB of reading.

    Args:
        source: An opened tar.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(str(source.size).encode(), digest_size=16)
    digest.update(source.read(0, _ENDS))
    for piece in range(1, _PIECES + 1):
        block = source.size * piece // (_PIECES + 1) // BLOCK
        digest.update(source.read(block * BLOCK, BLOCK))
    digest.update(source.read(max(source.size - _ENDS, 0), _ENDS))
    return digest.hexdigest()
