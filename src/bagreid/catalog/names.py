"""Millions of path names at once: hashes, folders and test names without a Python object each.

Shape letters: M names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bagreid.contracts import DISTRACTOR_PID, IntArray

Hashes = npt.NDArray[np.uint64]

TEST_NAME = r"^(?P<pid>-1|[0-9]+|0+others)_c(?P<camera>[0-9]+)_[0-9]+\.(?i:jpe?g)$"
"""`<pid>_c<camera>_<n>.jpg`; `0000others` is nobody asked for, -1 is junk."""

_SLASH = ord("/")


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Path names cut at their slashes; all positions are bytes of `data`.

    Attributes:
        data: uint8, the names one after another, with eight spare bytes.
        start: `(M,)` int64, first byte of each name.
        tail: `(M,)` int64, first byte of its last two components.
        last: `(M,)` int64, first byte of its last component.
        stop: `(M,)` int64, one past its last byte.
    """

    data: npt.NDArray[np.uint8]
    start: IntArray
    tail: IntArray
    last: IntArray
    stop: IntArray

    def __len__(self) -> int:
        return len(self.start)

    def keys(self) -> Hashes:
        """`(M,)` hashes of the last two components, by which lists and members are matched."""
        return hash_slices(self.data, self.tail, self.stop)

    def is_image(self) -> npt.NDArray[np.bool_]:
        """`(M,)` whether the name ends in .jpg or .jpeg and is no macOS `._` companion."""
        word = _words(self.data)
        # Lowers letters; the dot must stay out of it, for the same bit makes one of byte 14.
        lower = np.uint64(0x2020202020202000)
        last_four = word[np.maximum(self.stop - 4, 0)] | lower
        jpg = (last_four ^ _word(b".jpg")) & np.uint64(0xFFFFFFFF) == 0
        last_five = word[np.maximum(self.stop - 5, 0)] | lower
        jpeg = (last_five ^ _word(b".jpeg")) & np.uint64(0xFFFFFFFFFF) == 0
        hidden = (word[self.last] ^ _word(b"._")) & np.uint64(0xFFFF) == 0
        dot = self.stop - np.where(jpeg, 5, 4)
        found: npt.NDArray[np.bool_] = (jpg | jpeg) & ~hidden & (dot > self.last)
        return found

    def text(self, index: int) -> str:
        """One name.

        Args:
            index: Which.

        Returns:
            The name as text.
        """
        return bytes(self.data[self.start[index] : self.stop[index]]).decode()

    def directories(self) -> tuple[IntArray, list[str]]:
        """Cuts the names into runs that lie in the same directory.

        Returns:
            `(M,)` int64, number of the run each name belongs to; and each run's directory
            (all in front of the last slash, '' where there is none).
        """
        if not len(self):
            return np.zeros(0, np.int64), []
        end = np.maximum(self.last - 1, self.start)
        hashes = hash_slices(self.data, self.start, end)
        new = np.ones(len(self), np.bool_)
        new[1:] = hashes[1:] != hashes[:-1]
        heads = np.flatnonzero(new)
        names = [
            bytes(self.data[a:b]).decode()
            for a, b in zip(self.start[heads].tolist(), end[heads].tolist(), strict=True)
        ]
        return np.cumsum(new) - 1, names


def split_paths(names: pa.LargeStringArray) -> Paths:
    """Finds the last slashes of each name.

    Args:
        names: `(M,)` Arrow large_string without nulls.

    Returns:
        The cut names.
    """
    names = names.cast(pa.large_string())
    _, offsets, raw = names.buffers()
    offset = np.frombuffer(offsets, np.int64)[names.offset : names.offset + len(names) + 1]
    data = np.zeros((len(raw) if raw else 0) + 8, np.uint8)
    if raw:
        data[:-8] = np.frombuffer(raw, np.uint8)
    start, stop = offset[:-1], offset[1:]
    # A slash in front of everything stands in for "none".
    slash = np.concatenate([np.array([-1]), np.flatnonzero(data == _SLASH)])
    which = np.searchsorted(slash, stop) - 1
    last = np.maximum(slash[which] + 1, start)
    tail = np.maximum(slash[np.maximum(which - 1, 0)] + 1, start)
    return Paths(data, start, tail, last, stop)


def hash_slices(data: npt.NDArray[np.uint8], start: IntArray, stop: IntArray) -> Hashes:
    """Hashes slices of a byte array, eight bytes at a time (multiply and xor-shift).

    64 bits suffice: among 30 million names the chance of any collision is about 2·10⁻⁵.

    Args:
        data: Bytes, at least eight more than the largest `stop`.
        start: `(M,)` first byte of each slice.
        stop: `(M,)` one past the last.

    Returns:
        `(M,)` uint64.
    """
    word = _words(data)
    left = stop - start
    hashes = left.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    active: slice | IntArray = slice(None)
    for done in range(0, int(left.max(initial=0)), 8):
        remaining = left[active] - done
        if (remaining <= 0).any():
            active = np.flatnonzero(left > done)
            remaining = left[active] - done
        shift = (8 * np.maximum(8 - remaining, 0)).astype(np.uint64)
        value = word[start[active] + done] << shift
        mixed = (hashes[active] ^ value) * np.uint64(0xD6E8FEB86659FD93)
        hashes[active] = mixed ^ (mixed >> np.uint64(32))
    return hashes


def _words(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Every eight neighbouring bytes as one little-endian number (an unaligned view)."""
    return np.ndarray((max(len(data) - 7, 0),), "<u8", data, 0, (1,))


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


def parse_test_names(
    names: pa.LargeStringArray,
) -> tuple[IntArray, IntArray, npt.NDArray[np.bool_]]:
    """Reads identity and camera from the file names of test images.

    Args:
        names: `(M,)` paths of test images.

    Returns:
        `(M,)` identities (-1 junk, -1000 distractor); `(M,)` cameras; and `(M,)` whether the name
        is of the form `<pid>_c<camera>_<n>.jpg` at all, with numbers that fit 32 and 16 bits
        (where it is not, the numbers mean nothing).
    """
    files = pc.replace_substring_regex(names, pattern=r"(?s)^.*/", replacement="")
    parts = pc.extract_regex(files, pattern=TEST_NAME)
    pid_text, camera_text = pc.struct_field(parts, [0]), pc.struct_field(parts, [1])
    good = pc.is_valid(parts)
    for text, digits in ((pid_text, 10), (camera_text, 5)):
        short = pc.less_equal(pc.utf8_length(pc.utf8_ltrim(text, "0")), digits)
        good = pc.and_(good, pc.fill_null(short, False))
    others = pc.ends_with(pid_text, "others")
    pid = _numbers(pc.if_else(others, str(DISTRACTOR_PID), pid_text), good)
    camera = _numbers(camera_text, good)
    fits = (pid <= np.iinfo(np.int32).max) & (camera <= np.iinfo(np.int16).max)
    return pid, camera, fits & np.asarray(good.to_numpy(zero_copy_only=False), np.bool_)


def _numbers(text: pa.StringArray, good: pa.BooleanArray) -> IntArray:
    """The numbers that good texts hold; 0 for the others."""
    number = pc.if_else(good, text, "0").cast(pa.int64())
    return np.asarray(number.to_numpy(zero_copy_only=False), np.int64)
