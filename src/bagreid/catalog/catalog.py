"""The catalog: for each image of an archive where its bytes lie and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.catalog.bags import BagTable
from bagreid.catalog.build import build_catalog
from bagreid.catalog.columns import CameraColumn, Column, GroupColumn, OffsetColumn, RunColumn
from bagreid.catalog.findings import Findings
from bagreid.catalog.hold import hold_archive
from bagreid.catalog.layouts import find_layout
from bagreid.catalog.layouts.labelled import SetKey
from bagreid.catalog.members import SPLITS, BuildProgress, canonical_name
from bagreid.catalog.protocol import TestProtocol, count_protocol
from bagreid.catalog.reading import CatalogReader, changed
from bagreid.catalog.remote import local_root, source_of
from bagreid.catalog.simulation import BagSimulation
from bagreid.catalog.store import (
    MANIFEST,
    cache_directory,
    drop_others,
    fingerprint,
    numpy_column,
    open_places,
    read_manifest,
    read_table,
)
from bagreid.contracts import PADDING, BagreidError, ImageRef, IntArray, Split
from bagreid.shards.header import BLOCK, HeaderError
from bagreid.shards.index import read_name


class Catalog:
    """An opened catalog: columns that all processes share, or that are worked out when asked for.

    Rows: train images sorted by folder (then shard and offset, so that a folder is one range),
    then query, then gallery in the order of their lists (of the archive where there is none).
    M images, F train folders, C identities, B bags. Opening reads next to nothing.

    Args:
        root: The archive; of a remote one the mirror of its lists, with pointers to its tars.
        directory: The catalog on disk.
    """

    def __init__(self, root: Path, directory: Path) -> None:
        self.root = root
        self.directory = directory
        manifest = read_manifest(directory)
        self.layout: str = manifest["layout"]
        self.labelled: SetKey | None = manifest.get("labelled")
        self.files: dict[str, str] = manifest["files"]
        self.findings = Findings.from_json(manifest["findings"])
        self.shards = [root / name for name in manifest["shards"]]
        self.sides: list[str] = manifest["sides"]
        states = manifest.get("states") or [None] * len(self.shards)
        self._states = [state and (state[0], state[1]) for state in states]
        self._loose: bool = manifest["loose"]
        self._ends: list[int] = np.cumsum([0, *manifest["rows"]]).tolist()
        self._places = open_places(directory)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.split(split)):,} {split}" for split in SPLITS)
        return f"Catalog({self.source}: {counts}, {len(self.folder_names):,} folders)"

    def __reduce__(self) -> tuple[Any, ...]:
        return Catalog, (self.root, self.directory)

    @property
    def source(self) -> str:
        """The archive as messages name it: its folder, or its URL without passwords."""
        return source_of(self.root)

    def split(self, name: Split) -> range:
        """The rows of a split.

        Args:
            name: `train`, `query` or `gallery`.

        Returns:
            A contiguous range.
        """
        code = SPLITS.index(name)
        return range(self._ends[code], self._ends[code + 1])

    @cached_property
    def shard(self) -> RunColumn:
        """`(M,)` uint16, the tar of each image; loose files have the number behind all tars."""
        runs = read_table(self.directory, "runs")
        return RunColumn(len(self), numpy_column(runs, "start"), numpy_column(runs, "shard"))

    @property
    def block(self) -> npt.NDArray[np.uint32]:
        """`(M,)` offsets in 512-byte blocks, or numbers of loose files, memory-mapped."""
        return self._places.mapped[:, 0]

    @property
    def size(self) -> npt.NDArray[np.uint32]:
        """`(M,)` bytes of each image, memory-mapped."""
        return self._places.mapped[:, 1]

    @cached_property
    def offset(self) -> OffsetColumn:
        """`(M,)` int64, first byte of each image in its shard, worked out where it is indexed.

        For loose files it is 512 times the file's number, as `reader` understands it.
        """
        return OffsetColumn(self.block)

    @cached_property
    def group(self) -> Column:
        """`(M,)` int32, train: folder; test: identity (-1000 distractor, -1 junk)."""
        identity = numpy_column(read_table(self.directory, "tests"), "identity")
        return GroupColumn(self.folder_stop, identity, self._ends[1])

    @cached_property
    def camera(self) -> Column:
        """`(M,)` int16; train: 0."""
        camera = numpy_column(read_table(self.directory, "tests"), "camera")
        return CameraColumn(camera, self._ends[1])

    def places(self, rows: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Where some images lie; unlike the mapped columns it leaves nothing in memory.

        Args:
            rows: `(N,)` their rows.

        Returns:
            `(N,)` int64 each: shard, offset and size.
        """
        offset, size = self._places.find_many(rows)
        return self.shard[rows].astype(np.int64), offset, size

    @cached_property
    def folder_start(self) -> IntArray:
        """`(F,)` int64, first row of each train folder."""
        return numpy_column(read_table(self.directory, "folders"), "start")

    @cached_property
    def folder_stop(self) -> IntArray:
        """`(F,)` int64, one past the last row of each train folder."""
        return numpy_column(read_table(self.directory, "folders"), "stop")

    @cached_property
    def identities(self) -> IntArray:
        """`(C,)` int64, distinct identities of the bags, ascending; a class index is a place."""
        return numpy_column(read_table(self.directory, "identities"), "identity")

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
        known = "truth" in self.files or self.labelled is not None
        return truth if known else np.full(train, PADDING, np.int64)

    def reader(self) -> CatalogReader:
        """A new reader for the bytes of images; it can be sent to other processes."""
        return CatalogReader(self.root, self.shards, self._states, self.directory, self._loose)

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
            A read-only view of the file's bytes.

        Raises:
            BagreidError: If the archive changed since it was indexed.
        """
        shard, offset, size = self._place(int(row))
        return self._reader.read(shard, offset, size)

    def read_many(self, rows: Sequence[int]) -> list[memoryview]:
        """The JPEGs of some images; a slow disk is asked for all of them at once.

        Args:
            rows: Their rows.

        Returns:
            A read-only view of each file's bytes.

        Raises:
            BagreidError: If the archive changed since it was indexed.
        """
        places = [self._place(int(row)) for row in rows]
        for place in places:
            self._reader.expect(*place)
        return [self._reader.read(*place) for place in places]

    def name(self, row: int) -> str:
        """The path of one image as the list files spell it.

        Args:
            row: Its row.

        Returns:
            `sysu_train_set_all/<folder>/<file>` or `sysu_test_set_all/<split>/<pid>/<file>`; in a
            labelled set the path below its root.
        """
        row = int(row)
        if self.labelled is not None:
            return self._stored_name(row)
        return canonical_name(self._stored_name(row), self._split_of(row))

    def ref(self, row: int) -> ImageRef:
        """Where one image lies.

        Args:
            row: Its row.

        Returns:
            Name, file, offset and size; the offset of a loose file is 0.
        """
        row = int(row)
        shard, offset, size = self._place(row)
        if self._is_loose(shard):
            path = self.root / self._reader.loose_name(offset // BLOCK)
            return ImageRef(row, self.name(row), path, 0, size)
        return ImageRef(row, self.name(row), self.shards[shard], offset, size)

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
                remedy="Give an archive with a test set"
                if self.labelled
                else "Fetch test/sysu_test_set_all.tar, or give an archive with a test set",
            )
        if not counts.matches:
            raise BagreidError(
                f"none of the {counts.queries:,} queries has a match among the "
                f"{counts.gallery:,} gallery images",
                path=self.root,
                remedy="A match is of the same identity and of another camera, and both are read "
                f"from names like {self._example()}: compare those of query and gallery images",
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

    def _example(self) -> str:
        """How a test image may be called."""
        named = {None: "000028311_c1_1.jpg", "msmt17": "0000_000_01_0303morning_0008_0.jpg"}
        return named.get(self.labelled, "0002_c1s1_000451_03.jpg")

    def _split_of(self, row: int) -> Split:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a catalog of {len(self)}")
        return next(split for split in SPLITS if row in self.split(split))

    def _place(self, row: int) -> tuple[int, int, int]:
        """Shard, offset and size of one image."""
        row = range(len(self))[row]
        return self.shard.one(row), *self._places.find(row)

    def _is_loose(self, shard: int) -> bool:
        return self._loose and shard == len(self.shards) - 1

    def _stored_name(self, row: int) -> str:
        shard, offset, _ = self._place(row)
        if self._is_loose(shard):
            return self._reader.loose_name(offset // BLOCK)
        rows, names = self._long_names
        at = int(np.searchsorted(rows, row))
        if at < len(rows) and rows[at] == row:
            return str(names[at].as_py())
        try:
            return read_name(bytes(self._reader.read(shard, offset - BLOCK, BLOCK)))
        except HeaderError as error:
            raise changed(self.shards[shard], str(error)) from error


def open_catalog(
    root: Path | str,
    *,
    cache: Path | None = None,
    progress: BuildProgress | None = None,
    rebuild: bool = False,
    workers: int | None = None,
    simulation: BagSimulation = BagSimulation(),  # noqa: B008 - frozen
) -> Catalog:
    """Opens the catalog of an archive, building it first where it is absent or stale.

    It is stale when a tar, a list, the bag file or the truth changed in size or time (a remote one
    in size or ETag, a tar also in what some of its blocks hold), or a folder of extracted images
    got or lost files.

    Args:
        root: The archive, in any released layout: the outer or inner folder, a link to it, or the
            URL of one (`http://…`, `s3://…`, `file://…`).
        cache: Folder for catalogs; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.
        progress: Told how far a build is.
        rebuild: Build anew even where a fitting catalog is there.
        workers: How many tars a build scans at once; None takes what the machine has.
        simulation: How bags are made of a strongly labelled set's images; each way has a catalog
            of its own. Other archives have bags already, and it is of no meaning to them.

    Returns:
        The catalog.

    Raises:
        BagreidError: If the archive is not recognised or anything in it is wrong.
    """
    layout = find_layout(local_root(root, cache=cache, progress=progress))
    layout = replace(layout, simulation=simulation)
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
