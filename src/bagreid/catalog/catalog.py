"""The catalog: for each image of an archive where its bytes lie and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.catalog.bags import BagTable
from bagreid.catalog.build import build_catalog
from bagreid.catalog.findings import Findings
from bagreid.catalog.hold import hold_archive
from bagreid.catalog.layouts import find_layout
from bagreid.catalog.members import SPLITS, BuildProgress, canonical_name
from bagreid.catalog.protocol import TestProtocol, count_protocol
from bagreid.catalog.reading import CatalogReader
from bagreid.catalog.store import (
    MANIFEST,
    cache_directory,
    drop_others,
    fingerprint,
    numpy_column,
    read_manifest,
    read_table,
)
from bagreid.contracts import PADDING, BagreidError, ImageRef, IntArray, Split
from bagreid.shards.header import BLOCK
from bagreid.shards.index import read_name


class OffsetColumn:
    """Byte offsets, stored as blocks: indexing it gives int64 bytes, and no more than asked for.

    Args:
        block: `(M,)` uint32 offsets in 512-byte blocks.
    """

    def __init__(self, block: npt.NDArray[np.uint32]) -> None:
        self._block = block

    def __len__(self) -> int:
        return len(self._block)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> np.int64: ...
    @overload
    def __getitem__(self, rows: slice | npt.NDArray[Any] | Sequence[int]) -> IntArray: ...
    def __getitem__(self, rows: Any) -> Any:
        """Offsets of some rows, in bytes."""
        return self._block[rows].astype(np.int64) * BLOCK

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """All offsets at once: eight bytes an image."""
        del copy
        return (self._block.astype(np.int64) * BLOCK).astype(dtype or np.int64, copy=False)


class Catalog:
    """An opened catalog; every column is a view of memory-mapped Arrow, shared by all processes.

    Rows: train images sorted by folder (then shard and offset, so that a folder is one range),
    then query, then gallery in the order of their lists (of the archive where there is none).
    M images, F train folders, C identities, B bags.

    Args:
        root: The archive.
        directory: The catalog on disk.
    """

    def __init__(self, root: Path, directory: Path) -> None:
        self.root = root
        self.directory = directory
        manifest = read_manifest(directory)
        self.layout: str = manifest["layout"]
        self.files: dict[str, str] = manifest["files"]
        self.findings = Findings.from_json(manifest["findings"])
        self.shards = [root / name for name in manifest["shards"]]
        self.sides: list[str] = manifest["sides"]
        self._loose: bool = manifest["loose"]
        self._ends = np.cumsum([0, *manifest["rows"]]).tolist()
        images = read_table(directory, "images")
        self.shard: npt.NDArray[np.uint16] = numpy_column(images, "shard")
        self.block: npt.NDArray[np.uint32] = numpy_column(images, "block")
        self.size: npt.NDArray[np.uint32] = numpy_column(images, "size")
        self.group: npt.NDArray[np.int32] = numpy_column(images, "group")
        self.camera: npt.NDArray[np.int16] = numpy_column(images, "camera")
        folders = read_table(directory, "folders")
        self.folder_start: IntArray = numpy_column(folders, "start")
        self.folder_stop: IntArray = numpy_column(folders, "stop")
        self.identities: IntArray = numpy_column(read_table(directory, "identities"), "identity")

    def __len__(self) -> int:
        return len(self.shard)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.split(split)):,} {split}" for split in SPLITS)
        return f"Catalog({self.root}: {counts}, {len(self.folder_names):,} folders)"

    def __reduce__(self) -> tuple[Any, ...]:
        return Catalog, (self.root, self.directory)

    def split(self, name: Split) -> range:
        """The rows of a split.

        Args:
            name: `train`, `query` or `gallery`.

        Returns:
            A contiguous range.
        """
        code = SPLITS.index(name)
        return range(self._ends[code], self._ends[code + 1])

    @property
    def offset(self) -> OffsetColumn:
        """`(M,)` int64, first byte of each image in its shard, worked out where it is indexed.

        For loose files it is 512 times the file's number, as `reader` understands it.
        """
        return OffsetColumn(self.block)

    @cached_property
    def folder_names(self) -> list[str]:
        """`F` train folder names in the order of `folder_start`: by number."""
        names: list[str] = read_table(self.directory, "folders").column("name").to_pylist()
        return names

    @cached_property
    def bags(self) -> BagTable:
        """The bags, as folder indices and class indices."""
        table = read_table(self.directory, "bags")
        folder, label = table.column("folder"), table.column("label")
        return BagTable(
            bag_id=table.column("bag_id").to_pylist(),
            folder_offset=np.asarray(folder.offsets.to_numpy()),
            folder=np.asarray(folder.values.to_numpy()),
            label_offset=np.asarray(label.offsets.to_numpy()),
            label=np.asarray(label.values.to_numpy()),
        )

    def truth(self) -> IntArray:
        """Image-level truth of the train images, for measuring only.

        Returns:
            `(n_train,)` int64 class index; -1 where it is unknown or no bag lists the person.
        """
        truth = numpy_column(read_table(self.directory, "truth"), "class_index").astype(np.int64)
        train = len(self.split("train"))
        return truth if "truth" in self.files else np.full(train, PADDING, np.int64)

    def reader(self) -> CatalogReader:
        """A new reader for the bytes of images; it can be sent to other processes."""
        names = read_table(self.directory, "loose").column("name") if self._loose else None
        return CatalogReader(self.root, self.shards, names, self.directory)

    @cached_property
    def _reader(self) -> CatalogReader:
        return self.reader()

    @cached_property
    def _long_names(self) -> tuple[IntArray, pa.LargeStringArray]:
        table = read_table(self.directory, "long_names")
        return numpy_column(table, "row"), table.column("name")

    def read(self, row: int) -> memoryview:
        """The JPEG of one image.

        Args:
            row: Its row.

        Returns:
            A read-only view of the file's bytes; no copy is made of what lies in a tar.

        Raises:
            BagreidError: If the archive changed since it was indexed.
        """
        place = int(self.block[row]) * BLOCK
        return self._reader.read(int(self.shard[row]), place, int(self.size[row]))

    def name(self, row: int) -> str:
        """The path of one image as the list files spell it.

        Args:
            row: Its row.

        Returns:
            `sysu_train_set_all/<folder>/<file>` or `sysu_test_set_all/<split>/<pid>/<file>`.
        """
        row = int(row)
        return canonical_name(self._stored_name(row), self._split_of(row))

    def ref(self, row: int) -> ImageRef:
        """Where one image lies.

        Args:
            row: Its row.

        Returns:
            Name, file, offset and size; the offset of a loose file is 0.
        """
        row, size = int(row), int(self.size[row])
        if self._is_loose(row):
            path = self.root / self._stored_name(row)
            return ImageRef(row, self.name(row), path, 0, size)
        path = self.shards[int(self.shard[row])]
        return ImageRef(row, self.name(row), path, int(self.block[row]) * BLOCK, size)

    def check_test_protocol(self) -> TestProtocol:
        """Makes sure that there is something to evaluate.

        Returns:
            Counts of queries, gallery, matches, distractors and junk.

        Raises:
            BagreidError: If there are no queries, or none of them has a match in the gallery.
        """
        counts = self.test_protocol()
        if not counts.queries:
            raise BagreidError(
                "the archive has no query images",
                path=self.root,
                remedy="Fetch test/sysu_test_set_all.tar, or give an archive with a test set",
            )
        if not counts.matches:
            raise BagreidError(
                f"none of the {counts.queries:,} queries has a match among the "
                f"{counts.gallery:,} gallery images",
                path=self.root,
                remedy="A match is of the same identity and of another camera, and both are read "
                "from names like 000028311_c1_1.jpg: compare those below query/ and gallery/",
            )
        return counts

    def test_protocol(self) -> TestProtocol:
        """Counts what there is to find in the test set, whatever it is."""
        query, gallery = self.split("query"), self.split("gallery")
        q, g = slice(query.start, query.stop), slice(gallery.start, gallery.stop)
        return count_protocol(
            self.group[q].astype(np.int64),
            self.camera[q].astype(np.int64),
            self.group[g].astype(np.int64),
            self.camera[g].astype(np.int64),
        )

    def _split_of(self, row: int) -> Split:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a catalog of {len(self)}")
        return next(split for split in SPLITS if row in self.split(split))

    def _is_loose(self, row: int) -> bool:
        return self._loose and int(self.shard[row]) == len(self.shards) - 1

    def _stored_name(self, row: int) -> str:
        if self._is_loose(row):
            return self._reader.loose_name(int(self.block[row]))
        rows, names = self._long_names
        at = int(np.searchsorted(rows, row))
        if at < len(rows) and rows[at] == row:
            return str(names[at].as_py())
        header = (int(self.block[row]) - 1) * BLOCK
        return read_name(bytes(self._reader.read(int(self.shard[row]), header, BLOCK)))


def open_catalog(
    root: Path,
    *,
    cache: Path | None = None,
    progress: BuildProgress | None = None,
    rebuild: bool = False,
    workers: int | None = None,
) -> Catalog:
    """Opens the catalog of an archive, building it first where it is absent or stale.

    It is stale when a tar, a list, the bag file or the truth changed in size or time, or a folder
    of extracted images got or lost files.

    Args:
        root: The archive, in any released layout: the outer or inner folder, or a link to it.
        cache: Folder for catalogs; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.
        progress: Told how far a build is.
        rebuild: Build anew even where a fitting catalog is there.
        workers: How many tars a build scans at once; None takes what the machine has.

    Returns:
        The catalog.

    Raises:
        BagreidError: If the archive is not recognised or anything in it is wrong.
    """
    layout = find_layout(Path(root))
    directory = cache_directory(layout.root, cache) / fingerprint(layout)
    if rebuild or not (directory / MANIFEST).is_file():
        with hold_archive(directory.parent) as hold:
            build_catalog(
                layout, directory, hold, afresh=rebuild, workers=workers, progress=progress
            )
            with hold.alone() as alone:
                if alone:
                    drop_others(directory)
    return Catalog(layout.root, directory)
