"""Reading members of tars in place: one memory map a tar, opened when first needed."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

from bagreid.contracts import BagreidError


class ShardReader:
    """Hands out slices of memory-mapped files, without copying.

    A pickled reader carries its paths only and maps the files anew where it wakes up; the pages
    themselves are shared by all processes of a machine.

    Args:
        paths: The files; `read` knows them by their position in this sequence.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self._views: dict[int, memoryview] = {}

    def read(self, shard: int, offset: int, size: int) -> memoryview:
        """The bytes of one member.

        Args:
            shard: Which file.
            offset: First byte.
            size: Number of bytes.

        Returns:
            A read-only view of `size` bytes; it stays valid after `close`.

        Raises:
            BagreidError: If the file is gone or ends before `offset + size`.
        """
        view = self._views.get(shard)
        if view is None:
            view = self._views[shard] = self._map(self.paths[shard])
        if not 0 <= offset <= offset + size <= len(view):
            raise BagreidError(
                f"the file holds {len(view):,} bytes and an image should end at {offset + size:,}",
                path=self.paths[shard],
                position=f"byte {offset}",
                remedy="It changed since it was indexed: run 'bagreid catalog' again",
            )
        return view[offset : offset + size]

    @staticmethod
    def _map(path: Path) -> memoryview:
        try:
            with path.open("rb") as file:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise BagreidError(
                f"cannot be read ({error})",
                path=path,
                remedy="Put the file back, or run 'bagreid catalog' again",
            ) from error

    def close(self) -> None:
        """Lets the maps go; one that is still looked at lives on until its last view is gone."""
        self._views.clear()

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> tuple[Path, ...]:
        return self.paths

    def __setstate__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths
        self._views = {}
