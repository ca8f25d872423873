"""Room for features that cannot be read where they lie: small ones in memory, large ones on disk.

Compressed files, Parquet, and arrays in Fortran order are copied once, a piece at a time, so that
any row can then be had at once. A copy on disk has no name: it is gone when the program ends,
however it ends.

Shape letters: N images, D features.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from bagreid.catalog.store import cache_root
from bagreid.contracts import BagreidError, FloatArray

IN_MEMORY = 64 * 2**20
"""Bytes up to which a copy is held in memory."""

_REMEDY = "Name a folder with room with --cache or the environment variable BAGREID_CACHE"


class Copy:
    """An array that is filled once, in order, and then read.

    Args:
        shape: (N, D).
        dtype: The type of the values.
        cache: A folder for a large copy; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`
            rather than the system's folder for temporary files, which often is memory.

    Raises:
        BagreidError: When a large copy has no place on the disk.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], cache: Path | None) -> None:
        self._shape, self._dtype = shape, dtype
        self.size = math.prod(shape) * dtype.itemsize
        self._memory = bytearray() if self.size <= IN_MEMORY else None
        self._folder = cache_root(cache)
        self._file: BinaryIO | None = None if self._memory is not None else self._open()

    def _open(self) -> BinaryIO:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._folder).free
            if free < self.size:
                raise BagreidError(
                    f"has {free / 2**30:.1f} GiB left, and a copy of the features needs "
                    f"{self.size / 2**30:.1f}",
                    path=self._folder,
                    remedy=_REMEDY,
                )
            return tempfile.TemporaryFile(dir=self._folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> BagreidError:
        return BagreidError(
            f"a copy of the features cannot be written there ({error.strerror})",
            path=self._folder,
            remedy=_REMEDY,
        )

    @property
    def on_disk(self) -> int:
        """Bytes of the copy on disk; 0 where it is in memory."""
        return 0 if self._file is None else self.size

    def append(self, values: npt.NDArray[Any] | bytes) -> None:
        """Adds the next rows, or bytes of rows.

        Args:
            values: ``(n, D)`` of the type of the copy, or bytes of such.

        Raises:
            BagreidError: When the disk is full.
        """
        data: bytes | memoryview
        if isinstance(values, bytes):
            data = values
        else:
            data = np.ascontiguousarray(values, dtype=self._dtype).reshape(-1).view(np.uint8).data
        if self._memory is not None:
            self._memory += data
            return
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as error:
            raise self._unwritable(error) from error

    def array(self) -> FloatArray:
        """The complete array, ``(N, D)``; one on disk is a memory map.

        Raises:
            BagreidError: When the disk is full.
        """
        if self._memory is not None:
            return np.frombuffer(self._memory, self._dtype).reshape(self._shape)
        assert self._file is not None
        try:
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        return np.memmap(self._file, self._dtype, "r", shape=self._shape)


def in_row_order(values: npt.NDArray[Any], cache: Path | None) -> tuple[FloatArray, int]:
    """Features whose rows lie together: as they are, or copied where columns do instead.

    Args:
        values: ``(N, D)``.
        cache: A folder for a large copy.

    Returns:
        ``(N, D)``, and the bytes of a copy on disk.

    Raises:
        BagreidError: When there is no room for a copy.
    """
    if values.flags.c_contiguous:
        return values, 0
    copy = Copy((values.shape[0], values.shape[1]), values.dtype, cache)
    step = max(1, 2**24 // (values.shape[1] * values.dtype.itemsize))
    for start in range(0, len(values), step):
        copy.append(values[start : start + step])
    return copy.array(), copy.on_disk
