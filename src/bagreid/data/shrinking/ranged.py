"""A tar behind a URL, read as if it were a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from bagreid.shards import ByteSource

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def as_file(source: ByteSource, buffer: int) -> BinaryIO:
    """Wraps a source.

    Args:
        source: Where the bytes come from; closed with the file.
        buffer: Bytes asked for at once.

    Returns:
        A file that can be read and sought in.
    """
    return cast(BinaryIO, io.BufferedReader(_Raw(source), buffer))


class _Raw(io.RawIOBase):
    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}
        self._position = start[whence] + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()
