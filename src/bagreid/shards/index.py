"""Where each member of a tar lies: arithmetic on the headers of a memory map.

Runs of plain headers are hopped over with the least work a member, then checked as one NumPy
array; whatever is out of the ordinary (long names, pax, links, damage) is read one by one.

Shape letters: M members, H headers of one run.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.contracts import BagreidError, IntArray
from bagreid.shards.header import (
    BLOCK,
    Header,
    HeaderError,
    parse_header,
    parse_pax,
    text,
    until_nul,
)
from bagreid.shards.runs import NEAR, RUN, chained, field_names, hop, look, plain_sizes

ScanProgress = Callable[[int, int], None]
"""Called now and then with (members read so far, bytes passed so far)."""

KIND_NAMES = {
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"5": "directory",
    b"6": "fifo",
    b"S": "sparse file",
}
"""What the type flags of members that hold no plain image bytes stand for."""

_PATIENCE = 256
"""Headers read one by one after a run that turned out short, before runs are tried again."""

_LARGEST_NOTE = 1 << 20
"""A long name or pax header over this many bytes is damage, not a name."""

_FOREIGN = {
    b"\x1f\x8b": ("compressed with gzip", "gunzip -c IN > OUT.tar"),
    b"BZh": ("compressed with bzip2", "bunzip2 -c IN > OUT.tar"),
    b"\xfd7zXZ": ("compressed with xz", "xz -dc IN > OUT.tar"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "zstd -dc IN > OUT.tar"),
    b"PK\x03\x04": ("a zip file", "unzip it and pack it again with tar"),
    b"<": ("a web page", "the download went wrong: fetch it again"),
}


@dataclass(frozen=True, slots=True, eq=False)
class TarIndex:
    """The regular members of one tar, in archive order.

    Attributes:
        path: The tar.
        names: `(M,)` Arrow large_string, member paths as stored.
        offset: `(M,)` int64, first byte of each member's data.
        size: `(M,)` int64, bytes of data.
        named_by_header: `(M,)` bool, whether the block just before the data holds the whole name;
            else the name came from a GNU long name or a pax header.
        skipped: How many members of each other kind (links, directories …) were passed over.
        bytes_after_end: Bytes from the end mark on if they are not all zero (a second tar glued
            on, for instance), else 0. They are not read.
    """

    path: Path
    names: pa.LargeStringArray
    offset: IntArray
    size: IntArray
    named_by_header: npt.NDArray[np.bool_]
    skipped: Mapping[str, int]
    bytes_after_end: int

    def __len__(self) -> int:
        return len(self.offset)


def scan_tar(path: Path, *, progress: ScanProgress | None = None) -> TarIndex:
    """Finds every regular member of a tar without unpacking it.

    Args:
        path: An uncompressed tar: ustar, GNU, pax or v7.
        progress: Told now and then how far the scan is.

    Returns:
        Names, offsets and sizes.

    Raises:
        BagreidError: If the file is missing, empty, compressed, cut (the message says how many
            members were read whole, where the file ends and how much is missing), or damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise BagreidError(
            "the tar is empty (0 bytes)", path=path, remedy="Fetch it again"
        ) from error
    except OSError as error:
        raise BagreidError(
            f"the tar cannot be read ({error.strerror})",
            path=path,
            remedy="Put the file there, or fetch it again",
        ) from error
    return _Scanner(path, view).scan(progress)


class _Scanner:
    """The state of one scan: where it stands, what it has found, what waits for the next header."""

    def __init__(self, path: Path, view: mmap.mmap) -> None:
        self.path = path
        self.view = view
        self.total = len(view)
        whole = self.total // BLOCK
        self.blocks = np.frombuffer(view, np.uint8, whole * BLOCK).reshape(whole, BLOCK)
        self.position = 0
        self.step = 0.0
        self.count = 0
        self.note: dict[bytes, bytes] = {}
        self.defaults: dict[bytes, bytes] = {}
        self.skipped: Counter[str] = Counter()
        self.pieces: list[
            tuple[pa.LargeStringArray, IntArray, IntArray, npt.NDArray[np.bool_]]
        ] = []
        self.slow_rows: list[tuple[str, int, int, bool]] = []

    def scan(self, progress: ScanProgress | None) -> TarIndex:
        open_end = True
        while open_end:
            run = 0
            if not (self.note or self.defaults):
                run = self._take_run()
            for _ in range(1 if run >= RUN // 16 else _PATIENCE):
                open_end = self._take_one()
                if not open_end:
                    break
            if progress is not None:
                progress(self.count, min(self.position, self.total))
        self._flush()
        return self._result()

    def _result(self) -> TarIndex:
        names = [piece[0] for piece in self.pieces]
        empty = np.zeros(0, np.int64)
        rest = self.view[self.position : self.position + (1 << 20)]
        return TarIndex(
            path=self.path,
            names=pa.concat_arrays(names) if names else pa.array([], pa.large_string()),
            offset=np.concatenate([piece[1] for piece in self.pieces] or [empty]),
            size=np.concatenate([piece[2] for piece in self.pieces] or [empty]),
            named_by_header=np.concatenate(
                [piece[3] for piece in self.pieces] or [empty.astype(bool)]
            ),
            skipped=dict(self.skipped),
            bytes_after_end=self.total - self.position if any(rest) else 0,
        )

    # --- runs of plain headers -------------------------------------------------------------

    def _take_run(self) -> int:
        """Takes up to `RUN` plain headers from here on; returns how many."""
        if self.step <= NEAR:
            position_H = look(self.blocks, self.position)
        else:
            position_H = hop(self.view, self.position, self.total)
        if not len(position_H):
            return 0
        header_HB = self.blocks[position_H // BLOCK]
        size_H, plain_H = plain_sizes(header_HB)
        plain_H &= chained(self.position, position_H, size_H)
        plain_H &= position_H + BLOCK + size_H <= self.total
        plain = len(plain_H) if plain_H.all() else int(plain_H.argmin())
        if plain:
            before = self.position
            self._flush()
            offset_H = position_H[:plain] + BLOCK
            named_H = np.ones(plain, np.bool_)
            self.pieces.append((field_names(header_HB[:plain]), offset_H, size_H[:plain], named_H))
            self.count += plain
            self.position = int(offset_H[-1]) + _padded(int(size_H[plain - 1]))
            self.step = (self.position - before) / plain
        return plain

    def _flush(self) -> None:
        """Turns the members taken one by one into a piece."""
        if not self.slow_rows:
            return
        names, offset, size, named = zip(*self.slow_rows, strict=True)
        self.pieces.append(
            (
                pa.array(names, pa.large_string()),
                np.array(offset, np.int64),
                np.array(size, np.int64),
                np.array(named, np.bool_),
            )
        )
        self.slow_rows = []

    # --- one header at a time --------------------------------------------------------------

    def _take_one(self) -> bool:
        """Takes the header at the current position; False at the end mark."""
        block = self.view[self.position : self.position + BLOCK]
        if len(block) < BLOCK:
            raise self._cut(block)
        if not any(block):
            return False
        try:
            header = parse_header(block)
            if header.kind in b"LKxgX":
                self._take_note(header)
            else:
                self._take_member(header)
        except HeaderError as error:
            raise self._damaged(str(error), block) from error
        return True

    def _take_note(self, header: Header) -> None:
        """A header that speaks about the next member (L, K, x, X) or about all that follow (g)."""
        start = self.position + BLOCK
        if header.size > _LARGEST_NOTE:
            raise HeaderError(f"a name or pax header of {header.size:,} bytes is absurd")
        if start + header.size > self.total:
            raise self._cut_data(header, start)
        payload = self.view[start : start + header.size]
        if header.kind == b"g":
            self.defaults.update(parse_pax(payload))
        elif header.kind in b"xX":
            # Of two notes on one member the first wins, as in Python's tarfile.
            self.note = parse_pax(payload) | self.note
        elif header.kind == b"L":
            self.note.setdefault(b"path", until_nul(payload))
        self.position = start + _padded(header.size)

    def _take_member(self, header: Header) -> None:
        note = self.defaults | self.note
        self.note = {}
        size, start = header.size, self.position + BLOCK
        if b"size" in note:
            size = _decimal(note[b"size"])
        if header.kind in b"123456":
            size = 0
        while header.extended:
            block = self.view[start : start + BLOCK]
            start += BLOCK
            if len(block) < BLOCK:
                raise self._cut(block)
            header = Header(header.name, size, header.kind, block[504] > 0)
        name = note.get(b"path", header.name)
        if start + size > self.total:
            raise self._cut_data(Header(name, size, header.kind, False), start)
        self.position = start + _padded(size)
        if header.kind != b"0":
            self.skipped[KIND_NAMES.get(header.kind, "member of unknown kind")] += 1
        elif any(key.startswith(b"GNU.sparse") for key in note):
            self.skipped["sparse file"] += 1
        else:
            self.slow_rows.append((text(name), start, size, b"path" not in note))
            self.count += 1

    # --- what is wrong, said well ----------------------------------------------------------

    def _read_so_far(self) -> str:
        return f"{self.count:,} member{'' if self.count == 1 else 's'} read whole"

    def _cut(self, block: bytes) -> BagreidError:
        """The file ends inside a header, or where a header or the end mark should stand."""
        if foreign := self._foreign(block):
            return foreign
        if any(block):
            what = f"the tar is cut inside a header: {BLOCK - len(block)} bytes of it are missing"
            remedy = "Fetch the tar again"
        else:
            what = f"the tar has no end mark: {BLOCK - len(block)} bytes at least are missing"
            remedy = (
                "It was cut between two members: fetch it again (or, if it is known to be whole, "
                "append 1,024 zero bytes)"
            )
        return BagreidError(
            f"{what}; {self._read_so_far()}",
            path=self.path,
            position=f"byte {self.total}",
            remedy=remedy,
        )

    def _cut_data(self, header: Header, start: int) -> BagreidError:
        name, missing = text(header.name), start + header.size - self.total
        absurd = header.size >= 1 << 40
        what = (
            f"member '{name}' claims an absurd {header.size:,} bytes"
            if absurd
            else f"the tar is cut inside member '{name}': {missing:,} of its {header.size:,} bytes "
            f"are missing, the file ends at byte {self.total}"
        )
        return BagreidError(
            f"{what}; {self._read_so_far()}",
            path=self.path,
            position=f"byte {self.position}",
            remedy="Fetch the tar again",
        )

    def _foreign(self, block: bytes) -> BagreidError | None:
        """The error for a file that is something else altogether, judged by its first bytes."""
        for magic, (what, remedy) in _FOREIGN.items():
            if self.position == 0 and block.startswith(magic):
                return BagreidError(
                    f"this is no plain tar but {what}; 0 members read",
                    path=self.path,
                    position="byte 0",
                    remedy=f"Images are read in place, so it must be plain: {remedy}",
                )
        return None

    def _damaged(self, why: str, block: bytes) -> BagreidError:
        return self._foreign(block) or BagreidError(
            f"{why}; {self._read_so_far()}",
            path=self.path,
            position=f"byte {self.position}",
            remedy="The tar is damaged or no tar: fetch it again",
        )


def read_name(header: bytes) -> str:
    """The member name that a single header block holds.

    Args:
        header: The 512 bytes in front of a member's data.

    Returns:
        The name, with what is no UTF-8 spelled as backslash escapes.
    """
    return text(parse_header(header).name)


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        raise HeaderError(f"the size in a pax header is no number ({value[:40]!r})")
    return int(value)


def _padded(size: int) -> int:
    return (size + BLOCK - 1) & -BLOCK
