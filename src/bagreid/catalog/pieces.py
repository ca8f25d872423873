"""What one tar (or one folder of loose files) holds, as columns in its own order.

A piece says all that a catalog needs of its file, whatever the other files are, so that pieces
are made side by side and kept. Shape letters: M images of the piece.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.catalog.findings import FIRST
from bagreid.catalog.members import SPLITS
from bagreid.catalog.names import Hashes, Paths, parse_test_names, split_paths
from bagreid.contracts import BagreidError, IntArray
from bagreid.shards import TarIndex
from bagreid.shards.header import BLOCK
from bagreid.shards.source import State

_TRAIN = re.compile(r"(?:^|/)sysu_train_set_all/([^/]+)$")
_TEST = re.compile(r"(?:^|/)sysu_test_set_all/(query|gallery)/([^/]+)$")
_BARE_TRAIN = re.compile(r"^(?:.*/)?([^/]+)$")
_BARE_TEST = re.compile(r"^(?:.*/)?(query|gallery)/([^/]+)$")
_LIMIT = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddities:
    """What is in a file beside sound images of the archive; of names the first ten are kept.

    Attributes:
        skipped: Members that are no regular files, by kind.
        not_images: Files that are no JPEG by their name.
        unplaced: Images in no known folder.
        first_unplaced: Their names.
        bad_names: Test images whose name does not say identity and camera; they are left out.
        first_bad_names: Their names.
        too_large: Images of 4 GiB, or that lie behind the second TiB; they are left out.
        first_too_large: Their names.
        unsafe: Members with an absolute name or a `..` in it; they are never used.
        first_unsafe: Their names.
        bytes_after_end: Bytes behind the end mark, not read.
    """

    skipped: Mapping[str, int] = field(default_factory=dict)
    not_images: int = 0
    unplaced: int = 0
    first_unplaced: tuple[str, ...] = ()
    bad_names: int = 0
    first_bad_names: tuple[str, ...] = ()
    too_large: int = 0
    first_too_large: tuple[str, ...] = ()
    unsafe: int = 0
    first_unsafe: tuple[str, ...] = ()
    bytes_after_end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """The images of one file.

    Attributes:
        block: `(M,)` uint32, offset in 512-byte blocks (in a tar), or number of the file (loose).
        size: `(M,)` uint32, bytes.
        split: `(M,)` int8, place in `SPLITS`.
        group: `(M,)` int32, train: place of the folder in `folders`; test: identity.
        camera: `(M,)` int16; train: 0.
        key: `(M,)` uint64, hash of the last two components of the name.
        folders: Names of train folders, in the order met.
        long_block: `(L,)` uint32, blocks of images whose name the header in front of the data
            does not hold, ascending.
        long_name: `(L,)` their names, Arrow large_string.
        odd: What else is in the file.
        damage: What is wrong with the file as such; the images read whole before it are here.
        bytes: Size of the file.
        state: What identified its content when it was read.
    """

    block: npt.NDArray[np.uint32]
    size: npt.NDArray[np.uint32]
    split: npt.NDArray[np.int8]
    group: npt.NDArray[np.int32]
    camera: npt.NDArray[np.int16]
    key: Hashes
    folders: tuple[str, ...]
    long_block: npt.NDArray[np.uint32]
    long_name: pa.LargeStringArray
    odd: Oddities = field(default_factory=Oddities)
    damage: BagreidError | None = None
    bytes: int = 0
    state: State | None = None

    def __len__(self) -> int:
        return len(self.key)


def empty_piece(damage: BagreidError | None = None) -> Piece:
    """A piece without images.

    Args:
        damage: Why there are none.

    Returns:
        The piece.
    """
    none = np.zeros(0, np.int64)
    return Piece(
        block=none.astype(np.uint32),
        size=none.astype(np.uint32),
        split=none.astype(np.int8),
        group=none.astype(np.int32),
        camera=none.astype(np.int16),
        key=none.astype(np.uint64),
        folders=(),
        long_block=none.astype(np.uint32),
        long_name=pa.array([], pa.large_string()),
        damage=damage,
    )


def tar_piece(index: TarIndex, side: str) -> Piece:
    """What a tar holds.

    Args:
        index: Its members.
        side: `train` or `test`, for members whose paths do not say.

    Returns:
        The piece.
    """
    placed = _Placed(index.names, index.offset // BLOCK, index.size, side)
    long = placed.kept[~index.named_by_header[placed.kept]]
    piece = placed.piece(long)
    odd = replace(
        piece.odd,
        skipped=dict(index.skipped),
        unsafe=index.unsafe,
        first_unsafe=index.first_unsafe,
        bytes_after_end=index.bytes_after_end,
    )
    return replace(piece, odd=odd, damage=index.damage, bytes=index.bytes, state=index.state)


def loose_piece(names: pa.LargeStringArray, first: int, size: IntArray) -> Piece:
    """What a folder of extracted files holds.

    Args:
        names: `(M,)` paths below the root.
        first: Number of the first of them among all loose files.
        size: `(M,)` bytes.

    Returns:
        The piece.
    """
    return _Placed(names, np.arange(first, first + len(names)), size, None).piece(
        np.zeros(0, np.int64)
    )


class _Placed:
    """Says of each file what it is; leaves out and counts what is no image of the archive."""

    def __init__(
        self, names: pa.LargeStringArray, block: IntArray, size: IntArray, side: str | None
    ) -> None:
        self.names, self.block, self.size = names, block, size
        self.folders: dict[str, int] = {}
        self.paths: Paths = split_paths(names)
        run, directories = self.paths.directories()
        places = [self._classify(directory, side) for directory in directories]
        self.split = np.array([place[0] for place in places], np.int8)[run]
        self.group = np.array([place[1] for place in places], np.int32)[run]
        self.camera = np.zeros(len(names), np.int16)
        self.image = self.paths.is_image()
        placed = self.image & (self.split >= 0)
        self.lost = np.flatnonzero(self.image & (self.split < 0))
        large = placed & ((size >= _LIMIT) | (block >= _LIMIT))
        self.large = np.flatnonzero(large)
        test = np.flatnonzero(placed & ~large & (self.split > 0))
        bad = np.zeros(len(names), np.bool_)
        if len(test):
            pid, camera, good = parse_test_names(names.take(pa.array(test)))
            self.group[test], self.camera[test] = pid, camera
            bad[test[~good]] = True
        self.bad = np.flatnonzero(bad)
        self.kept = np.flatnonzero(placed & ~large & ~bad)

    def piece(self, long: IntArray) -> Piece:
        """The images kept, with the names of those in rows `long` spelled out."""
        kept = self.kept
        return Piece(
            block=self.block[kept].astype(np.uint32),
            size=self.size[kept].astype(np.uint32),
            split=self.split[kept],
            group=self.group[kept],
            camera=self.camera[kept],
            key=self.paths.keys()[kept],
            folders=tuple(self.folders),
            long_block=self.block[long].astype(np.uint32),
            long_name=self.names.take(pa.array(long)),
            odd=Oddities(
                not_images=int((~self.image).sum()),
                unplaced=len(self.lost),
                first_unplaced=self._first(self.lost),
                bad_names=len(self.bad),
                first_bad_names=self._first(self.bad),
                too_large=len(self.large),
                first_too_large=self._first(self.large),
            ),
        )

    def _first(self, rows: IntArray) -> tuple[str, ...]:
        return tuple(self.paths.text(row) for row in rows[:FIRST].tolist())

    def _classify(self, directory: str, side: str | None) -> tuple[int, int]:
        """(split code, folder number) of a directory; (-1, 0) where it is none of the archive's."""
        if match := _TRAIN.search(directory):
            return 0, self.folders.setdefault(match[1], len(self.folders))
        if match := _TEST.search(directory):
            return _split_code(match), 0
        if side == "test" and (match := _BARE_TEST.match(directory)):
            return _split_code(match), 0
        if side == "train" and "sysu_" not in directory and (match := _BARE_TRAIN.match(directory)):
            return 0, self.folders.setdefault(match[1], len(self.folders))
        return -1, 0


def _split_code(match: re.Match[str]) -> int:
    return SPLITS.index("query" if match[1] == "query" else "gallery")
