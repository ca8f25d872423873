"""All that is known of an archive before anything is judged or written.

`bagreid catalog` raises the first problem of a survey and else writes it down; `bagreid verify`
reports all of it. Shape letters: M images, F train folders, C identities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from bagreid.catalog.bags import EMPTY_BAGS, BagFile, BagTable, make_bag_table, read_bag_file
from bagreid.catalog.findings import FIRST, Findings, ListFinding
from bagreid.catalog.hold import Hold, hold_archive
from bagreid.catalog.layouts import Layout, TarSource, survey_layout
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.lists import list_finding, match, read_list
from bagreid.catalog.long_names import LongNames
from bagreid.catalog.members import SPLITS, BuildProgress, Members, canonical_name
from bagreid.catalog.order import drop_duplicates, join_pieces, sort_by_folder
from bagreid.catalog.pieces import Oddities, Piece
from bagreid.catalog.scanning import scan_tars
from bagreid.catalog.store import cache_directory
from bagreid.catalog.trees import LooseFolder, read_trees
from bagreid.catalog.truth import read_truth
from bagreid.contracts import BagreidError, IntArray, Split
from bagreid.shards import open_source
from bagreid.shards.header import BLOCK
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
        members = self.members
        split = SPLITS[int(members.split[row])]
        shard, block = int(members.shard[row]), int(members.block[row])
        if self.loose and shard == len(self.shards) - 1:
            return canonical_name(pa.chunked_array(self.loose)[block].as_py(), split)
        name = self.long_names.find(shard, block)
        if name is None:
            with closing(open_source(self.shards[shard])) as tar:
                name = read_name(bytes(tar.read((block - 1) * BLOCK, BLOCK)))
        return canonical_name(name, split)


def survey_archive(
    where: Path | Layout,
    *,
    cache: Path | None = None,
    workers: int | None = None,
    progress: BuildProgress | None = None,
) -> Survey:
    """Reads an archive completely, raising nothing for what its files hold.

    Args:
        where: The archive, or its layout where that is known.
        cache: Folder for catalogs; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.
        workers: How many tars are scanned at once; None takes what the machine has.
        progress: Told how far the reading is.

    Returns:
        All that is known of it.
    """
    if isinstance(where, Layout):
        layout = where
    else:
        try:
            layout = survey_layout(Path(where))
        except BagreidError as error:
            return _empty_survey(Path(where), error)
    directory = cache_directory(layout.root, cache)
    with hold_archive(directory) as hold:
        return survey_files(layout, directory, hold, workers=workers, progress=progress)


def survey_files(
    layout: Layout,
    directory: Path,
    hold: Hold,
    *,
    workers: int | None,
    progress: BuildProgress | None,
) -> Survey:
    """Reads the files of an archive completely, raising nothing for what they hold.

    Args:
        layout: Where they lie.
        directory: The archive's cache folder.
        hold: The share of this process in it.
        workers: How many tars are scanned at once; None takes what the machine has.
        progress: Told how far the reading is.

    Returns:
        All that is known of the archive.
    """
    pieces = scan_tars(layout, directory, hold, workers=workers, progress=progress)
    survey = _survey_images(layout, pieces, list(read_trees(layout, progress)))
    _survey_bags(survey, layout)
    _survey_lists(survey, layout)
    _survey_truth(survey, layout)
    return survey


def _empty_survey(root: Path, problem: BagreidError) -> Survey:
    none = np.zeros(0, np.int64)
    return Survey(
        root=root,
        layout=None,
        layout_problems=(problem,),
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


def _survey_images(
    layout: Layout, pieces: Sequence[Piece], folders: Sequence[LooseFolder]
) -> Survey:
    """Puts the images of tars and extracted folders in order."""
    if len(layout.tars) >= np.iinfo(np.uint16).max:
        raise BagreidError(
            f"{len(layout.tars):,} tars are too many (at most 65,534)",
            path=layout.root,
            remedy="Join them into larger ones",
        )
    shards = [source.path for source in layout.tars]
    numbers = list(range(len(pieces))) + [len(shards)] * len(folders)
    everything = [*pieces, *(folder.piece for folder in folders)]
    members, met = join_pieces(everything, numbers)
    members, duplicates = drop_duplicates(members)
    members, names = sort_by_folder(members, met)
    sources = [*shards, *[layout.root] * len(folders)]
    odd = [piece.odd for piece in everything]
    survey = _empty_survey(layout.root, BagreidError(""))
    survey.layout = layout
    survey.layout_problems = layout.problems
    survey.tars = tuple(map(_report, layout.tars, pieces))
    survey.members = members
    survey.folder_names = names
    survey.shards = shards + ([layout.root] if layout.trees else [])
    survey.loose = [folder.names for folder in folders]
    survey.long_names = LongNames.join(pieces)
    survey.bad_test_names = sum(entry.bad_names for entry in odd)
    survey.first_bad_test_names = _first(entry.first_bad_names for entry in odd)
    survey.image_problems = (*_unreadable(folders), *_image_problems(odd, sources))
    survey.findings = replace(_sum_up(odd), notes=tuple(layout.notes), duplicate_images=duplicates)
    return survey


def _report(source: TarSource, piece: Piece) -> TarReport:
    return TarReport(
        path=source.path,
        side=source.side,
        bytes=piece.bytes,
        images=len(piece),
        damage=piece.damage,
        odd=piece.odd,
        state=piece.state,
    )


def _sum_up(odd: Sequence[Oddities]) -> Findings:
    skipped: Counter[str] = Counter()
    for entry in odd:
        skipped.update(entry.skipped)
    return Findings(
        skipped_members=dict(skipped),
        not_images=sum(entry.not_images for entry in odd),
        unplaced=sum(entry.unplaced for entry in odd),
        first_unplaced=_first(entry.first_unplaced for entry in odd),
        unsafe=sum(entry.unsafe for entry in odd),
        first_unsafe=_first(entry.first_unsafe for entry in odd),
        bytes_after_end=sum(entry.bytes_after_end for entry in odd),
    )


def _first(names: Iterator[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(name for some in names for name in some)[:FIRST]


def _unreadable(folders: Sequence[LooseFolder]) -> Iterator[BagreidError]:
    for folder in folders:
        yield from folder.unreadable


def _image_problems(odd: Sequence[Oddities], sources: Sequence[Path]) -> Iterator[BagreidError]:
    """One problem for each file that holds images which no catalog can hold."""
    for entry, path in zip(odd, sources, strict=True):
        for name in entry.first_too_large[:1]:
            yield BagreidError(
                "an image of 4 GiB or a tar of 2 TiB is too large",
                path=path,
                position=f"member '{name}'",
                remedy="Split the tar",
            )
        for name in entry.first_bad_names[:1]:
            yield BagreidError(
                f"'{name}' is no test image's name",
                path=path,
                position=f"member '{name}'",
                remedy="Test images are named <pid>_c<camera>_<n>.jpg, such as 000028311_c1_1.jpg",
            )


def _survey_bags(survey: Survey, layout: Layout) -> None:
    if layout.bag_file is None:
        bags = EMPTY_BAGS
    else:
        try:
            bags = read_bag_file(layout.bag_file)
        except BagreidError as error:
            survey.bag_problem, bags = error, EMPTY_BAGS
    survey.bags = bags
    survey.absent_bag_folders = tuple(bags.absent(survey.folder_names))
    if not survey.folder_names and len(bags):
        note = "bags: left aside, for there are no train images here"
        survey.findings = replace(survey.findings, notes=(*survey.findings.notes, note))
        bags = EMPTY_BAGS
    named = set(bags.folder_name.to_pylist())
    try:
        survey.bag_table, survey.identities = make_bag_table(
            bags, survey.folder_names, layout.bag_file
        )
    except BagreidError as error:
        survey.bag_folder_problem = error
    lonely = [name for name in survey.folder_names if name not in named] if len(bags) else []
    survey.findings = replace(
        survey.findings,
        duplicate_bag_labels=bags.duplicate_labels,
        duplicate_bag_folders=bags.duplicate_folders,
        bags_merged=bags.bags_merged,
        repeated_bag_ids=bags.repeated_ids,
        labels_as_text=bags.labels_as_text,
        unknown_bag_keys=bags.unknown_keys,
        folders_in_no_bag=len(lonely),
        first_folders_in_no_bag=tuple(lonely[:FIRST]),
    )


def _survey_lists(survey: Survey, layout: Layout) -> None:
    """Matches each list with its split and puts test rows into the order of their list."""
    findings: list[ListFinding] = []
    problems: list[BagreidError] = []
    for split in SPLITS:
        source = layout.lists.get(split)
        if source is None:
            continue
        try:
            listed = read_list(source.path, split if source.mixed else None)
        except BagreidError as error:
            problems.append(error)
            continue
        rows = survey.split(split)
        place, present = match(survey.members.key[rows.start : rows.stop], listed)
        unlisted = np.flatnonzero(place < 0)
        names = [survey.name(rows.start + row) for row in unlisted[:FIRST].tolist()]
        file = relative(source.path, layout.root)
        findings.append(list_finding(file, split, listed, present, len(unlisted), names))
        if split != "train":
            last = np.where(place < 0, len(present), place)
            order = np.arange(len(survey.members))
            order[rows.start : rows.stop] = rows.start + np.argsort(last, kind="stable")
            survey.members = survey.members.take(order)
    survey.list_problems = tuple(problems)
    survey.findings = replace(survey.findings, lists=tuple(findings))


def _survey_truth(survey: Survey, layout: Layout) -> None:
    if layout.truth_file is None:
        return
    key, train = survey.members.key, len(survey.split("train"))
    try:
        survey.truth, absent, missing = read_truth(
            layout.truth_file, key[:train], key[train:], survey.identities
        )
    except BagreidError as error:
        survey.truth_problem = error
        return
    survey.findings = replace(survey.findings, truth_absent=absent, truth_missing=missing)
