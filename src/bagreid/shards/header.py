"""One tar header, read slowly and exactly.

Formats: POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU tar (long names, base-256 numbers) and the
old v7 form, as laid down in POSIX `pax` and in the GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bagreid.shards.damage import DamageKind

BLOCK = 512
"""Bytes of a tar block: a header takes one, data is padded to whole ones."""

LARGEST_NOTE = 1 << 20
"""A long name or pax header over this many bytes is damage, not a name."""

SPARSE = b"GNU.sparse"
"""How the keys of pax records begin that describe a sparse file."""

_QUOTED = 300

_OCTAL = frozenset(b"01234567")


class HeaderError(ValueError):
    """A block that should be a header and is none.

    Args:
        why: What is wrong with it.
        kind: Which kind of damage that is.
    """

    def __init__(self, why: str, kind: DamageKind) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Header:
    """What the scanner needs of one header.

    Attributes:
        name: Path of the member as bytes, the ustar prefix included.
        size: Bytes of data behind the header, as the header says.
        kind: The type flag; `b"0"` for every spelling of "regular file", `b"5"` for a directory.
        extended: Whether old-style GNU sparse blocks follow before the data.
    """

    name: bytes
    size: int
    kind: bytes
    extended: bool


def until_nul(field: bytes) -> bytes:
    """The bytes of a text field, which ends at its first NUL.

    Args:
        field: The raw field.

    Returns:
        What stands before the first NUL, or the whole field.
    """
    return field.partition(b"\0")[0]


def text(name: bytes) -> str:
    """A member's name as text.

    Args:
        name: Its bytes.

    Returns:
        The name; bytes that are no UTF-8 are spelled as backslash escapes.
    """
    return name.decode("utf-8", "backslashreplace")


def quoted(name: str) -> str:
    """A member's name for a message; one of absurd length loses its middle.

    Args:
        name: The name.

    Returns:
        The name in quotation marks, at most `_QUOTED` characters of it.
    """
    if len(name) <= _QUOTED:
        return f"'{name}'"
    half = _QUOTED // 2
    return f"'{name[:half]} … {name[-half:]}' ({len(name):,} characters)"


def parse_number(field: bytes, what: Literal["size", "checksum"]) -> int:
    """A numeric field: octal text, or base-256 where the first byte has its top bit set.

    Args:
        field: The raw field.
        what: Name of the field, for the error.

    Returns:
        The number, never negative.

    Raises:
        HeaderError: If the field holds no number, or a negative one.
    """
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:
        value = int.from_bytes(field, "big", signed=True)
        raise HeaderError(f"the {what} is negative ({value})", what)
    digits = until_nul(field).strip(b" ")
    if not _OCTAL.issuperset(digits):
        raise HeaderError(f"the {what} is no octal number ({digits!r})", what)
    return int(digits, 8) if digits else 0


def parse_header(block: bytes) -> Header:
    """Reads one header block.

    Args:
        block: Exactly 512 bytes, not all zero.

    Returns:
        The header.

    Raises:
        HeaderError: If the checksum is wrong, or a number is none or negative.
    """
    stored = parse_number(block[148:156], "checksum")
    total = sum(block) - sum(block[148:156]) + 8 * 32
    if stored != total:
        # Some old programs summed signed bytes: each byte over 127 then counts 256 less.
        high = sum(byte > 127 for byte in block) - sum(byte > 127 for byte in block[148:156])
        if stored != total - 256 * high:
            why = f"the header's checksum is wrong (says {stored}, is {total})"
            raise HeaderError(why, "checksum")
    name, kind = until_nul(block[:100]), block[156:157]
    if block[257:263] == b"ustar\0" and block[345]:
        name = until_nul(block[345:500]) + b"/" + name
    if kind == b"\0":
        # Before ustar a directory was a regular file whose name ends in a slash.
        kind = b"5" if name.endswith(b"/") else b"0"
    elif kind == b"7":
        kind = b"0"
    return Header(name, parse_number(block[124:136], "size"), kind, kind == b"S" and block[482] > 0)


def parse_pax(payload: bytes) -> dict[bytes, bytes]:
    """What a pax extended header says of a member's name and size.

    It holds records `LENGTH KEY=VALUE` and a line feed, one after another. All but three kinds of
    them are passed over, so that no stranger's tar fills the memory.

    Args:
        payload: Data of a member of type `x` or `g`.

    Returns:
        `path` and `size`, and `GNU.sparse` where any record of that family is there; a later
        record replaces an earlier one.

    Raises:
        HeaderError: If a record's length or form is wrong.
    """
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(payload) and payload[position]:
        digits, space, _ = payload[position : position + 20].partition(b" ")
        if not (space and digits.isdigit()):
            raise HeaderError("a pax record has no length", "extended header")
        end = position + int(digits)
        key, equals, value = payload[position + len(digits) + 1 : end].partition(b"=")
        if end > len(payload) or not equals or not value.endswith(b"\n"):
            why = "a pax record is longer or shorter than it says"
            raise HeaderError(why, "extended header")
        if key in (b"path", b"size"):
            records[key] = value[:-1]
        elif key.startswith(SPARSE):
            records[SPARSE] = b""
        position = end
    return records


def parse_note(kind: bytes, payload: bytes) -> dict[bytes, bytes]:
    """What an extended header (`L`, `K`, `x`, `X`, `g`) says, GNU's spelled like pax.

    Args:
        kind: Its type flag.
        payload: Its data.

    Returns:
        As `parse_pax`.

    Raises:
        HeaderError: If it makes no sense.
    """
    if kind == b"L":
        return {b"path": until_nul(payload)}
    return {} if kind == b"K" else parse_pax(payload)


def is_unsafe(name: str) -> bool:
    """Whether a member's name leads out of the folder in which a tar is unpacked.

    Args:
        name: The name as stored.

    Returns:
        True of an absolute path and of one with a component `..`.
    """
    return name.startswith("/") or (".." in name and ".." in name.split("/"))
