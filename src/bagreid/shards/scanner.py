"""Going through a tar header by header, by arithmetic.

Runs of plain headers are hopped over with the least work a member, then checked as one NumPy
array; whatever is out of the ordinary (links, old formats, damage) is read one by one.

Shape letters: H headers of one run, M members among them, B bytes of a block (512).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.contracts import IntArray
from bagreid.shards.damage import DamageKind, TarDamage, foreign
from bagreid.shards.found import KIND_NAMES, Found
from bagreid.shards.header import (
    BLOCK,
    LARGEST_NOTE,
    SPARSE,
    Header,
    HeaderError,
    parse_header,
    parse_note,
    quoted,
    text,
)
from bagreid.shards.runs import (
    DIRECTORY,
    NEAR,
    REGULAR,
    RUN,
    chained,
    field_names,
    hop,
    look,
    may_be_unsafe,
    plain_sizes,
)
from bagreid.shards.source import ByteSource
from bagreid.shards.windows import Window, windows_of

ScanProgress = Callable[[int, int], None]
"""Called now and then with (members read so far, bytes passed so far)."""

_SHORT = 16
"""A run of fewer headers than this was not worth its trouble."""

_PATIENCE = 1024
"""Headers at most that are read one by one before runs are tried again."""

_MOST_NOTES = 16
"""Extended headers in a row that belong to one member; real programs write up to four."""

_ABSURD = 1 << 40
"""No member has this many bytes."""

_REAL_PADDING = 16 * 1024 * 1024
"""Zeros behind the end mark up to here are what tape programs write; more are a download's."""


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
        self.reach = RUN // 16
        self.note: dict[bytes, bytes] = {}
        self.notes = 0
        self.defaults: dict[bytes, bytes] = {}
        self.found = Found()

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
        return self.found

    def _walk(self, progress: ScanProgress | None) -> None:
        if not self.total:
            raise self._harm("empty", "the tar is empty (0 bytes)", 0, "Fetch it again")
        patience, open_end = 1, True
        while open_end:
            run = 0 if self.defaults else self._take_run()
            patience = 1 if run >= _SHORT else min(2 * patience, _PATIENCE)
            taken = 0
            # A run begins where no note waits for its member.
            while open_end and (taken < patience or self.note):
                open_end = self._take_one()
                taken += 1
            if progress is not None:
                progress(self.found.count, min(self.position, self.total))

    # --- runs of plain headers -------------------------------------------------------------

    def _take_run(self) -> int:
        """Takes up to `reach` plain headers from here on; returns how many."""
        window = self.windows.at(self.position)
        position, total = self.position - window.start, self.total - window.start
        if self.step <= NEAR:
            position_H = look(window.block_WB, position, self.reach)
        else:
            position_H = hop(window.view, position, self.reach)
        header_HB = window.block_WB[position_H // BLOCK]
        size_H, plain_H = plain_sizes(header_HB)
        plain_H &= chained(position, position_H, size_H)
        plain_H &= position_H + BLOCK + size_H <= total
        plain = len(plain_H) if plain_H.all() else int(plain_H.argmin())
        taken = self._take_plain(window, header_HB[:plain], position_H[:plain], size_H[:plain])
        if taken:
            before, last = self.position, taken - 1
            self.position = (
                window.start + int(position_H[last]) + BLOCK + _padded(int(size_H[last]))
            )
            self.step = (self.position - before) / taken
            self.notes = 0
        # Looking far is cheap only where most of what is seen can be taken.
        self.reach = min(4 * self.reach, RUN) if taken == len(plain_H) else max(2 * taken, _SHORT)
        return taken

    def _take_plain(
        self,
        window: Window,
        header_HB: npt.NDArray[np.uint8],
        position_H: IntArray,
        size_H: IntArray,
    ) -> int:
        """Takes the members of a run, each with the note before it; returns the headers used."""
        kind_H = header_HB[:, 156]
        stop = len(kind_H)
        notes: dict[int, dict[bytes, bytes]] = {}
        if (kind_H != REGULAR).any():
            notes, stop = _notes_of(window, kind_H, position_H, size_H)
        self.found.skip("directory", int((kind_H[:stop] == DIRECTORY).sum()))
        row_M = np.flatnonzero(kind_H[:stop] == REGULAR)
        if SPARSE in (said := set().union(*notes.values())):
            sparse = [row for row, note in notes.items() if SPARSE in note]
            self.found.skip("sparse file", len(sparse))
            row_M = np.setdiff1d(row_M, sparse)
        header_MB = header_HB if len(row_M) == len(kind_H) else header_HB[row_M]
        name_M = field_names(header_MB)
        named_M = np.ones(len(row_M), np.bool_)
        safe = not may_be_unsafe(header_MB, name_M)
        if b"path" in said:
            names = name_M.to_pylist()
            for place, row in enumerate(row_M.tolist()):
                if (path := notes.get(row, {}).get(b"path")) is not None:
                    names[place], named_M[place] = text(path), False
            name_M, safe = pa.array(names, pa.large_string()), False
        offset_M = position_H[row_M] + (window.start + BLOCK)
        size_M = size_H[row_M]
        self.found.add(name_M, offset_M, size_M, named_M, safe=safe)
        return stop

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
        if header.size > LARGEST_NOTE:
            why = f"a name or pax header of {header.size:,} bytes is absurd"
            raise HeaderError(why, "extended header")
        if self.notes > _MOST_NOTES:
            why = f"{self.notes} extended headers in a row are absurd"
            raise HeaderError(why, "extended header")
        if start + header.size > self.total:
            missing = start + header.size - self.total
            raise self._cut_header(f"{missing:,} bytes of a long name or pax header", missing)
        said = parse_note(header.kind, self._bytes(start, header.size))
        if header.kind == b"g":
            self.defaults.update(said)
        else:
            # Of two notes on one member the first wins, as in Python's tarfile.
            self.note = said | self.note
        self.position = start + _padded(header.size)

    def _take_member(self, header: Header) -> None:
        note = self.defaults | self.note
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
                raise self._cut_header(f"{BLOCK - len(block)} bytes of it", BLOCK - len(block))
            extended = block[504] > 0
        name = text(note.get(b"path", header.name))
        if size >= _ABSURD:
            raise HeaderError(f"member {quoted(name)} claims an absurd {size:,} bytes", "size")
        if start + size > self.total:
            raise self._cut_data(name, size, start)
        self.note, self.notes = {}, 0
        self.position = start + _padded(size)
        if header.kind != b"0":
            self.found.skip(KIND_NAMES.get(header.kind, "member of unknown kind"), 1)
        elif SPARSE in note:
            self.found.skip("sparse file", 1)
        else:
            self.found.add_one(name, start, size, b"path" not in note)

    # --- what is wrong, said well ----------------------------------------------------------

    def _harm(
        self,
        kind: DamageKind,
        what: str,
        byte: int,
        remedy: str,
        missing: int | None = None,
        position: str | None = None,
    ) -> TarDamage:
        return self.found.harm(
            kind, what, byte, remedy, path=self.source.path, missing=missing, position=position
        )

    def _cut(self, block: bytes) -> TarDamage:
        """The file ends inside a header, or where a header or the end mark should stand."""
        missing = BLOCK - len(block)
        if self.position == 0 and (known := foreign(block)):
            return self._harm(known[0], known[1], 0, known[2])
        if any(block) or self.notes:
            return self._cut_header(f"{missing} bytes of it", missing)
        return self._harm(
            "no end mark",
            f"the tar has no end mark: {missing} bytes at least are missing",
            self.total,
            "It was cut between two members: fetch it again (or, if it is known to be whole, "
            "append 1,024 zero bytes)",
            missing,
        )

    def _cut_header(self, what: str, missing: int) -> TarDamage:
        why = f"the tar is cut inside a header: {what} are missing"
        return self._harm("cut in header", why, self.total, "Fetch the tar again", missing)

    def _cut_data(self, name: str, size: int, start: int) -> TarDamage:
        missing = start + size - self.total
        return self._harm(
            "cut in data",
            f"the tar is cut inside member {quoted(name)}, which begins here: {missing:,} of its "
            f"{size:,} bytes are missing, the file ends at byte {self.total}",
            self.total,
            "Fetch the tar again",
            missing,
            position=f"byte {self.position}",
        )

    def _broken(self, error: HeaderError, block: bytes) -> TarDamage:
        kind, why, remedy = error.kind, str(error), "The tar is damaged or no tar: fetch it again"
        if self.position == 0 and block[257:262] != b"ustar":
            kind, why, remedy = foreign(block) or ("not a tar", why, remedy)
        return self._harm(kind, why, self.position, remedy)

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
            raise self._harm(
                "zero filled",
                f"the last {rest:,} bytes are all zero",
                self.position,
                "So looks a download that was begun and not finished: go on with it, or fetch the "
                "tar again",
                rest,
            )


def _notes_of(
    window: Window, kind_H: npt.NDArray[np.uint8], position_H: IntArray, size_H: IntArray
) -> tuple[dict[int, dict[bytes, bytes]], int]:
    """What the notes of a run say, by the member behind each; and where the run must end.

    A run ends before a note that makes no sense, that changes a size, or that is not followed by
    a regular member: such are read one by one.
    """
    member_H = kind_H == REGULAR
    note_H = ~member_H & (kind_H != DIRECTORY)
    odd_H = note_H & ~np.append(member_H[1:], False)
    stop = int(odd_H.argmax()) if odd_H.any() else len(kind_H)
    notes: dict[int, dict[bytes, bytes]] = {}
    for row in np.flatnonzero(note_H[:stop]).tolist():
        start, size = int(position_H[row]) + BLOCK, int(size_H[row])
        if size > LARGEST_NOTE:
            return notes, row
        try:
            note = parse_note(bytes([kind_H[row]]), bytes(window.view[start : start + size]))
        except HeaderError:
            return notes, row
        if b"size" in note:
            return notes, row
        if note:
            notes[row + 1] = note
    return notes, stop


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        why = f"the size in a pax header is no number ({value[:40]!r})"
        raise HeaderError(why, "size")
    return int(value)


def _padded(size: int) -> int:
    return (size + BLOCK - 1) & -BLOCK
