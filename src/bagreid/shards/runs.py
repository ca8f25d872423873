"""Runs of plain tar headers: hopped over one by one, then checked as one array.

Shape letters: H headers of a run, B bytes of a header (512), N bytes of its name field (100),
W its 64-bit words, K bytes of its checksum field.
"""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.shards.header import BLOCK, text, until_nul

RUN = 4096
"""Headers checked at once: two megabytes, which stay in the processor's cache."""

_REGULAR = ord("0")


def hop(view: mmap.mmap, position: int, total: int) -> tuple[list[int], list[int]]:
    """Hops from header to header while they look plain.

    `int` forgives signs and underscores, so a damaged size may send this anywhere: the run is
    short and `is_plain` looks at every byte of it afterwards.

    Args:
        view: The tar.
        position: Byte of the first header, a multiple of 512.
        total: Length of the tar.

    Returns:
        Positions and data sizes of at most `RUN` headers, still unchecked.
    """
    positions: list[int] = []
    sizes: list[int] = []
    try:
        while len(positions) < RUN and 0 <= position <= total - BLOCK:
            if view[position + 156] != _REGULAR:
                break
            size = int(view[position + 124 : position + 135], 8)
            positions.append(position)
            sizes.append(size)
            position += (size + 1023) & -512
    except ValueError:
        pass  # no plain octal size: the end mark, base-256 or damage, all read one by one
    return positions, sizes


def is_plain(header_HB: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Checks headers whose type is "regular file".

    The byte sum is taken eight bytes at a time: 64 words of four 16-bit lanes cannot overflow
    (64 · 2 · 255 < 2¹⁶).

    Args:
        header_HB: `(H, 512)` uint8, contiguous.

    Returns:
        `(H,)` whether size and checksum are spelled plainly, the checksum is right, and the whole
        name stands in the first field.
    """
    digit_HB = header_HB - np.uint8(48)
    octal_H = (digit_HB[:, 124:135] < 8).all(1) & (digit_HB[:, 148:154] < 8).all(1)
    ended_H = (header_HB[:, 135] == 0) | (header_HB[:, 135] == 32)
    ended_H &= (header_HB[:, 154] == 0) & (header_HB[:, 155] == 32)
    word_HW = header_HB.view(np.uint64)
    low = np.uint64(0x00FF00FF00FF00FF)
    lane_HL = ((word_HW & low) + (word_HW >> np.uint64(8) & low)).sum(1)[:, None].view(np.uint16)
    total_H = lane_HL.sum(1, dtype=np.int64)
    field_HK = header_HB[:, 148:156]
    total_H += 8 * 32 - field_HK.sum(1, dtype=np.int64)
    stored_H = digit_HB[:, 148:154].astype(np.int64) @ (8 ** np.arange(5, -1, -1))
    named_H = (header_HB[:, 345] == 0) & (header_HB[:, 0] != 0)
    plain_H: npt.NDArray[np.bool_] = octal_H & ended_H & named_H & (stored_H == total_H)
    return plain_H


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
