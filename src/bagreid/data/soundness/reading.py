"""Reading the bytes of a portion, such that a bad spot of the disk costs one image only.

Not through a memory map: where the disk cannot read a page of one, the process is killed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

from bagreid.contracts import BagreidError
from bagreid.data.soundness.portions import Portion
from bagreid.shards.header import BLOCK
from bagreid.shards.pointer import is_pointer
from bagreid.shards.source import open_source

WINDOW = 16 * 1024 * 1024
"""Bytes read at once, at most (a single image may be larger)."""

GAP = 64 * 1024
"""Images further apart than this many bytes are read one by one."""


def read_images(portion: Portion) -> Iterator[memoryview | OSError]:
    """Reads the images of a portion, neighbours at once.

    Args:
        portion: Which images.

    Yields:
        For each image its bytes, or why the disk does not give them.

    Raises:
        BagreidError: If the file is gone, or ends where it did not before.
    """
    if portion.loose is not None:
        yield from _read_files(portion, portion.loose)
    elif is_pointer(portion.path):
        with closing(open_source(portion.path)) as source:
            for start, stop in _windows(portion):
                yield from _slices(
                    portion, start, stop, source.read(*_extent(portion, start, stop))
                )
    else:
        yield from _read_tar(portion)


def _read_tar(portion: Portion) -> Iterator[memoryview | OSError]:
    try:
        file = os.open(portion.path, os.O_RDONLY)
    except OSError as error:
        raise _changed(portion, f"cannot be read ({error.strerror})") from error
    try:
        for start, stop in _windows(portion):
            offset, size = _extent(portion, start, stop)
            try:
                data = _pread(file, size, offset)
            except OSError:
                yield from _one_by_one(file, portion, start, stop)
            else:
                yield from _slices(portion, start, stop, data)
    finally:
        os.close(file)


def _one_by_one(
    file: int, portion: Portion, start: int, stop: int
) -> Iterator[memoryview | OSError]:
    for at in range(start, stop):
        offset, size = _extent(portion, at, at + 1)
        try:
            data = _pread(file, size, offset)
        except OSError as error:
            yield error
        else:
            yield from _slices(portion, at, at + 1, data)


def _pread(file: int, size: int, offset: int) -> memoryview:
    """All bytes asked for, or up to the file's end; the system may give fewer at a time."""
    data = os.pread(file, size, offset)
    while len(data) < size and (more := os.pread(file, size - len(data), offset + len(data))):
        data += more
    return memoryview(data)


def _slices(portion: Portion, start: int, stop: int, data: memoryview) -> Iterator[memoryview]:
    begin, size = _extent(portion, start, stop)
    if len(data) < size:
        raise _changed(portion, f"it ends at byte {begin + len(data)} by now")
    for at in range(start, stop):
        offset = int(portion.block[at]) * BLOCK - begin
        yield data[offset : offset + int(portion.size[at])]


def _windows(portion: Portion) -> Iterator[tuple[int, int]]:
    """Runs of neighbouring images: places of the first, and behind the last."""
    start = 0
    for at in range(1, len(portion)):
        _, before = _extent(portion, at - 1, at)
        end = int(portion.block[at - 1]) * BLOCK + before
        far = int(portion.block[at]) * BLOCK > end + GAP
        if far or _extent(portion, start, at + 1)[1] > WINDOW:
            yield start, at
            start = at
    yield start, len(portion)


def _extent(portion: Portion, start: int, stop: int) -> tuple[int, int]:
    """First byte and number of bytes of a run of images."""
    begin = int(portion.block[start]) * BLOCK
    return begin, int(portion.block[stop - 1]) * BLOCK + int(portion.size[stop - 1]) - begin


def _read_files(portion: Portion, names: tuple[str, ...]) -> Iterator[memoryview | OSError]:
    for name, size in zip(names, portion.size.tolist(), strict=True):
        path = portion.path / name
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise _changed(portion, f"'{name}' is gone") from error
        except OSError as error:
            yield error
        else:
            if len(data) != size:
                raise _changed(portion, f"'{name}' holds {len(data):,} bytes and held {size:,}")
            yield memoryview(data)


def _changed(portion: Portion, what: str) -> BagreidError:
    return BagreidError(
        what, path=portion.path, remedy="It changed while it was checked: run it again"
    )
