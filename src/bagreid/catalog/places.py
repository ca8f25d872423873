"""Where each image lies, on disk: eight bytes an image, and what is the same for many rows once.

`places.npy` is a plain `(M, 2)` uint32 array of block and size. The shard is kept as runs of rows
(the images of one folder in one tar stand together), identity and camera for test rows only (the
folder of a train row is where its row lies).

Shape letters: M images, N rows asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray
from bagreid.shards.header import BLOCK

PLACES = "places.npy"

_WIDTH = 8
_PIECE = 1 << 20


def write_places(folder: Path, columns: Mapping[str, Any], train: int) -> dict[str, dict[str, Any]]:
    """Writes block and size of all images.

    Args:
        folder: The catalog being written.
        columns: `(M,)` `shard`, `block`, `size`, `group` and `camera`, in the catalog's order.
        train: How many of the rows are train images.

    Returns:
        Tables for the rest: `runs` of the shard, and `tests` (identity and camera of test rows).
    """
    block, size = np.asarray(columns["block"]), np.asarray(columns["size"])
    header = {"descr": "<u4", "fortran_order": False, "shape": (len(block), 2)}
    with (folder / PLACES).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(block), _PIECE):
            piece = slice(start, start + _PIECE)
            pair = np.stack([block[piece], size[piece]], axis=1)
            file.write(pair.astype("<u4", copy=False).data)
    shard = np.asarray(columns["shard"])
    first = np.ones(len(shard), np.bool_)
    np.not_equal(shard[1:], shard[:-1], out=first[1:])
    begin = np.flatnonzero(first)
    return {
        "runs": {"start": begin.astype(np.uint32), "shard": shard[begin]},
        "tests": {"identity": columns["group"][train:], "camera": columns["camera"][train:]},
    }


class Places:
    """Finds images in `places.npy`.

    Single rows are read from the file, not mapped: mapped, the pages of a whole epoch's random
    rows would count as a worker's own memory.

    Args:
        folder: A complete catalog.

    Raises:
        OSError: If the file is not there.
        ValueError: If it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / PLACES).open("rb", buffering=0)
        if np.lib.format.read_magic(self._file) != (1, 0):
            raise ValueError("places.npy is of another version")
        shape, _, dtype = np.lib.format.read_array_header_1_0(self._file)
        self._start = self._file.tell()
        self._length = shape[0]
        if dtype != "<u4" or shape[1:] != (2,):
            raise ValueError("places.npy is of another kind")
        if os.fstat(self._file.fileno()).st_size != self._start + _WIDTH * self._length:
            raise ValueError("places.npy is cut")

    def __len__(self) -> int:
        return self._length

    def find(self, row: int) -> tuple[int, int]:
        """Offset and size of one image.

        Args:
            row: Its row.

        Returns:
            First byte and number of bytes.
        """
        raw = os.pread(self._file.fileno(), _WIDTH, self._start + _WIDTH * row)
        return BLOCK * int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little")

    def find_many(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Offset and size of some images.

        Args:
            rows: `(N,)` their rows.

        Returns:
            `(N,)` int64 each.
        """
        handle, start = self._file.fileno(), self._start
        raw = b"".join(os.pread(handle, _WIDTH, start + _WIDTH * row) for row in rows.tolist())
        pair_N2 = np.frombuffer(raw, "<u4").reshape(-1, 2).astype(np.int64)
        return BLOCK * pair_N2[:, 0], pair_N2[:, 1]

    @cached_property
    def mapped(self) -> npt.NDArray[np.uint32]:
        """`(M, 2)` block and size of all images, memory-mapped and shared by all processes."""
        if not len(self):
            return np.zeros((0, 2), np.uint32)
        return np.memmap(
            self._file, np.dtype("<u4"), "r", offset=self._start, shape=(self._length, 2)
        )
