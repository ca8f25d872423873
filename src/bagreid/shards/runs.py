"""Runs of plain tar headers: hopped over one by one, then checked as one array.

Shape letters: H headers of a run, B bytes of a header (512), N bytes of its name field (100),
W its 64-bit words, K bytes of its checksum field.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.contracts import IntArray
from bagreid.shards.header import BLOCK, text, until_nul

RUN = 4096
"""Headers checked at once: two megabytes, which stay in the processor's cache."""

NEAR = 16 * 1024
"""Members up to this many bytes apart are found by looking at every block: the disk reads all of
the pages in between anyway, and a look at a block costs a tenth of a hop."""

REGULAR, DIRECTORY, PAX, LONG_NAME = b"05xL"
"""Type flags of the members that runs are made of."""

_KNOWN = np.zeros(256, np.bool_)
_KNOWN[[REGULAR, DIRECTORY, PAX, LONG_NAME]] = True
_MAGIC = np.uint64(int.from_bytes(b"ustar", "little"))


def hop(view: memoryview, position: int, most: int) -> IntArray:
    """Hops from header to header while they look plain.

    `int` forgives signs and underscores, so a damaged size may send this anywhere: the run is
    short, and `plain_sizes` and `chained` look at all of it afterwards.

    Args:
        view: The tar, or a part of it.
        position: Byte of the first header in it, a multiple of 512.
        most: How many headers to look for.

    Returns:
        Positions of at most `most` blocks, in bytes.
    """
    positions: list[int] = []
    try:
        while len(positions) < most and 0 <= position <= len(view) - BLOCK:
            if not _KNOWN[view[position + 156]]:
                break
            size = int(bytes(view[position + 124 : position + 135]), 8)
            positions.append(position)
            position += (size + 1023) & -512
    except ValueError:
        pass  # no plain octal size: the end mark, base-256 or damage, all read one by one
    return np.array(positions, np.int64)


def look(block_HB: npt.NDArray[np.uint8], position: int, most: int) -> IntArray:
    """Looks at every block for the word "ustar" where a header has it.

    Data may hold the word by chance, and old headers lack it: `chained` sorts that out.

    Args:
        block_HB: All whole blocks of the tar, or of a part of it.
        position: Byte of the first header in it, a multiple of 512.
        most: How many headers to look for.

    Returns:
        Positions of at most `most` blocks, in bytes.
    """
    first = position // BLOCK
    window_HB = block_HB[first : first + 8 * most]
    word_H = window_HB[:, 256:264].view(np.uint64)[:, 0]
    found_H = np.flatnonzero((word_H >> np.uint64(8)) & np.uint64(2**40 - 1) == _MAGIC)
    return position + BLOCK * found_H[:most].astype(np.int64)


def plain_sizes(header_HB: npt.NDArray[np.uint8]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Reads the sizes of plain headers and checks that they are such.

    The byte sum is taken eight bytes at a time: 64 words of four 16-bit lanes cannot overflow
    (64 · 2 · 255 < 2¹⁶).

    Args:
        header_HB: `(H, 512)` uint8, contiguous.

    Returns:
        `(H,)` data sizes; and `(H,)` whether each is a regular member, an empty directory, a pax
        header or a GNU long name, with its own name in the first field, size and checksum spelled
        plainly, and the checksum right.
    """
    digit_HB = header_HB - np.uint8(48)
    plain_H = (digit_HB[:, 124:135] < 8).all(1)
    plain_H &= (digit_HB[:, 148:154] < 8).all(1)
    plain_H &= (header_HB[:, 135] == 0) | (header_HB[:, 135] == 32)
    plain_H &= (header_HB[:, 154] == 0) & (header_HB[:, 155] == 32)
    plain_H = (
        plain_H & _KNOWN[header_HB[:, 156]] & (header_HB[:, 345] == 0) & (header_HB[:, 0] != 0)
    )
    word_HW = header_HB.view(np.uint64)
    low = np.uint64(0x00FF00FF00FF00FF)
    lane_HL = ((word_HW & low) + (word_HW >> np.uint64(8) & low)).sum(1)[:, None].view(np.uint16)
    total_H = lane_HL.sum(1, dtype=np.int64)
    total_H += 8 * 32 - header_HB[:, 148:156].sum(1, dtype=np.int64)
    plain_H &= np.equal(_octal(digit_HB[:, 148:154]), total_H)
    size_H = _octal(digit_HB[:, 124:135])
    plain_H &= (header_HB[:, 156] != DIRECTORY) | (size_H == 0)
    return size_H, plain_H


def chained(position: int, position_H: IntArray, size_H: IntArray) -> npt.NDArray[np.bool_]:
    """Whether each header stands where the one before says that the next must stand.

    Args:
        position: Where the first must stand.
        position_H: `(H,)` positions found.
        size_H: `(H,)` data sizes.

    Returns:
        `(H,)` bool.
    """
    due_H = np.empty_like(position_H)
    due_H[:1] = position
    due_H[1:] = (position_H[:-1] + BLOCK + size_H[:-1] + BLOCK - 1) & -BLOCK
    right_H: npt.NDArray[np.bool_] = due_H == position_H
    return right_H


def _octal(digit_HK: npt.NDArray[np.uint8]) -> IntArray:
    places = 8.0 ** np.arange(digit_HK.shape[1] - 1, -1, -1)
    # Exact in float64, for 11 octal digits are 33 bits; and a matrix product is fast in it.
    return (digit_HK.astype(np.float64) @ places).astype(np.int64)


def field_names(header_HB: npt.NDArray[np.uint8]) -> pa.LargeStringArray:
    """Names of plain headers: the first field up to its first NUL.

    Args:
        header_HB: `(H, 512)` uint8.

    Returns:
        `(H,)` names.
    """
    field_HN = header_HB[:, :100]
    nul_HN = field_HN == 0
    length_H = np.where(nul_HN.any(1), nul_HN.argmax(1), 100)
    if (field_HN >= 128).any():
        texts = [text(until_nul(row.tobytes())) for row in field_HN]
        return pa.array(texts, pa.large_string())
    flat = field_HN[np.arange(100) < length_H[:, None]]
    offset = np.zeros(len(length_H) + 1, np.int64)
    np.cumsum(length_H, out=offset[1:])
    return pa.LargeStringArray.from_buffers(len(length_H), pa.py_buffer(offset), pa.py_buffer(flat))


def may_be_unsafe(header_HB: npt.NDArray[np.uint8], name_H: pa.LargeStringArray) -> bool:
    """A quick look for names that are absolute or hold a `..`.

    Args:
        header_HB: `(H, 512)` uint8, plain headers.
        name_H: `(H,)` their names, as `field_names` made them.

    Returns:
        False only where all are safe.
    """
    if (header_HB[:, 0] == ord("/")).any():
        return True
    letters = name_H.buffers()[2]
    return letters is not None and b".." in memoryview(letters).tobytes()
