"""Reading the bytes of images, whether they lie in tars or as loose files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from bagreid.catalog.store import read_table
from bagreid.contracts import BagreidError
from bagreid.shards import ShardReader
from bagreid.shards.header import BLOCK


class ImageReader(Protocol):
    """What reads the bytes of images; picklable."""

    def read(self, shard: int, offset: int, size: int) -> memoryview:
        """The bytes at a place of the catalog."""

    def close(self) -> None:
        """Lets files go."""


class CatalogReader:
    """Reads images from tars and from loose files alike.

    Args:
        root: The archive.
        shards: Files by shard number.
        names: Names of the loose files, by number; None where there are none. The shard behind
            all tars then stands for them, and an offset of `512 * n` for the n-th.
        directory: The catalog that `names` comes from, to open it again in another process.
    """

    def __init__(
        self, root: Path, shards: Sequence[Path], names: pa.LargeStringArray | None, directory: Path
    ) -> None:
        self._root = root
        self._shards = tuple(shards)
        self._names = names
        self._directory = directory
        self._tars = ShardReader(self._shards)

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
        if self._names is None or shard != len(self._shards) - 1:
            return self._tars.read(shard, offset, size)
        path = self._root / self.loose_name(offset // BLOCK)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise changed(path, f"cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise changed(path, f"the file holds {len(data):,} bytes and held {size:,}")
        return memoryview(data)

    def loose_name(self, number: int) -> str:
        """The path of a loose file below the root.

        Args:
            number: Which of them.

        Returns:
            Its name as stored.
        """
        assert self._names is not None, "this archive has tars only"
        return str(self._names[number].as_py())

    def close(self) -> None:
        """Lets the memory maps go."""
        self._tars.close()

    def __reduce__(self) -> tuple[Any, ...]:
        loose = self._names is not None
        return _open_reader, (self._root, self._shards, loose, self._directory)


def _open_reader(
    root: Path, shards: tuple[Path, ...], loose: bool, directory: Path
) -> CatalogReader:
    names = read_table(directory, "loose").column("name") if loose else None
    return CatalogReader(root, shards, names, directory)


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
