"""Where each member of a tar lies: survey it whatever it holds, or insist that it is whole.

Shape letters: M members.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.contracts import IntArray
from bagreid.shards.damage import TarDamage
from bagreid.shards.found import Found
from bagreid.shards.header import parse_header, text
from bagreid.shards.scanner import Scanner, ScanProgress
from bagreid.shards.source import ByteSource, State, open_source


@dataclass(frozen=True, slots=True, eq=False)
class TarIndex:
    """The regular members of one tar, in archive order.

    Attributes:
        path: The tar, or the pointer to it.
        names: `(M,)` Arrow large_string, member paths as stored.
        offset: `(M,)` int64, first byte of each member's data.
        size: `(M,)` int64, bytes of data.
        named_by_header: `(M,)` bool, whether the block just before the data holds the whole name;
            else the name came from a GNU long name or a pax header.
        skipped: How many members of each other kind (links, directories …) were passed over.
        unsafe: How many members were left out because their names are absolute or hold a `..`.
        first_unsafe: The first ten of those names.
        bytes_after_end: Bytes from the end mark on if they are not all zero (a second tar glued
            on, for instance), else 0. They are not read.
        damage: What is wrong with the tar, the members before it being listed above; None of a
            whole tar.
        bytes: Size of the tar.
        state: What identified its content when it was read.
    """

    path: Path
    names: pa.LargeStringArray
    offset: IntArray
    size: IntArray
    named_by_header: npt.NDArray[np.bool_]
    skipped: Mapping[str, int]
    unsafe: int
    first_unsafe: tuple[str, ...]
    bytes_after_end: int
    damage: TarDamage | None
    bytes: int
    state: State

    def __len__(self) -> int:
        return len(self.offset)


def survey_tar(
    path: Path, *, source: ByteSource | None = None, progress: ScanProgress | None = None
) -> TarIndex:
    """Finds the regular members of a tar without unpacking it, as far as it is whole.

    Args:
        path: An uncompressed tar (ustar, GNU, pax or v7), or a pointer to one.
        source: The same, opened already; it stays open.
        progress: Told now and then how far the scan is.

    Returns:
        Names, offsets and sizes of the members, up to the first damage where there is one.

    Raises:
        BagreidError: If the tar cannot be read at all; never for what is inside it.
    """
    path = Path(path)
    if source is not None:
        return _index(path, source, Scanner(source).scan(progress))
    source = open_source(path)
    try:
        return _index(path, source, Scanner(source).scan(progress))
    finally:
        source.close()


def scan_tar(
    path: Path, *, source: ByteSource | None = None, progress: ScanProgress | None = None
) -> TarIndex:
    """Finds every regular member of a tar without unpacking it.

    Args:
        path: An uncompressed tar (ustar, GNU, pax or v7), or a pointer to one.
        source: The same, opened already; it stays open.
        progress: Told now and then how far the scan is.

    Returns:
        Names, offsets and sizes.

    Raises:
        TarDamage: If the tar is empty, compressed, cut (the message says how many members were
            read whole, where the file ends and how much is missing), or damaged.
        BagreidError: If the tar cannot be read at all.
    """
    index = survey_tar(path, source=source, progress=progress)
    if index.damage is not None:
        raise index.damage
    return index


def read_name(header: bytes) -> str:
    """The member name that a single header block holds.

    Args:
        header: The 512 bytes in front of a member's data.

    Returns:
        The name, with what is no UTF-8 spelled as backslash escapes.
    """
    return text(parse_header(header).name)


def _index(path: Path, source: ByteSource, found: Found) -> TarIndex:
    names, offset, size, named = found.columns()
    return TarIndex(
        path=path,
        names=names,
        offset=offset,
        size=size,
        named_by_header=named,
        skipped=dict(found.skipped),
        unsafe=found.unsafe,
        first_unsafe=tuple(found.first_unsafe),
        bytes_after_end=found.bytes_after_end,
        damage=found.damage,
        bytes=source.size,
        state=source.state,
    )
