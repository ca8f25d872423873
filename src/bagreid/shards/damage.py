"""What is wrong inside a tar, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from bagreid.contracts import BagreidError

DamageKind = Literal[
    "empty",
    "compressed",
    "not a tar",
    "cut in header",
    "cut in data",
    "no end mark",
    "zero filled",
    "checksum",
    "size",
    "extended header",
]
"""What can be wrong: the file has no bytes; is packed; is something else; ends inside a header (or
a long name); ends inside a member's data; ends where a header or the end mark should stand; goes
on with nothing but zeros, as a reserved download does; a checksum that does not fit; a size that
is none, negative or absurd; a GNU or pax extended header that makes no sense."""


class TarDamage(BagreidError):  # noqa: N818 - it is a finding first; only some callers raise it
    """The first damage of a tar; what lies before it can be read.

    Args:
        message: What is wrong, without a full stop.
        kind: Which kind of damage.
        byte: Where it is: the damaged header, or where the file ends too early.
        members: Members (that can be images) read whole before it.
        last_good: Name of the last of them; None where there is none.
        missing_bytes: Bytes known to be missing, at least; None where none are known to be.
        path: The tar.
        position: Where in the file, in words; None says it from `byte`.
        remedy: What the user can do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: DamageKind,
        byte: int,
        members: int = 0,
        last_good: str | None = None,
        missing_bytes: int | None = None,
        path: Path | str | None = None,
        position: str | None = None,
        remedy: str | None = None,
    ) -> None:
        position = position or f"byte {byte}"
        super().__init__(message, path=path, position=position, remedy=remedy)
        self.kind = kind
        self.byte = byte
        self.members = members
        self.last_good = last_good
        self.missing_bytes = missing_bytes

    def __reduce__(self) -> tuple[Callable[[str], BagreidError], tuple[str]]:
        """Lets it pass from one process to another."""
        again = partial(
            type(self),
            kind=self.kind,
            byte=self.byte,
            members=self.members,
            last_good=self.last_good,
            missing_bytes=self.missing_bytes,
            path=self.path,
            position=self.position,
            remedy=self.remedy,
        )
        return again, (self.message,)


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


def foreign(beginning: bytes) -> tuple[DamageKind, str, str] | None:
    """What a file is that is no tar, judged by its first bytes.

    Args:
        beginning: At least the first thirty bytes.

    Returns:
        Kind of damage, what is wrong, and the remedy; None where the bytes tell nothing.
    """
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, (kind, what, remedy) in _FOREIGN.items():
        if beginning.startswith(magic) or (magic == b"<" and text.startswith(magic)):
            return (
                kind,
                f"this is no plain tar but {what}",
                f"Images are read in place, so it must be plain: {remedy}",
            )
    return None
