"""A tar taken member by member, byte for byte, so that it can be written again with other data.

A member's head is everything in front of its data: long names, pax headers, its own header. It
goes into the new tar as it is; where the data have another length, only what speaks of the length
is changed (the size, a pax record `size`, the checksums), each in the spelling it has.

Formats: see `bagreid.shards.header`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bagreid.contracts import BagreidError
from bagreid.shards.header import (
    BLOCK,
    SPARSE,
    Header,
    HeaderError,
    is_unsafe,
    parse_header,
    parse_number,
    parse_pax,
    text,
    until_nul,
)

RECORD = 20 * BLOCK
"""Most programs fill a tar up to whole records of this many bytes."""

GLOBAL = b"g"
"""Kind of a pax header that speaks of all members behind it; it stands here for itself."""

_NOTES = b"LKxX"
_WITHOUT_DATA = b"123456"
_LENGTH = b"length"
"""Stands for records other than `size` that speak of the length."""

_LONGEST_TAIL = 1 << 20
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)


@dataclass(frozen=True, slots=True)
class RawMember:
    """One member of a tar, of whatever kind.

    Attributes:
        start: First byte of its head in the tar.
        head: Everything in front of its data.
        own: Where in `head` its own header begins; long names and pax headers stand before it.
        name: Its path.
        kind: Its type flag, as `bagreid.shards.header.Header` has it.
        size: Bytes of data.
        unsafe: Whether its name, or the name a hard link of it points to, leads out of the folder
            of unpacking.
        resizable: Whether nothing but `size` speaks of the data's length.
    """

    start: int
    head: bytes
    own: int
    name: str
    kind: bytes
    size: int
    unsafe: bool
    resizable: bool

    @property
    def data(self) -> int:
        """First byte of its data in the tar."""
        return self.start + len(self.head)

    @property
    def stop(self) -> int:
        """Where the next member begins."""
        return self.data + padded(self.size)


def padded(size: int) -> int:
    """Bytes that data of this size take in a tar, where they fill whole blocks."""
    return size + -size % BLOCK


def tail_size(position: int, source_end: int, source_size: int) -> int:
    """How many zero bytes end a tar, as the tar it is made from does it.

    Args:
        position: Where the last member ends in the new tar.
        source_end: Where the last member ends in the old one.
        source_size: Length of the old one.

    Returns:
        At least two blocks, and so many that the new tar consists of whole records; or as many as
        the old one has, where that one does not consist of whole records.
    """
    there = source_size - source_end
    if source_size % RECORD and 2 * BLOCK <= there <= _LONGEST_TAIL:
        return there
    return 2 * BLOCK + -(position + 2 * BLOCK) % RECORD


def raw_members(file: BinaryIO, start: int, path: Path) -> Iterator[RawMember]:
    """Goes through a tar that was found whole.

    Between two members the file may be read anywhere.

    Args:
        file: The tar.
        start: Where a member begins.
        path: The tar's name, for errors.

    Yields:
        The members from there up to the end mark, global pax headers among them. Headers that
        speak of no member, just before the end mark, are passed over.

    Raises:
        BagreidError: If the tar is not whole any more, or holds a global pax header that gives
            all members a name or a size.
    """
    while True:
        try:
            member = _read_member(file, start)
        except ValueError as error:
            raise BagreidError(
                f"the tar was whole when it was scanned, and now it is not: {error}",
                path=path,
                position=f"byte {start}",
                remedy="Leave it as it is while it is read; fetch it again",
            ) from error
        except _CannotRewriteError as error:
            raise BagreidError(
                str(error),
                path=path,
                position=f"byte {start}",
                remedy="No usual program writes that: unpack the tar and pack it again",
            ) from error
        if member is None:
            return
        yield member
        start = member.stop


def resized(member: RawMember, size: int) -> bytes:
    """The head of a member whose data get another length.

    Args:
        member: The member, resizable.
        size: The new length.

    Returns:
        The head, of the same length but for a pax record `size` of another number of digits.
    """
    assert member.resizable, f"'{member.name}' cannot change its length"
    notes = _resized_notes(member.head[: member.own], size) if member.own else b""
    return notes + _resized_header(member.head[member.own :], size)


class _CannotRewriteError(Exception):
    """The tar is whole, but we would have to guess how to write it."""


def _read_member(file: BinaryIO, start: int) -> RawMember | None:
    """The member at `start`; None at the end mark."""
    file.seek(start)
    head = bytearray()
    note: dict[bytes, bytes] = {}
    while (block := _take(file, BLOCK)).strip(b"\0"):
        header = parse_header(block)
        if header.kind == GLOBAL:
            return _global(file, start, block, header, bool(head))
        if header.kind not in _NOTES:
            return _member(file, start, bytes(head), block, header, note)
        payload = _take(file, padded(header.size))
        head += block + payload
        if header.kind in b"xX":
            records = payload[: header.size]
            note = parse_pax(records) | _unscanned(records) | note
        elif header.kind == b"L":
            note.setdefault(b"path", until_nul(payload[: header.size]))
        else:
            note.setdefault(b"linkpath", until_nul(payload[: header.size]))
    return None


def _member(
    file: BinaryIO,
    start: int,
    notes: bytes,
    block: bytes,
    header: Header,
    note: dict[bytes, bytes],
) -> RawMember:
    size = int(note[b"size"]) if b"size" in note else header.size
    if header.kind in _WITHOUT_DATA:
        size = 0
    head = notes + block
    extended = header.extended
    while extended:
        more = _take(file, BLOCK)
        head += more
        extended = more[504] > 0
    name = text(note.get(b"path", header.name))
    target = text(note.get(b"linkpath", until_nul(block[157:257]))) if header.kind == b"1" else ""
    return RawMember(
        start=start,
        head=head,
        own=len(notes),
        name=name,
        kind=header.kind,
        size=size,
        unsafe=is_unsafe(name) or is_unsafe(target),
        resizable=header.kind == b"0" and SPARSE not in note and _LENGTH not in note,
    )


def _global(file: BinaryIO, start: int, block: bytes, header: Header, pending: bool) -> RawMember:
    records = parse_pax(_take(file, header.size))
    if records:
        what = ", ".join(key.decode() for key in records)
        raise _CannotRewriteError(f"a global pax header sets {what} of all members behind it")
    if pending:
        raise _CannotRewriteError("a global pax header stands between a member and its name")
    return RawMember(start, block, 0, "", GLOBAL, header.size, False, False)


def _take(file: BinaryIO, size: int) -> bytes:
    taken = file.read(size)
    if len(taken) < size:
        raise HeaderError(f"{size - len(taken):,} bytes are missing", "cut in header")
    return taken


def _records(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of a pax header that `parse_pax` has accepted: (key, whole record)."""
    position = 0
    while position < len(payload) and payload[position]:
        length = int(payload[position : payload.index(b" ", position)])
        record = payload[position : position + length]
        yield record.partition(b" ")[2].partition(b"=")[0], record
        position += length


def _unscanned(payload: bytes) -> dict[bytes, bytes]:
    """What the scanner need not know of a pax header, and a copy must."""
    found: dict[bytes, bytes] = {}
    for key, record in _records(payload):
        if key == b"linkpath":
            found[key] = record.partition(b"=")[2].removesuffix(b"\n")
        elif key.endswith(b"size") and key != b"size":  # SCHILY.realsize, of a sparse file
            found[_LENGTH] = b""
    return found


def _resized_notes(notes: bytes, size: int) -> bytes:
    """Long names and pax headers, with every pax record `size` set right."""
    written = b""
    position = 0
    while position < len(notes):
        block = notes[position : position + BLOCK]
        header = parse_header(block)
        payload = notes[position + BLOCK : position + BLOCK + header.size]
        stop = position + BLOCK + padded(header.size)
        if header.kind in b"xX" and b"size" in parse_pax(payload):
            payload = b"".join(
                _size_record(size) if key == b"size" else record
                for key, record in _records(payload)
            )
            written += _resized_header(block, len(payload)) + payload
            written += bytes(-len(payload) % BLOCK)
        else:
            written += notes[position:stop]
        position = stop
    return written


def _size_record(size: int) -> bytes:
    """A pax record, whose length counts its own digits too."""
    rest = b" size=%d\n" % size
    length = len(rest) + 1
    while len(rest) + len(str(length)) != length:
        length += 1
    return b"%d" % length + rest


def _resized_header(header: bytes, size: int) -> bytes:
    """A header block with another size, and the checksum that it then has."""
    block = bytearray(header)
    block[_SIZE] = _spelled(size, header[_SIZE])
    block[_CHECKSUM] = b" " * 8
    total = sum(block)
    stored = parse_number(header[_CHECKSUM], "checksum")
    if stored != sum(header) - sum(header[_CHECKSUM]) + 8 * 32:
        # a program that summed signed bytes: each over 127 counted 256 less
        total -= 256 * sum(byte > 127 for byte in block)
    block[_CHECKSUM] = _spelled(total, header[_CHECKSUM])
    return bytes(block)


def _spelled(value: int, like: bytes) -> bytes:
    """A number as the field spells the one it holds; plainly where it has no room for that."""
    if like[0] & 0x80:
        return b"\x80" + value.to_bytes(len(like) - 1, "big")
    old = until_nul(like).rstrip(b" ")
    digits = b"%o" % value
    if len(digits) > len(old):
        return digits.rjust(len(like) - 1, b"0") + b"\0"
    return digits.rjust(len(old), b" " if old.startswith(b" ") else b"0") + like[len(old) :]
