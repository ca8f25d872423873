"""All files of a strongly labelled set."""

from __future__ import annotations

from dataclasses import dataclass

from bagreid.catalog.findings import ListFinding
from bagreid.catalog.labelled import market, msmt17
from bagreid.catalog.layouts.labelled import LabelledSet
from bagreid.catalog.members import SPLITS, BuildProgress
from bagreid.catalog.trees import LooseFolder
from bagreid.contracts import BagreidError


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFiles:
    """What the folders and lists of a set hold.

    Attributes:
        folders: The images of each split; a train folder is a person, called by its number.
        lists: The lists against the images.
        problems: Lists that cannot be read.
        notes: What was chosen or left out.
    """

    folders: list[LooseFolder]
    lists: tuple[ListFinding, ...] = ()
    problems: tuple[BagreidError, ...] = ()
    notes: tuple[str, ...] = ()


def read_labelled(found: LabelledSet, progress: BuildProgress | None = None) -> LabelledFiles:
    """Reads a set, opening none of its images.

    Args:
        found: Where it lies.
        progress: Told how far it is.

    Returns:
        Its images.
    """
    return _msmt17(found, progress) if found.lists else _market(found, progress)


def _market(found: LabelledSet, progress: BuildProgress | None) -> LabelledFiles:
    folders: list[LooseFolder] = []
    first = nobody = 0
    for split, path in zip(SPLITS, (found.train, found.query, found.gallery), strict=True):
        folder, left_out = market.read_folder(path, found.root, split, first)
        first += len(folder.names)
        nobody += left_out
        folders.append(folder)
        if progress is not None:
            progress(path, len(folder.names), 0, 0)
    left = "train images of nobody (junk or background, -1 or 0000) are left out"
    return LabelledFiles(folders=folders, notes=(f"{nobody:,} {left}",) if nobody else ())


def _msmt17(found: LabelledSet, progress: BuildProgress | None) -> LabelledFiles:
    train, val, query, gallery = found.lists
    trees = {path: msmt17.Tree.read(path) for path in found.folders}
    parts = (
        (SPLITS[0], (train, val), found.train),
        (SPLITS[1], (query,), found.query),
        (SPLITS[2], (gallery,), found.gallery),
    )
    placed: list[msmt17.Placed] = []
    first = 0
    for split, lists, path in parts:
        part = msmt17.read_split(
            split, lists, trees[path], found.root, first, last=split != "query"
        )
        first += len(part.folder.names)
        placed.append(part)
        if progress is not None:
            progress(path, len(part.folder.names), 0, 0)
    return LabelledFiles(
        folders=[part.folder for part in placed],
        lists=tuple(part.finding for part in placed),
        problems=tuple(problem for part in placed for problem in part.problems),
        notes=("the images of list_train.txt and list_val.txt are the train images",),
    )
