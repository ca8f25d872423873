"""Reading members of tars in place: each tar opened when first needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bagreid.contracts import BagreidError
from bagreid.shards.pointer import is_pointer
from bagreid.shards.source import ByteSource, State, open_source


class ShardReader:
    """Hands out bytes of tars.

    Of local ones just those bytes are read, and none kept; of remote ones, each image is one ranged
    request, and those that were expected are fetched at the same time.

    A pickled reader carries its arguments only and opens the files anew where it wakes up; what
    the system keeps of local files in memory is shared by all processes.

    Args:
        paths: Tars or pointers to them; `read` knows them by their position in this sequence.
        states: What identified the content of each when it was indexed, where that is known: a
            remote tar that is another by now is not read. (A local one may have been touched or
            copied, and is told by its length.)
    """

    def __init__(self, paths: Sequence[Path], states: Sequence[State | None] | None = None) -> None:
        self.paths = tuple(paths)
        self.states = tuple(states) if states is not None else (None,) * len(self.paths)
        self._sources: dict[int, ByteSource] = {}

    def read(self, shard: int, offset: int, size: int) -> memoryview:
        """The bytes of one member.

        Args:
            shard: Which file.
            offset: First byte.
            size: Number of bytes.

        Returns:
            A read-only view of `size` bytes; it stays valid after `close`.

        Raises:
            BagreidError: If the file is gone, is a remote one that changed, or ends before
                `offset + size`.
        """
        source = self._source(shard)
        if not 0 <= offset <= offset + size <= source.size:
            raise BagreidError(
                f"the file holds {source.size:,} bytes and an image should end at "
                f"{offset + size:,}",
                path=self.paths[shard],
                position=f"byte {offset}",
                remedy="It changed since it was indexed: run 'bagreid catalog' again",
            )
        return source.read(offset, size)

    def expect(self, shard: int, offset: int, size: int) -> None:
        """Says that a member is about to be read, so that a slow disk fetches several at once.

        Args:
            shard: Which file.
            offset: First byte.
            size: Number of bytes.

        Raises:
            BagreidError: If the file is gone, or is a remote one that changed.
        """
        self._source(shard).expect(offset, size)

    def _source(self, shard: int) -> ByteSource:
        source = self._sources.get(shard)
        if source is None:
            source = self._sources[shard] = self._open(shard)
        return source

    def _open(self, shard: int) -> ByteSource:
        path, state = self.paths[shard], self.states[shard]
        source = open_source(path)
        if state is not None and is_pointer(path) and source.state != state:
            source.close()
            raise BagreidError(
                f"{source.name} is not what was indexed (its size or ETag is another)",
                path=path,
                remedy="It changed: run 'bagreid catalog' again",
            )
        return source

    def close(self) -> None:
        """Lets files and connections go."""
        for source in self._sources.values():
            source.close()
        self._sources.clear()

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> tuple[tuple[Path, ...], tuple[State | None, ...]]:
        return self.paths, self.states

    def __setstate__(self, state: tuple[tuple[Path, ...], tuple[State | None, ...]]) -> None:
        self.paths, self.states = state
        self._sources = {}
