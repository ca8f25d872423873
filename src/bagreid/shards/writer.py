"""Writes plain tars, byte for byte the same for the same members.

The format is POSIX ustar: a 512-byte header a member, the data padded to 512 bytes, two empty
blocks at the end. Owner, time and mode are fixed, so that nothing of the writing machine leaks.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO

BLOCK = 512
"""Bytes of a tar block: headers and data start at multiples of it."""

_RECORD = 20 * BLOCK
_NAME_BYTES = 100
_PREFIX_BYTES = 155
_OCTAL_SIZE_LIMIT = 8**11
_LONG_NAME_MEMBER = b"././@LongLink"


class TarWriter:
    """Writes one tar: beside its final place first, renamed on a clean exit.

    Args:
        path: The tar to write. Until the context ends well, the bytes are in ``PATH.partial``;
            after an exception nothing is left.

    Example:
        >>> with TarWriter(Path("part1.tar")) as tar:  # doctest: +SKIP
        ...     tar.add("folder/image.jpg", b"...")
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.members = 0
        self._partial = path.with_name(path.name + ".partial")
        self._file: IO[bytes] | None = None
        self._position = 0

    def __enter__(self) -> TarWriter:
        self._file = self._partial.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        with self._file as file:
            if kind is None:
                end = self._position + 2 * BLOCK
                file.write(bytes(2 * BLOCK + -end % _RECORD))
        self._file = None
        if kind is None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)

    def add(self, name: str, data: bytes) -> None:
        """Appends one regular file.

        Args:
            name: Its path inside the tar, with ``/`` between the parts. Over 100 bytes it goes
                into ustar's prefix field where it can be split, else before it as a GNU long name.
            data: Its bytes.

        Raises:
            ValueError: When the name is empty or holds a zero byte.
        """
        encoded = name.encode()
        if not encoded or b"\0" in encoded:
            raise ValueError(f"not a name a tar can hold: {name!r}")
        split = _split_name(encoded)
        if split is None:
            self._write(_header(b"", _LONG_NAME_MEMBER, len(encoded) + 1, b"L"), encoded + b"\0")
            split = (b"", encoded[:_NAME_BYTES])
        prefix, base = split
        self._write(_header(prefix, base, len(data), b"0"), data)
        self.members += 1

    def _write(self, header: bytes, data: bytes) -> None:
        assert self._file is not None, "add() outside the with block"
        self._file.write(header)
        self._file.write(data)
        padding = -len(data) % BLOCK
        self._file.write(bytes(padding))
        self._position += BLOCK + len(data) + padding


def _split_name(name: bytes) -> tuple[bytes, bytes] | None:
    """``(prefix, name)`` as ustar stores a path, or None where no slash splits it well."""
    if len(name) <= _NAME_BYTES:
        return b"", name
    cut = name.rfind(b"/", 0, _PREFIX_BYTES + 1)
    if cut <= 0 or not 0 < len(name) - cut - 1 <= _NAME_BYTES:
        return None
    return name[:cut], name[cut + 1 :]


def _size_field(size: int) -> bytes:
    """The 12-byte size: octal text, or GNU's base 256 from 8 GiB on."""
    if size < _OCTAL_SIZE_LIMIT:
        return b"%011o\0" % size
    return b"\x80" + size.to_bytes(11, "big")


def _header(prefix: bytes, name: bytes, size: int, kind: bytes) -> bytes:
    """One 512-byte ustar header with its checksum (the byte sum, its own field as spaces)."""
    block = bytearray(BLOCK)
    block[0 : len(name)] = name
    block[100:108] = b"0000644\0"
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = _size_field(size)
    block[136:148] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[329:337] = block[337:345] = b"0000000\0"
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
