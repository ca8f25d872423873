"""Recognising an archive: which tars, folders, lists and bag file belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bagreid.catalog.layouts import downloaded, extracted, labelled, newer, older
from bagreid.catalog.layouts.downloaded import TarSource
from bagreid.catalog.layouts.labelled import LabelledSet
from bagreid.catalog.layouts.levels import bases, outer
from bagreid.catalog.simulation import BagSimulation
from bagreid.contracts import BagreidError, Split

MOST_TARS = 65_535
"""How many tars a catalog can tell apart."""

_SPLITS: tuple[Split, ...] = ("train", "query", "gallery")


@dataclass(frozen=True, slots=True)
class ListSource:
    """A list file.

    Attributes:
        path: The file.
        mixed: Whether it lists query and gallery together (`val.txt`).
    """

    path: Path
    mixed: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of one archive lies.

    Attributes:
        root: The folder the user named, absolute; of a strongly labelled set the folder that
            holds its parts.
        name: The layout in words.
        tars: Tars of images, in the order in which they are read.
        trees: Folders of extracted images.
        lists: The list file of each split that has one.
        bag_file: Bag labels.
        truth_file: Image-level truth.
        notes: What was chosen where there was a choice.
        problems: Parts that are missing between others, and tars that are compressed.
        labelled: The strongly labelled set that lies there; None for SYSU-30k and its like.
        simulation: How bags are made of such a set's images.
    """

    root: Path
    name: str
    tars: tuple[TarSource, ...]
    trees: tuple[Path, ...]
    lists: Mapping[Split, ListSource]
    bag_file: Path | None
    truth_file: Path | None
    notes: tuple[str, ...]
    problems: tuple[BagreidError, ...] = ()
    labelled: LabelledSet | None = None
    simulation: BagSimulation = field(default_factory=BagSimulation)


def find_layout(root: Path) -> Layout:
    """Looks for an archive at, inside or just around a folder, and wants it without gaps.

    Args:
        root: What the user named: the outer or the inner folder, or a link to it.

    Returns:
        The layout.

    Raises:
        BagreidError: If `root` is no folder, holds neither tars nor folders of images, misses a
            part between others, or has a tar in compressed form only.
    """
    layout = survey_layout(root)
    for problem in layout.problems:
        raise problem
    return layout


def survey_layout(root: Path) -> Layout:
    """Looks for an archive at, inside or just around a folder, and notes what is amiss.

    Args:
        root: What the user named: the outer or the inner folder, or a link to it.

    Returns:
        The layout, with its problems.

    Raises:
        BagreidError: If `root` is no folder, or holds neither tars nor folders of images.
    """
    root = root.absolute()
    if not root.is_dir():
        raise BagreidError(
            "there is no such folder" if not root.exists() else "this is a file, not a folder",
            path=root,
            remedy="Name the folder that holds train/ and test/, or one around it",
        )
    places = bases(root)
    found = [downloaded.find(base) for base in places]
    tars = _distinct([tar for there, _ in found for tar in there])
    problems = [problem for _, there in found for problem in there]
    if len(tars) > MOST_TARS:
        problems.append(_too_many(root, tars))
    trees = list({p.resolve(): p for base in places for p in extracted.find(base)}.values())
    if not tars and not trees:
        for problem in problems:
            raise problem
        return _labelled_layout(root)
    files, notes, old = _metadata([*places, *outer(root)], root)
    lists: dict[Split, ListSource] = {
        split: ListSource(
            files[split], files[split].name == older.NAMES[split] != newer.NAMES[split]
        )
        for split in _SPLITS
        if split in files
    }
    old = old or any("imagenet" in path.parts for path in [*trees, *files.values()])
    return Layout(
        root=root,
        name=_describe(bool(tars), bool(trees), old),
        tars=tuple(tars[:MOST_TARS]),
        trees=tuple(trees),
        lists=lists,
        bag_file=files.get("bags"),
        truth_file=files.get("truth"),
        notes=tuple(notes),
        problems=tuple(problems),
    )


def _labelled_layout(root: Path) -> Layout:
    found = labelled.find(root)
    if found is None:
        raise BagreidError(
            "nothing here looks like an archive",
            path=root,
            remedy=f"Looked for {downloaded.LOOKED_FOR}, {extracted.LOOKED_FOR}, here and below "
            f"SYSU-30k-released/, imagenet/ and data/, and for {labelled.LOOKED_FOR} of the "
            "labelled sets",
        )
    return Layout(
        root=found.root,
        name=f"{found.title}, as published",
        tars=(),
        trees=found.folders,
        lists={},
        bag_file=None,
        truth_file=None,
        notes=(),
        labelled=found,
    )


def _distinct(tars: list[TarSource]) -> list[TarSource]:
    """Each tar once; train before test, so that shard numbers follow the order of reading."""
    once: dict[Path, TarSource] = {}
    for tar in tars:
        once.setdefault(tar.path.resolve(), tar)
    return sorted(once.values(), key=lambda tar: tar.side == "test")


def _too_many(root: Path, tars: list[TarSource]) -> BagreidError:
    return BagreidError(
        f"{len(tars):,} tars are too many (at most {MOST_TARS:,})",
        path=root,
        remedy="Join them into larger ones",
    )


def _metadata(places: list[Path], root: Path) -> tuple[dict[str, Path], list[str], bool]:
    """The file of each role: newest names first, then from the outside in."""
    files: dict[str, Path] = {}
    notes: list[str] = []
    old = False
    for role, name in newer.NAMES.items():
        names = dict.fromkeys([name, older.NAMES.get(role, name)])
        there = [
            folder / spelled
            for spelled in names
            for base in places
            for folder in (base, base / "meta")
            if (folder / spelled).is_file()
        ]
        there = list({path.resolve(): path for path in reversed(there)}.values())[::-1]
        if there:
            files[role] = there[0]
            old = old or there[0].name != name
        if len(there) > 1:
            unused = ", ".join(relative(path, root) for path in there[1:])
            notes.append(f"{role}: {relative(there[0], root)} is used, {unused} left aside")
    return files, notes, old


def relative(path: Path, root: Path) -> str:
    """A path as messages show it.

    Args:
        path: A file.
        root: The archive.

    Returns:
        The path below `root` where it lies there, else the whole path.
    """
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _describe(tars: bool, trees: bool, old: bool) -> str:
    images = "tars and extracted files" if tars and trees else "tars" if tars else "extracted files"
    return f"{images}, names of the {'older' if old else 'newer'} README"
