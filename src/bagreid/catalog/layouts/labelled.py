"""Strongly labelled sets in their published layouts: whoever is on an image, its name says so.

Market-1501's form, which DukeMTMC-reID, CUHK03 (new protocol) and many others follow, has three
folders of images; MSMT17 has two, and four lists that deal their images out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bagreid.contracts import BagreidError

SetKey = Literal["market1501", "dukemtmc", "msmt17", "cuhk03", "other"]

TITLES: dict[SetKey, str] = {
    "market1501": "Market-1501",
    "dukemtmc": "DukeMTMC-reID",
    "msmt17": "MSMT17",
    "cuhk03": "CUHK03 (new protocol)",
    "other": "a set in Market-1501's layout",
}

MARKET_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
"""Of train, query and gallery images."""

MSMT17_LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
MSMT17_FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
"""Of its first version and of its second, in which faces are blurred."""

LOOKED_FOR = "bounding_box_train/, list_train.txt"

IMAGE = re.compile(r"(?!\._).+\.(?:jpe?g|png)", re.IGNORECASE)
"""Names of images; `._…` are companions that macOS leaves behind."""

_FORMS: tuple[tuple[SetKey, re.Pattern[str]], ...] = (
    ("market1501", re.compile(r"(?:-1|[0-9]{4})_c[0-9]s[0-9]+_[0-9]+_[0-9]+\.")),
    ("dukemtmc", re.compile(r"[0-9]{4}_c[0-9]_f[0-9]+\.")),
    ("cuhk03", re.compile(r"[0-9]{4}_c[12]_[0-9]+\.(?i:png|jpg)")),
)
_INSIDE = {*MARKET_FOLDERS, *(name for pair in MSMT17_FOLDERS for name in pair)}
_DEPTH = 2
_CROWD = 1000
"""Folders side by side among which nobody keeps data sets: they are not looked into."""
_MATLAB = ("cuhk-03.mat", "cuhk03.mat")


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Where a strongly labelled set lies.

    Attributes:
        key: Which one.
        root: The folder that holds its parts.
        train: Folder of the train images.
        query: Folder of the query images.
        gallery: Folder of the gallery images.
        lists: The four lists of MSMT17, in the order of `MSMT17_LISTS`; empty for all others.
    """

    key: SetKey
    root: Path
    train: Path
    query: Path
    gallery: Path
    lists: tuple[Path, ...] = ()

    @property
    def title(self) -> str:
        """Its name as people know it."""
        return TITLES[self.key]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Its folders of images, each once."""
        return tuple(dict.fromkeys((self.train, self.query, self.gallery)))


def find(root: Path) -> LabelledSet | None:
    """Looks for a strongly labelled set at a folder, in folders inside it, or just around it.

    Args:
        root: What the user named, absolute.

    Returns:
        Where it lies; None where there is no sign of one.

    Raises:
        BagreidError: Several sets lie there, a part of the set is missing, or there is CUHK03 as
            one MATLAB file only.
    """
    for level in _levels(root):
        sets = [folder for folder in level if _is_market(folder) or _is_msmt17(folder)]
        found = list({folder.resolve(): folder for folder in reversed(sets)}.values())[::-1]
        if len(found) > 1:
            raise _several(root, found)
        if found:
            return _market(found[0]) if _is_market(found[0]) else _msmt17(found[0])
    for folder in (folder for level in _levels(root) for folder in level):
        for name in _MATLAB:
            if (folder / name).is_file():
                raise _matlab(folder / name)
    return None


def _levels(root: Path) -> Iterator[list[Path]]:
    """`root`, the folder around it where `root` may be a part, then the folders in it, two deep."""
    level = [root]
    yield level
    if root.name in _INSIDE:
        yield [root.parent]
    for _ in range(_DEPTH):
        if len(level) > _CROWD:
            return
        level = [Path(entry.path) for folder in level for entry in _folders_in(folder)]
        yield level


def _folders_in(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            there = [entry for entry in entries if entry.is_dir() and entry.name[0] != "."]
    except OSError:
        return []
    return sorted(there, key=lambda entry: entry.name)


def _is_market(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in MARKET_FOLDERS if name != "query")


def _is_msmt17(folder: Path) -> bool:
    lists = sum((folder / name).is_file() for name in MSMT17_LISTS)
    images = any((folder / name).is_dir() for pair in MSMT17_FOLDERS for name in pair)
    return lists > 1 or (images and (lists > 0 or "msmt17" in folder.name.lower()))


def _market(root: Path) -> LabelledSet:
    train, query, gallery = (root / name for name in MARKET_FOLDERS)
    for folder in (train, query, gallery):
        if not folder.is_dir():
            raise _missing(folder, "folder", f"{', '.join(MARKET_FOLDERS)} belong together")
    return LabelledSet(_recognise((train, query, gallery)), root, train, query, gallery)


def _recognise(folders: tuple[Path, ...]) -> SetKey:
    """Which set it is by the form of its first image's name."""
    for folder in folders:
        with os.scandir(folder) as entries:
            first = min((e.name for e in entries if IMAGE.fullmatch(e.name)), default=None)
        if first is not None:
            return next((key for key, form in _FORMS if form.match(first)), "other")
    return "other"


def _msmt17(root: Path) -> LabelledSet:
    pair = next(
        (pair for pair in MSMT17_FOLDERS if any((root / name).is_dir() for name in pair)),
        MSMT17_FOLDERS[0],
    )
    train, test = (root / name for name in pair)
    for folder in (train, test):
        if not folder.is_dir():
            raise _missing(folder, "folder", f"MSMT17 has {pair[0]} and {pair[1]}")
    lists = tuple(root / name for name in MSMT17_LISTS)
    for path in lists:
        if not path.is_file():
            raise _missing(path, "list", f"MSMT17 has {', '.join(MSMT17_LISTS)}")
    return LabelledSet("msmt17", root, train, test, test, lists)


def _missing(path: Path, what: str, together: str) -> BagreidError:
    return BagreidError(
        f"the {what} is missing",
        path=path,
        remedy=f"{together}: put it back, or unpack the set again",
    )


def _several(root: Path, found: list[Path]) -> BagreidError:
    listed = ", ".join(folder.relative_to(root).as_posix() for folder in found[:6])
    return BagreidError(
        f"{len(found)} data sets lie here: {listed}",
        path=root,
        remedy=f"Name one of them, such as {found[-1]}",
    )


def _matlab(path: Path) -> BagreidError:
    return BagreidError(
        "CUHK03 as one MATLAB file is not read",
        path=path,
        remedy="Take its images in the new protocol, CUHK03-NP: a folder labeled or detected with "
        f"{', '.join(MARKET_FOLDERS)} in it, and images named like 0001_c1_1.png",
    )
