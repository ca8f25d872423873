"""Reading the bytes of images, whether they lie in tars or as loose files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from bagreid.catalog.store import read_table
from bagreid.contracts import BagreidError
from bagreid.shards import ShardReader
from bagreid.shards.header import BLOCK
from bagreid.shards.source import State


class ImageReader(Protocol):
    """What reads the bytes of images; picklable."""

    def read(self, shard: int, offset: int, size: int) -> memoryview:
        """The bytes at a place of the catalog."""

    def expect(self, shard: int, offset: int, size: int) -> None:
        """Says that these are about to be read."""

    def close(self) -> None:
        """Lets files go."""


class CatalogReader:
    """Reads images from tars and from loose files alike.

    Args:
        root: The archive.
        shards: Files by shard number.
        states: What identified the content of each when it was indexed.
        directory: The catalog, which holds the names of loose files.
        loose: Whether there are any: the shard behind all tars then stands for them, and an
            offset of `512 * n` for the n-th.
    """

    def __init__(
        self,
        root: Path,
        shards: Sequence[Path],
        states: Sequence[State | None],
        directory: Path,
        loose: bool,
    ) -> None:
        self._root = root
        self._shards = tuple(shards)
        self._states = tuple(states)
        self._directory = directory
        self._loose = loose
        self._tars = ShardReader(self._shards, self._states)

    def read(self, shard: int, offset: int, size: int) -> memoryview:
        """The bytes of one image.

        Args:
            shard: Its shard number in the catalog.
            offset: Its offset in the catalog.
            size: Its size in the catalog.

        Returns:
            A read-only view.

        Raises:
            BagreidError: If the file is gone or changed since it was indexed.
        """
        if not self._is_loose(shard):
            return self._tars.read(shard, offset, size)
        path = self._root / self.loose_name(offset // BLOCK)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise changed(path, f"cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise changed(path, f"the file holds {len(data):,} bytes and held {size:,}")
        return memoryview(data)

    def expect(self, shard: int, offset: int, size: int) -> None:
        """Says that an image is about to be read, so that a slow disk fetches several at once.

        Args:
            shard: Its shard number in the catalog.
            offset: Its offset in the catalog.
            size: Its size in the catalog.

        Raises:
            BagreidError: If the tar is gone.
        """
        if not self._is_loose(shard):
            self._tars.expect(shard, offset, size)

    def _is_loose(self, shard: int) -> bool:
        return self._loose and shard == len(self._shards) - 1

    def loose_name(self, number: int) -> str:
        """The path of a loose file below the root.

        Args:
            number: Which of them.

        Returns:
            Its name as stored.
        """
        return str(self._names[number].as_py())

    @cached_property
    def _names(self) -> pa.LargeStringArray:
        return read_table(self._directory, "loose").column("name")

    def close(self) -> None:
        """Lets maps and connections go."""
        self._tars.close()

    def __reduce__(self) -> tuple[Any, ...]:
        made_of = (self._root, self._shards, self._states, self._directory, self._loose)
        return CatalogReader, made_of


def changed(path: Path, what: str) -> BagreidError:
    """The error for a file that is not any more what was indexed.

    Args:
        path: The file.
        what: How one can tell.

    Returns:
        The error.
    """
    return BagreidError(
        what,
        path=path,
        remedy="The archive changed since it was indexed: run 'bagreid catalog' on it again",
    )
