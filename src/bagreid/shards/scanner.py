"""Going through a tar header by header, by arithmetic.

Runs of plain headers are hopped over with the least work a member, then checked as one NumPy
array; whatever is out of the ordinary (long names, pax, links, damage) is read one by one.

Shape letters: M members, H headers of one run, B bytes of a block (512).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.contracts import IntArray
from bagreid.shards.damage import DamageKind, TarDamage
from bagreid.shards.header import (
    BLOCK,
    SPARSE,
    Header,
    HeaderError,
    is_unsafe,
    parse_header,
    parse_pax,
    text,
    until_nul,
)
from bagreid.shards.runs import (
    NEAR,
    RUN,
    chained,
    field_names,
    hop,
    look,
    may_be_unsafe,
    plain_sizes,
)
from bagreid.shards.source import ByteSource
from bagreid.shards.windows import windows_of

ScanProgress = Callable[[int, int], None]
"""Called now and then with (members read so far, bytes passed so far)."""

FIRST = 10
"""How many unsafe names are kept for the report."""

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

_MOST_NOTES = 16
"""Extended headers in a row that belong to one member; real programs write up to four."""

_ABSURD = 1 << 40
"""No member has this many bytes."""

_REAL_PADDING = 16 * 1024 * 1024
"""Zeros behind the end mark up to here are what tape programs write; more are a download's."""

_FOREIGN: dict[bytes, tuple[DamageKind, str, str]] = {
    b"\x1f\x8b": ("compressed", "compressed with gzip", "gunzip -c IN > OUT.tar"),
    b"BZh": ("compressed", "compressed with bzip2", "bunzip2 -c IN > OUT.tar"),
    b"\xfd7zXZ": ("compressed", "compressed with xz", "xz -dc IN > OUT.tar"),
    b"\x28\xb5\x2f\xfd": ("compressed", "compressed with zstd", "zstd -dc IN > OUT.tar"),
    b"\x04\x22\x4d\x18": ("compressed", "compressed with lz4", "lz4 -dc IN > OUT.tar"),
    b"PK\x03\x04": ("not a tar", "a zip file", "unzip it and pack it again with tar"),
    b"<": ("not a tar", "a web page", "the download went wrong: fetch it again"),
    b"version https://git-lfs": ("not a tar", "a pointer of Git LFS", "fetch it by 'git lfs pull'"),
}

Piece = tuple[pa.LargeStringArray, IntArray, IntArray, npt.NDArray[np.bool_]]
"""Names, offsets, sizes and "named by its header" of some members."""


@dataclass(slots=True)
class Found:
    """What a scan has found so far.

    Attributes:
        pieces: Members, in archive order.
        count: How many they are.
        skipped: How many members of each other kind were passed over.
        unsafe: Members left out because their names lead out of the folder of unpacking.
        first_unsafe: The first ten of their names.
        bytes_after_end: Bytes from the end mark on, if they are not all zero.
        damage: What ended the scan early.
    """

    pieces: list[Piece]
    count: int
    skipped: Counter[str]
    unsafe: int
    first_unsafe: list[str]
    bytes_after_end: int
    damage: TarDamage | None


class Scanner:
    """The state of one scan: where it stands, what it has found, what waits for the next header.

    Args:
        source: The tar.
    """

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.total = source.size
        self.windows = windows_of(source)
        self.position = 0
        self.step = 0.0
        self.note: dict[bytes, bytes] = {}
        self.notes = 0
        self.defaults: dict[bytes, bytes] = {}
        self.slow_rows: list[tuple[str, int, int, bool]] = []
        self.found = Found([], 0, Counter(), 0, [], 0, None)

    def scan(self, progress: ScanProgress | None) -> Found:
        """Goes through the tar up to its end mark or its first damage.

        Args:
            progress: Told now and then how far the scan is.

        Returns:
            What was found.

        Raises:
            BagreidError: If the source itself cannot be read.
        """
        try:
            self._walk(progress)
            self._look_behind_the_end()
        except TarDamage as damage:
            self.found.damage = damage
        finally:
            self.windows.close()
        self._flush()
        return self.found

    def _walk(self, progress: ScanProgress | None) -> None:
        if not self.total:
            raise self._damage("empty", "the tar is empty (0 bytes)", 0, "Fetch it again")
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
                progress(self.found.count, min(self.position, self.total))

    # --- runs of plain headers -------------------------------------------------------------

    def _take_run(self) -> int:
        """Takes up to `RUN` plain headers from here on; returns how many."""
        window = self.windows.at(self.position)
        position, total = self.position - window.start, self.total - window.start
        if self.step <= NEAR:
            position_H = look(window.block_WB, position)
        else:
            position_H = hop(window.view, position)
        if not len(position_H):
            return 0
        header_HB = window.block_WB[position_H // BLOCK]
        size_H, plain_H = plain_sizes(header_HB)
        plain_H &= chained(position, position_H, size_H)
        plain_H &= position_H + BLOCK + size_H <= total
        plain = len(plain_H) if plain_H.all() else int(plain_H.argmin())
        if plain:
            before = self.position
            offset_H = position_H[:plain] + (window.start + BLOCK)
            self._take_plain(header_HB[:plain], offset_H, size_H[:plain])
            self.position = int(offset_H[-1]) + _padded(int(size_H[plain - 1]))
            self.step = (self.position - before) / plain
        return plain

    def _take_plain(
        self, header_HB: npt.NDArray[np.uint8], offset_H: IntArray, size_H: IntArray
    ) -> None:
        self._flush()
        name_H = field_names(header_HB)
        if may_be_unsafe(header_HB, name_H):
            safe_H = np.array([self._is_safe(name) for name in name_H.to_pylist()], np.bool_)
            name_H = name_H.filter(pa.array(safe_H))
            offset_H, size_H = offset_H[safe_H], size_H[safe_H]
        named_H = np.ones(len(name_H), np.bool_)
        self.found.pieces.append((name_H, offset_H, size_H, named_H))
        self.found.count += len(name_H)

    def _is_safe(self, name: str) -> bool:
        if not is_unsafe(name):
            return True
        self.found.unsafe += 1
        if len(self.found.first_unsafe) < FIRST:
            self.found.first_unsafe.append(name)
        return False

    def _flush(self) -> None:
        """Turns the members taken one by one into a piece."""
        if not self.slow_rows:
            return
        names, offset, size, named = zip(*self.slow_rows, strict=True)
        self.found.pieces.append(
            (
                pa.array(names, pa.large_string()),
                np.array(offset, np.int64),
                np.array(size, np.int64),
                np.array(named, np.bool_),
            )
        )
        self.slow_rows = []

    # --- one header at a time --------------------------------------------------------------

    def _bytes(self, position: int, size: int) -> bytes:
        """Bytes around the present position, wherever the window ends."""
        window = self.windows.at(self.position)
        start = position - window.start
        if start + size <= len(window.view):
            return bytes(window.view[start : start + size])
        return bytes(self.source.read(position, size))

    def _take_one(self) -> bool:
        """Takes the header at the current position; False at the end mark."""
        block = self._bytes(self.position, BLOCK)
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
            raise self._broken(error, block) from error
        return True

    def _take_note(self, header: Header) -> None:
        """A header that speaks about the next member (L, K, x, X) or about all that follow (g)."""
        start = self.position + BLOCK
        self.notes += 1
        if header.size > _LARGEST_NOTE:
            why = f"a name or pax header of {header.size:,} bytes is absurd"
            raise HeaderError(why, "extended header")
        if self.notes > _MOST_NOTES:
            why = f"{self.notes} extended headers in a row are absurd"
            raise HeaderError(why, "extended header")
        if start + header.size > self.total:
            missing = start + header.size - self.total
            raise self._cut_header(f"{missing:,} bytes of a long name or pax header", missing)
        payload = self._bytes(start, header.size)
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
        self.note, self.notes = {}, 0
        size, start = header.size, self.position + BLOCK
        if b"size" in note:
            size = _decimal(note[b"size"])
        if header.kind in b"123456":
            size = 0
        extended = header.extended
        while extended:
            block = self._bytes(start, BLOCK)
            start += BLOCK
            if len(block) < BLOCK:
                raise self._cut(block)
            extended = block[504] > 0
        name = text(note.get(b"path", header.name))
        if size >= _ABSURD:
            raise HeaderError(f"member '{name}' claims an absurd {size:,} bytes", "size")
        if start + size > self.total:
            raise self._cut_data(name, size, start)
        self.position = start + _padded(size)
        if header.kind != b"0":
            self.found.skipped[KIND_NAMES.get(header.kind, "member of unknown kind")] += 1
        elif SPARSE in note:
            self.found.skipped["sparse file"] += 1
        elif self._is_safe(name):
            self.slow_rows.append((name, start, size, b"path" not in note))
            self.found.count += 1

    # --- what is wrong, said well ----------------------------------------------------------

    def _damage(
        self,
        kind: DamageKind,
        what: str,
        byte: int,
        remedy: str,
        missing: int | None = None,
        position: str | None = None,
    ) -> TarDamage:
        self._flush()
        count = self.found.count
        last = next(
            (piece[0][-1].as_py() for piece in self.found.pieces[::-1] if len(piece[0])), None
        )
        so_far = f"{count:,} member{'' if count == 1 else 's'} read whole"
        return TarDamage(
            f"{what}; {so_far}" + (f", the last is '{last}'" if last is not None else ""),
            kind=kind,
            byte=byte,
            members=count,
            last_good=last,
            missing_bytes=missing,
            path=self.source.path,
            position=position,
            remedy=remedy,
        )

    def _cut(self, block: bytes) -> TarDamage:
        """The file ends inside a header, or where a header or the end mark should stand."""
        missing = BLOCK - len(block)
        if foreign := self._foreign(block):
            return foreign
        if any(block) or self.notes:
            return self._cut_header(f"{missing} bytes of it", missing)
        return self._damage(
            "no end mark",
            f"the tar has no end mark: {missing} bytes at least are missing",
            self.total,
            "It was cut between two members: fetch it again (or, if it is known to be whole, "
            "append 1,024 zero bytes)",
            missing,
        )

    def _cut_header(self, what: str, missing: int) -> TarDamage:
        why = f"the tar is cut inside a header: {what} are missing"
        return self._damage("cut in header", why, self.total, "Fetch the tar again", missing)

    def _cut_data(self, name: str, size: int, start: int) -> TarDamage:
        missing = start + size - self.total
        return self._damage(
            "cut in data",
            f"the tar is cut inside member '{name}', which begins here: {missing:,} of its "
            f"{size:,} bytes are missing, the file ends at byte {self.total}",
            self.total,
            "Fetch the tar again",
            missing,
            position=f"byte {self.position}",
        )

    def _foreign(self, block: bytes) -> TarDamage | None:
        """The damage of a file that is something else altogether, judged by its first bytes."""
        for magic, (kind, what, remedy) in _FOREIGN.items():
            if self.position == 0 and block.startswith(magic):
                return self._damage(
                    kind,
                    f"this is no plain tar but {what}",
                    0,
                    f"Images are read in place, so it must be plain: {remedy}",
                )
        return None

    def _broken(self, error: HeaderError, block: bytes) -> TarDamage:
        kind = error.kind
        if self.position == 0 and block[257:262] != b"ustar":
            kind = "not a tar"
        return self._foreign(block) or self._damage(
            kind, str(error), self.position, "The tar is damaged or no tar: fetch it again"
        )

    def _look_behind_the_end(self) -> None:
        """Tells padding from a second tar, and from a download that was reserved but not ended."""
        rest = self.total - self.position
        size = min(rest, 1 << 20)
        places = [self.position]
        if rest > size:
            places += [self.position + rest * part // 64 for part in range(1, 64)]
        for number, place in enumerate(places):
            if any(self._bytes(place, BLOCK if number else size)):
                self.found.bytes_after_end = rest
                return
        if rest > _REAL_PADDING:
            raise self._damage(
                "zero filled",
                f"the last {rest:,} bytes are all zero",
                self.position,
                "So looks a download that was begun and not finished: go on with it, or fetch the "
                "tar again",
                rest,
            )


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        why = f"the size in a pax header is no number ({value[:40]!r})"
        raise HeaderError(why, "size")
    return int(value)


def _padded(size: int) -> int:
    return (size + BLOCK - 1) & -BLOCK
