"""A tar cut into pieces of work."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bagreid.contracts import BagreidError
from bagreid.data.shrinking.ranged import as_file
from bagreid.shards import open_source
from bagreid.shards.pointer import is_pointer
from bagreid.shards.rewrite import RawMember, raw_members

PIECE_IMAGES = 64
"""Members of a piece: some hundredths of a second's work."""

PIECE_BYTES = 1 << 20
"""A piece is full when it holds this many bytes."""

LARGEST_IMAGE = 32 << 20
"""A member with more bytes is no image of a person: it is copied, and never held in memory."""

_BUFFER = 1 << 20
_REMOTE_BUFFER = 8 << 20

KnownBroken = Mapping[tuple[str, int], tuple[int, str]]
"""(Last two parts of the name, bytes) → (CRC-32, reason) of images known to be broken."""


@dataclass(frozen=True, slots=True)
class Part:
    """One member of a piece.

    Attributes:
        member: The member.
        data: Its data; None where they are too many to be held.
        image: Whether the workers get it.
        known: What is wrong with it, where that is known already; else empty.
    """

    member: RawMember
    data: bytes | None
    image: bool
    known: str


@dataclass(slots=True)
class Piece:
    """Members that follow one another in a tar.

    Attributes:
        tar: Number of the tar among those to be shrunk.
        stop: Where the next member begins in the source.
        parts: The members.
        last: Whether the end mark follows.
    """

    tar: int
    stop: int
    parts: list[Part] = field(default_factory=list)
    last: bool = False

    def images(self) -> list[bytes]:
        """The images for the workers."""
        return [part.data for part in self.parts if part.image and part.data is not None]


def open_tar(path: Path) -> BinaryIO:
    """Opens a source for reading.

    Read as a file and not as a memory map: a file that shrinks meanwhile is an error then, and
    not the end of the process.

    Args:
        path: The tar, or the pointer to it.

    Returns:
        The open file.

    Raises:
        BagreidError: If it cannot be read.
    """
    if is_pointer(path):
        return as_file(open_source(path), _REMOTE_BUFFER)
    try:
        return path.open("rb", buffering=_BUFFER)
    except OSError as error:
        raise BagreidError(
            f"cannot be read ({error.strerror})", path=path, remedy="Put the file back"
        ) from error


def read_pieces(tar: int, path: Path, start: int, known: KnownBroken) -> Iterator[Piece]:
    """Cuts a tar into pieces.

    Args:
        tar: The number that the pieces carry.
        path: The tar, which was found whole.
        start: Where a member, or the end mark, begins.
        known: Images known to be broken, which are not tried again.

    Yields:
        The pieces; the last one, which may be empty, says that it is.

    Raises:
        BagreidError: If the tar cannot be read, or changed.
    """
    with open_tar(path) as file:
        piece, held = Piece(tar, start), 0
        try:
            for member in raw_members(file, start, path):
                part = _read(file, member, known, path)
                piece.parts.append(part)
                piece.stop = member.stop
                held += len(part.data or b"")
                if len(piece.parts) == PIECE_IMAGES or held >= PIECE_BYTES:
                    yield piece
                    piece, held = Piece(tar, member.stop), 0
        except OSError as error:
            raise BagreidError(
                f"cannot be read ({error.strerror})",
                path=path,
                position=f"byte {piece.stop}",
                remedy="Look after the disk, then run the same command again: it goes on from here",
            ) from error
    piece.last = True
    yield piece


def is_image(name: str) -> bool:
    """Whether a catalog takes a member of that name for an image.

    Args:
        name: Its path.

    Returns:
        True of names in .jpg or .jpeg, but for the `._` companions that macOS writes.
    """
    file = name.rpartition("/")[2]
    stem, dot, ending = file.rpartition(".")
    return bool(stem and dot) and ending.lower() in ("jpg", "jpeg") and not file.startswith("._")


def read_data(file: BinaryIO, member: RawMember, done: int, size: int, path: Path) -> bytes:
    """Some of a member's data.

    Args:
        file: The tar.
        member: The member.
        done: How many bytes stand before those asked for.
        size: How many.
        path: The tar's name, for the error.

    Returns:
        Exactly that many bytes.

    Raises:
        BagreidError: If the tar ends before.
    """
    file.seek(member.data + done)
    data = file.read(size)
    if len(data) < size:
        raise BagreidError(
            f"the tar was whole when it was scanned, and now '{member.name}' is cut",
            path=path,
            position=f"byte {member.data + done + len(data)}",
            remedy="Leave it as it is while it is read; fetch it again",
        )
    return data


def _read(file: BinaryIO, member: RawMember, known: KnownBroken, path: Path) -> Part:
    image = member.resizable and not member.unsafe and is_image(member.name)
    if member.unsafe:
        return Part(member, b"", False, "")
    if member.size > (LARGEST_IMAGE if image else PIECE_BYTES):
        return Part(member, None, False, "it is too large to be a picture" if image else "")
    data = read_data(file, member, 0, member.size, path)
    if not image:
        return Part(member, data, False, "")
    crc, reason = known.get((tail(member.name), member.size), (0, ""))
    broken = reason if reason and zlib.crc32(data) == crc else ""
    return Part(member, data, not broken, broken)


def tail(name: str) -> str:
    """The last two parts of a path, by which lists, catalogs and quarantine know an image."""
    return "/".join(name.rsplit("/", 2)[-2:])
