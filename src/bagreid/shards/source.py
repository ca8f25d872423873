"""Where the bytes of a tar come from: a local file, or one behind a URL read by ranges."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from functools import cached_property
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

    def expect(self, offset: int, size: int) -> None:
        """Says that some bytes are about to be read, where it helps to know.

        Args:
            offset: The first of them.
            size: How many.
        """

    def close(self) -> None:
        """Lets file or connection go; views stay valid."""


class LocalSource:
    """A local file: mapped to be scanned, read to be sampled.

    Images are read and not mapped: the pages of a map that a process has looked at count as its
    own memory, and after an epoch they would be all of its images. A file that someone cuts
    meanwhile gives an error here, where a map would end the process. Left to itself the system
    reads too little ahead when images are read in a row, so it is told to.

    Args:
        path: A plain file.

    Raises:
        BagreidError: If it is none, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        try:
            # Opening a pipe or a device could wait for ever.
            if not stat.S_ISREG(path.stat().st_mode):
                raise BagreidError(
                    "cannot be read (it is no plain file)",
                    path=path,
                    remedy="Put the tar itself there",
                )
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise self._unreadable(error) from error
        status = os.fstat(self._file.fileno())
        self.size = status.st_size
        self.state: State = (status.st_size, status.st_mtime_ns)
        self._end = 0
        self._row = 0
        self._due = 0

    @cached_property
    def view(self) -> memoryview:
        """All bytes as a memory map that will be read in sequence; views of it stay valid.

        Raises:
            BagreidError: If the file cannot be mapped.
        """
        if not self.size:
            return memoryview(b"")
        try:
            mapped = mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # the latter where the file was cut meanwhile
            raise self._unreadable(error) from error
        mapped.madvise(mmap.MADV_SEQUENTIAL)
        return memoryview(mapped)

    def read(self, offset: int, size: int) -> memoryview:
        """A copy of some bytes."""
        end = offset + size
        if 0 <= offset - self._end <= NEAR:
            self._row += 1
            if self._row >= IN_A_ROW and end > self._due:
                self._fetch_ahead(offset)
        else:
            self._row = self._due = 0
        self._end = end
        handle, wanted = self._file.fileno(), min(size, self.size - offset)
        try:
            data = os.pread(handle, size, offset)
            # Linux reads 2 GiB at most in one go.
            while len(data) < wanted and (more := os.pread(handle, size, offset + len(data))):
                data += more
        except OSError as error:
            raise self._unreadable(error) from error
        if len(data) < wanted:
            raise BagreidError(
                f"the file held {self.size:,} bytes and ends before byte {end:,} now",
                path=self.path,
                remedy="Fetch it again",
            )
        return memoryview(data)[:size]

    def expect(self, offset: int, size: int) -> None:
        """Lets the system fetch some bytes while others are being read."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)

    def _fetch_ahead(self, offset: int) -> None:
        self.expect(offset, AHEAD)
        self._due = offset + AHEAD // 2

    def _unreadable(self, error: OSError | ValueError) -> BagreidError:
        why = error.strerror if isinstance(error, OSError) else error
        return BagreidError(
            f"cannot be read ({why})",
            path=self.path,
            remedy="Put the file there, or fetch it again",
        )

    def close(self) -> None:
        """Lets the file go, and the map, which lives on until the last view of it is gone."""
        self.__dict__.pop("view", None)
        self._file.close()


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
