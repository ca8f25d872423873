"""Arrays in ``.npy`` files, or in a stretch of a larger file, as memory maps.

The header is checked against the bytes that are there before anything is mapped, so a file that
was cut gives an error and never a bus error or made-up numbers.
"""

from __future__ import annotations

import math
import os
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from bagreid.contracts import BagreidError

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
"""Bytes of a header that are parsed; an honest one of an array without fields has about 120."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the bytes of one ``.npy`` lie.

    Attributes:
        path: The file.
        start: The first byte.
        size: How many bytes there are.
        member: What it is called inside an ``.npz``; None for a file of its own.
    """

    path: Path
    start: int
    size: int
    member: str | None = None

    @property
    def place(self) -> str | None:
        """The member in words, for messages."""
        return None if self.member is None else f"array {self.member}"


@dataclass(frozen=True, slots=True)
class Header:
    """What the beginning of an ``.npy`` says.

    Attributes:
        dtype: The type of the values; never of objects, never structured.
        shape: The shape.
        fortran: Whether the first axis varies fastest.
        length: Bytes of magic and header.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    length: int

    @property
    def data_bytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def whole_file(path: Path) -> Extent:
    """A file of its own.

    Args:
        path: The file.

    Returns:
        All of it.

    Raises:
        BagreidError: When it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return Extent(path, 0, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise BagreidError(
            f"cannot be read ({error.strerror})", path=path, remedy="Check its name and rights"
        ) from error


def map_array(extent: Extent) -> npt.NDArray[Any]:
    """The array, read-only and on disk.

    Args:
        extent: Where it lies.

    Returns:
        A memory map, in the file's own byte order and memory order.

    Raises:
        BagreidError: When it is no ``.npy``, holds objects or fields, or is shorter or longer
            than its header says.
    """
    with extent.path.open("rb") as file:
        file.seek(extent.start)
        header = read_header(file, extent)
    if not header.data_bytes:  # nothing can be mapped
        return np.zeros(header.shape, header.dtype)
    return np.memmap(
        extent.path,
        dtype=header.dtype,
        mode="r",
        offset=extent.start + header.length,
        shape=header.shape,
        order="F" if header.fortran else "C",
    )


def read_header(file: BinaryIO, extent: Extent) -> Header:
    """Reads and checks the beginning of an ``.npy``.

    Args:
        file: Open at its first byte; stands at the first value afterwards.
        extent: Where it lies and how many bytes it has.

    Returns:
        The header.

    Raises:
        BagreidError: As for `map_array`.
    """
    before = file.tell()
    version = _version(file, extent)
    try:
        reader = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            reader = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file, max_header_size=_LONGEST_HEADER)
    except (
        *(ValueError, TypeError, SyntaxError, EOFError, OSError, tokenize.TokenError),
        *(RecursionError, OverflowError, MemoryError, UnicodeError),
    ) as error:
        raise BagreidError(
            f"has a damaged .npy header ({str(error).splitlines()[0] if str(error) else error!r})",
            path=extent.path,
            position=extent.place,
            remedy="Write it again with numpy.save",
        ) from error
    header = Header(dtype, tuple(map(int, shape)), fortran, file.tell() - before)
    _check_type(header, extent)
    _check_size(header, extent)
    return header


def _version(file: BinaryIO, extent: Extent) -> tuple[int, int]:
    start = file.read(8)
    if not start.startswith(MAGIC):
        raise BagreidError(
            f"is not .npy: {_what_it_is(start)}",
            path=extent.path,
            position=extent.place,
            remedy="Write it with numpy.save",
        )
    version = (start[6], start[7]) if len(start) == 8 else (0, 0)
    if version not in {(1, 0), (2, 0), (3, 0)}:
        raise BagreidError(
            f"has .npy version {version[0]}.{version[1]}; known are 1.0, 2.0 and 3.0",
            path=extent.path,
            position=extent.place,
            remedy="Write it with numpy.save",
        )
    return version


def _what_it_is(start: bytes) -> str:
    """What a file is that begins otherwise, as far as eight bytes tell."""
    if not start:
        return "it is empty"
    if start.startswith(b"PK\x03\x04"):
        return "it is a zip, as .npz files and checkpoints of torch are"
    if start.startswith(b"PAR1"):
        return "it is Parquet"
    if start.startswith(b"\x80"):
        return "it is a pickle, which could run code and is never opened"
    return f"it begins with {start!r}"


def _check_type(header: Header, extent: Extent) -> None:
    dtype = header.dtype
    if dtype.hasobject:
        message, remedy = "holds Python objects, which are never loaded", "Save plain numbers"
    elif dtype.names is not None or dtype.kind == "V":
        message = f"has the structured or unknown type {dtype}"
        remedy = "Save one plain array of float16, float32 or float64 (bfloat16 has no .npy type)"
    elif min(header.shape, default=0) < 0:
        message, remedy = f"has the impossible shape {header.shape}", "Write it again"
    else:
        return
    raise BagreidError(message, path=extent.path, position=extent.place, remedy=remedy)


def _check_size(header: Header, extent: Extent) -> None:
    promised = header.length + header.data_bytes
    if promised == extent.size:
        return
    shape = " × ".join(f"{n:,}" for n in header.shape) or "one"
    cut = promised > extent.size
    raise BagreidError(
        f"{'is cut' if cut else 'is longer than its header says'}: {shape} values of "
        f"{header.dtype} make {promised:,} bytes, and there are {extent.size:,}",
        path=extent.path,
        position=extent.place,
        remedy="Write or fetch it again" if cut else "Save one array a file",
    )
