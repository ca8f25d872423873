"""All that is known of an archive before anything is judged or written.

Shape letters: M images, F train folders, C identities.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bagreid.catalog.bags import EMPTY_BAGS, BagFile, BagTable
from bagreid.catalog.findings import Findings
from bagreid.catalog.layouts import Layout
from bagreid.catalog.layouts.labelled import SetKey
from bagreid.catalog.long_names import LongNames
from bagreid.catalog.members import SPLITS, Members, canonical_name
from bagreid.catalog.pieces import Oddities
from bagreid.contracts import BagreidError, IntArray, Split
from bagreid.shards import ShardReader
from bagreid.shards.header import BLOCK, HeaderError
from bagreid.shards.index import read_name
from bagreid.shards.source import State


@dataclass(frozen=True, slots=True, kw_only=True)
class TarReport:
    """One tar as it was found.

    Attributes:
        path: The file.
        side: `train` or `test`, by its place.
        bytes: Its size.
        images: Images of the archive in it, those that another file holds too included.
        damage: What is wrong with it; the images read whole before it are still counted.
        odd: What else is in it: skipped kinds, unsafe names, bytes after the end …
        state: What identified its content when it was read; None where it cannot be read.
    """

    path: Path
    side: str
    bytes: int
    images: int
    damage: BagreidError | None
    odd: Oddities
    state: State | None


@dataclass(slots=True, kw_only=True, eq=False)
class Survey:
    """An archive, read completely, with everything that is wrong with it.

    Nothing is left out because of a problem elsewhere: of a cut tar the members before the cut
    are there, of a bag file that does not fit the folders the bags are there.

    Attributes:
        root: The archive as the user named it.
        layout: Where everything lies; None where there is no archive (the reason is the only
            entry of `layout_problems` then, and all else is empty).
        layout_problems: A part missing between others, a compressed part, or no archive at all.
        tars: One report a tar, in the order of the shards.
        members: Columns of all images in the order of the catalog: train by (folder, shard,
            offset), query, gallery; each image once.
        folder_names: `F` names in the catalog's order; `members.group` of train images counts
            in it.
        shards: Files that the shard numbers stand for; the last is the root where files are loose.
        loose: Names of loose files below the root, by number, in pieces.
        long_names: Names that the header in front of the data does not hold.
        findings: Counts of everything odd, as in the catalog.
        bags: The bag file as read; empty where it is absent or cannot be read.
        bag_problem: Why the bag file cannot be read.
        absent_bag_folders: Folders that bags name and the archive lacks, in the order met.
        bag_table: The bags as indices; None where a bag names an absent folder.
        identities: `(C,)` int64 distinct identities of the bag labels, ascending.
        bag_folder_problem: The first bag that names an absent folder.
        list_problems: Lists that cannot be read.
        bad_test_names: Test images whose name does not say identity and camera, left out.
        first_bad_test_names: The first ten of them.
        image_problems: What keeps single images or extracted files out: a name that does not
            parse, a file that cannot be looked at, a size that no catalog holds.
        truth: `(n_train,)` int64 class index, -1 unknown; empty where there is no truth.
        truth_problem: Why the truth cannot be read.
    """

    root: Path
    layout: Layout | None
    layout_problems: tuple[BagreidError, ...]
    tars: tuple[TarReport, ...]
    members: Members
    folder_names: list[str]
    shards: list[Path]
    loose: list[pa.LargeStringArray]
    long_names: LongNames
    findings: Findings
    bags: BagFile
    bag_problem: BagreidError | None
    absent_bag_folders: tuple[str, ...]
    bag_table: BagTable | None
    identities: IntArray
    bag_folder_problem: BagreidError | None
    list_problems: tuple[BagreidError, ...]
    bad_test_names: int
    first_bad_test_names: tuple[str, ...]
    image_problems: tuple[BagreidError, ...]
    truth: IntArray
    truth_problem: BagreidError | None
    _reader: ShardReader | None = None

    @classmethod
    def empty(cls, root: Path, layout: Layout | None, problems: Iterable[BagreidError]) -> Survey:
        """A survey in which nothing is found yet.

        Args:
            root: The archive.
            layout: Where everything lies.
            problems: Its `layout_problems`.

        Returns:
            The survey.
        """
        none = np.zeros(0, np.int64)
        return cls(
            root=root,
            layout=layout,
            layout_problems=tuple(problems),
            tars=(),
            members=Members.empty(),
            folder_names=[],
            shards=[],
            loose=[],
            long_names=LongNames(none, pa.chunked_array([], pa.large_string())),
            findings=Findings(),
            bags=EMPTY_BAGS,
            bag_problem=None,
            absent_bag_folders=(),
            bag_table=None,
            identities=none,
            bag_folder_problem=None,
            list_problems=(),
            bad_test_names=0,
            first_bad_test_names=(),
            image_problems=(),
            truth=none,
            truth_problem=None,
        )

    @property
    def labelled(self) -> SetKey | None:
        """Which strongly labelled set it is; None for SYSU-30k and its like."""
        found = self.layout.labelled if self.layout is not None else None
        return found.key if found is not None else None

    def problems(self) -> Iterator[BagreidError]:
        """Everything that keeps a catalog from being built, in the order of reading."""
        yield from self.layout_problems
        if self.bag_problem is not None:
            yield self.bag_problem
        yield from (tar.damage for tar in self.tars if tar.damage is not None)
        yield from self.image_problems
        if self.bag_folder_problem is not None:
            yield self.bag_folder_problem
        yield from self.list_problems
        if self.truth_problem is not None:
            yield self.truth_problem

    def split(self, name: Split) -> range:
        """The rows of a split.

        Args:
            name: `train`, `query` or `gallery`.

        Returns:
            A contiguous range of rows of `members`.
        """
        code = SPLITS.index(name)
        start, stop = np.searchsorted(self.members.split, [code, code + 1]).tolist()
        return range(start, stop)

    def name(self, row: int) -> str:
        """The path of one image as the list files spell it.

        Args:
            row: Row of `members`.

        Returns:
            `sysu_train_set_all/<folder>/<file>` or `sysu_test_set_all/<split>/<pid>/<file>`.
        """
        return self.name_of(self.members, row)

    def name_of(self, members: Members, row: int) -> str:
        """The path of one image that need not be in the catalog's order, or in it at all.

        Args:
            members: Columns of images of this archive.
            row: Row of `members`.

        Returns:
            As `name` does; where the tar is gone meanwhile, where in it the image lay.
        """
        split = SPLITS[int(members.split[row])]
        shard, block = int(members.shard[row]), int(members.block[row])
        if self.loose and shard == len(self.shards) - 1:
            stored = str(pa.chunked_array(self.loose)[block].as_py())
            return stored if self.labelled else canonical_name(stored, split)
        name = self.long_names.find(shard, block)
        if name is None:
            try:
                name = read_name(bytes(self.reader().read(shard, (block - 1) * BLOCK, BLOCK)))
            except (BagreidError, HeaderError):
                return f"{self.shards[shard].name}, byte {block * BLOCK}"
        return canonical_name(name, split)

    def reader(self) -> ShardReader:
        """What reads the tars of this archive."""
        if self._reader is None:
            self._reader = ShardReader(self.shards)
        return self._reader
