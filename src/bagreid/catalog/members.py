"""Images of an archive as plain columns: where each lies and what its path says.

Shape letters: M members.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.catalog.findings import FIRST
from bagreid.catalog.layouts import Layout, TarSource
from bagreid.catalog.names import Hashes, parse_test_names, split_paths
from bagreid.contracts import BagreidError, IntArray, Split
from bagreid.shards import scan_tar
from bagreid.shards.header import BLOCK

SPLITS: tuple[Split, ...] = ("train", "query", "gallery")
"""Splits in the order of the catalog's rows; a split's code is its place here."""

BuildProgress = Callable[[Path, int, int, int], None]
"""Called with (file or folder, images in it so far, bytes passed, bytes in all)."""

_TRAIN = re.compile(r"(?:^|/)sysu_train_set_all/([^/]+)$")
_TEST = re.compile(r"(?:^|/)sysu_test_set_all/(query|gallery)/([^/]+)$")
_BARE_TRAIN = re.compile(r"^(?:.*/)?([^/]+)$")
_BARE_TEST = re.compile(r"^(?:.*/)?(query|gallery)/([^/]+)$")


@dataclass(slots=True)
class Members:
    """Columns of images, in archive order.

    Attributes:
        shard: `(M,)` uint16.
        block: `(M,)` uint32, offset in 512-byte blocks (in a tar), or number of the file (loose).
        size: `(M,)` uint32, bytes.
        split: `(M,)` int8, place in `SPLITS`.
        group: `(M,)` int32, train: number of the folder in `folders`; test: identity.
        camera: `(M,)` int16.
        key: `(M,)` uint64, hash of the last two components of the name.
    """

    shard: npt.NDArray[np.uint16]
    block: npt.NDArray[np.uint32]
    size: npt.NDArray[np.uint32]
    split: npt.NDArray[np.int8]
    group: npt.NDArray[np.int32]
    camera: npt.NDArray[np.int16]
    key: Hashes

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: IntArray) -> Members:
        """Some of the rows.

        Args:
            rows: Which, in which order.

        Returns:
            New columns.
        """
        return Members(*(getattr(self, name)[rows] for name in self.__slots__))

    @classmethod
    def join(cls, parts: list[Members]) -> Members:
        """One after another.

        Args:
            parts: Any number of them.

        Returns:
            New columns.
        """
        parts = [*parts, _EMPTY]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__slots__))


_EMPTY = Members(
    np.zeros(0, np.uint16),
    np.zeros(0, np.uint32),
    np.zeros(0, np.uint32),
    np.zeros(0, np.int8),
    np.zeros(0, np.int32),
    np.zeros(0, np.int16),
    np.zeros(0, np.uint64),
)


@dataclass(slots=True)
class Gathered:
    """All that the images of an archive say before lists and bags are looked at.

    Attributes:
        members: Their columns.
        folders: Train folder names, in the order met; `members.group` counts in it.
        shards: Files that the shard numbers stand for; the last is the root where files are loose.
        loose: Names of loose files below the root, by number.
        long_names: Names that the header in front of the data does not hold, by (shard, block).
        skipped: Members that are no regular files, by kind.
        not_images: Files that are no JPEG by their name.
        unplaced: Images in no known folder.
        first_unplaced: The first ten of them.
        bytes_after_end: Bytes behind end marks.
    """

    members: Members
    folders: dict[str, int] = field(default_factory=dict)
    shards: list[Path] = field(default_factory=list)
    loose: list[pa.LargeStringArray] = field(default_factory=list)
    long_names: dict[tuple[int, int], str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    not_images: int = 0
    unplaced: int = 0
    first_unplaced: list[str] = field(default_factory=list)
    bytes_after_end: int = 0


def canonical_name(name: str, split: Split) -> str:
    """The path of an image as the list files spell it.

    Args:
        name: The name in the tar or on the disk, whatever stands in front.
        split: The image's split.

    Returns:
        `sysu_train_set_all/<folder>/<file>` or `sysu_test_set_all/<split>/<pid>/<file>`.
    """
    tail = "/".join(name.rsplit("/", 2)[-2:])
    return f"sysu_train_set_all/{tail}" if split == "train" else f"sysu_test_set_all/{split}/{tail}"


def gather(layout: Layout, progress: BuildProgress | None) -> Gathered:
    """Reads every tar's headers and every extracted folder.

    Args:
        layout: Where they lie.
        progress: Told how far it is.

    Returns:
        The images, in archive order.

    Raises:
        BagreidError: If a tar is damaged or the name of a test image does not parse.
    """
    found = Gathered(_EMPTY)
    if len(layout.tars) >= np.iinfo(np.uint16).max:
        raise BagreidError(
            f"{len(layout.tars):,} tars are too many (at most 65,534)",
            path=layout.root,
            remedy="Join them into larger ones",
        )
    parts = [_from_tar(found, source, progress) for source in layout.tars]
    if layout.trees:
        parts += _from_trees(found, layout, progress)
    found.members = Members.join(parts)
    return found


def _from_tar(found: Gathered, source: TarSource, progress: BuildProgress | None) -> Members:
    total = source.path.stat().st_size if source.path.exists() else 0

    def tell(members: int, passed: int) -> None:
        if progress is not None:
            progress(source.path, members, passed, total)

    index = scan_tar(source.path, progress=tell)
    found.skipped.update(index.skipped)
    found.bytes_after_end += index.bytes_after_end
    shard = len(found.shards)
    found.shards.append(source.path)
    members, kept = _place(
        found, index.names, index.offset // BLOCK, index.size, source.path, source.side
    )
    members.shard[:] = shard
    for row in kept[~index.named_by_header[kept]].tolist():
        found.long_names[shard, int(index.offset[row]) // BLOCK] = index.names[row].as_py()
    tell(len(index), total)
    return members


def _from_trees(
    found: Gathered, layout: Layout, progress: BuildProgress | None
) -> Iterator[Members]:
    """One part a directory, so that no million of Python strings is ever held."""
    shard, number = len(found.shards), 0
    found.shards.append(layout.root)
    for tree in layout.trees:
        seen = 0
        for directory in directories_below(tree):
            names, sizes = _files_in(directory, layout.root)
            if not names:
                continue
            array = pa.array(names, pa.large_string())
            numbers = np.arange(number, number + len(names))
            members, _ = _place(found, array, numbers, np.array(sizes, np.int64), directory, None)
            members.shard[:] = shard
            found.loose.append(array)
            number += len(names)
            seen += len(names)
            if progress is not None:
                progress(tree, seen, 0, 0)
            yield members


def directories_below(tree: Path) -> Iterator[Path]:
    """A folder and all folders below it, sorted by name; links to folders are followed.

    Args:
        tree: Where to begin.

    Yields:
        Each folder, before those inside it.
    """
    # A link back to a folder above would go round for ever; the released layout is 3 deep.
    for folder, inside, _ in os.walk(tree, followlinks=True):
        inside.sort()
        if len(Path(folder).relative_to(tree).parts) >= 3:
            inside.clear()
        yield Path(folder)


def _files_in(directory: Path, root: Path) -> tuple[list[str], list[int]]:
    before = directory.relative_to(root).as_posix()
    names, sizes = [], []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                continue
            try:
                sizes.append(entry.stat().st_size)
            except OSError as error:
                raise BagreidError(
                    f"cannot be read ({error.strerror})",
                    path=entry.path,
                    remedy="Remove the broken link, or put the file back",
                ) from error
            names.append(f"{before}/{entry.name}")
    return names, sizes


def _place(
    found: Gathered,
    names: pa.LargeStringArray,
    block: IntArray,
    size: IntArray,
    source: Path,
    side: str | None,
) -> tuple[Members, IntArray]:
    """Says of each file what it is; leaves out and counts what is no image of the archive."""
    paths = split_paths(names)
    run, directories = paths.directories()
    places = [_classify(found, directory, side) for directory in directories]
    split = np.array([place[0] for place in places], np.int8)[run]
    group = np.array([place[1] for place in places], np.int32)[run]
    image = paths.is_image()
    lost = np.flatnonzero(image & (split < 0))
    found.not_images += int((~image).sum())
    found.unplaced += len(lost)
    found.first_unplaced += [
        paths.text(row) for row in lost[: FIRST - len(found.first_unplaced)].tolist()
    ]
    kept = np.flatnonzero(image & (split >= 0))
    if len(kept) and (size[kept].max() >= 2**32 or block[kept].max() >= 2**32):
        raise BagreidError(
            "an image of 4 GiB or a tar of 2 TiB is too large", path=source, remedy="Split the tar"
        )
    camera = np.zeros(len(names), np.int16)
    test = np.flatnonzero(image & (split > 0))
    if len(test):
        pid, camera_of = parse_test_names(names.take(pa.array(test)), source)
        group[test], camera[test] = pid, camera_of
    members = Members(
        np.zeros(len(kept), np.uint16),
        block[kept].astype(np.uint32),
        size[kept].astype(np.uint32),
        split[kept],
        group[kept],
        camera[kept],
        paths.keys()[kept],
    )
    return members, kept


def _classify(found: Gathered, directory: str, side: str | None) -> tuple[int, int]:
    """(split code, folder number) of a directory; (-1, 0) where it is none of the archive's."""
    if match := _TRAIN.search(directory):
        return 0, found.folders.setdefault(match[1], len(found.folders))
    if match := _TEST.search(directory):
        return SPLITS.index("query" if match[1] == "query" else "gallery"), 0
    if side == "test" and (match := _BARE_TEST.match(directory)):
        return SPLITS.index("query" if match[1] == "query" else "gallery"), 0
    if side == "train" and "sysu_" not in directory and (match := _BARE_TRAIN.match(directory)):
        return 0, found.folders.setdefault(match[1], len(found.folders))
    return -1, 0
