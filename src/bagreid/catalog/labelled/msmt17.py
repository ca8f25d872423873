"""MSMT17: `train/0000/0000_000_01_0303morning_0008_0.jpg`, dealt out by lists of paths and people.

The people of the train lists and those of the test lists are both counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bagreid.catalog.findings import FIRST, ListFinding
from bagreid.catalog.labelled.placing import Known, place
from bagreid.catalog.layouts.labelled import IMAGE
from bagreid.catalog.pieces import Oddities
from bagreid.catalog.trees import LooseFolder, directories_below, files_in
from bagreid.contracts import BagreidError, Split

NAME = re.compile(r"[0-9]+_[0-9]+_(?P<camera>[0-9]{1,4})_.+\.jpe?g", re.IGNORECASE | re.ASCII)
"""`<pid>_<number>_<camera>_<time>_…`."""

_LINE = re.compile(r"(?P<path>\S.*\S)\s+(?P<pid>[0-9]{1,9})", re.ASCII)
_LONGEST = 200


@dataclass(slots=True)
class Tree:
    """The files of `train` or of `test`.

    Attributes:
        folder: Which.
        sizes: Path below the folder → bytes, of every image.
        others: Files that are no images by their name.
        unreadable: Files that could not be looked at.
        listed: Paths that some list names.
    """

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    others: int = 0
    unreadable: list[BagreidError] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, folder: Path) -> Tree:
        """Looks at every file below a folder."""
        tree = cls(folder)
        for directory in directories_below(folder):
            names, sizes, unreadable = files_in(directory, folder)
            tree.unreadable += unreadable
            for name, size in zip(names, sizes, strict=True):
                if IMAGE.fullmatch(name.rpartition("/")[2]):
                    tree.sizes[name.removeprefix("./")] = size
                else:
                    tree.others += 1
        return tree

    def unlisted(self) -> list[str]:
        """Images that no list names, sorted."""
        return sorted(self.sizes.keys() - self.listed)


@dataclass(frozen=True, slots=True)
class Placed:
    """What one or two lists say.

    Attributes:
        folder: The images they name and that are there.
        finding: The lists against the images.
        problems: Lists that cannot be read.
    """

    folder: LooseFolder
    finding: ListFinding
    problems: tuple[BagreidError, ...]


def read_split(
    split: Split, lists: Sequence[Path], tree: Tree, root: Path, first: int, *, last: bool
) -> Placed:
    """Reads the images of one split.

    Args:
        split: Which.
        lists: Its lists: two for the train images, one else.
        tree: Where their images lie; it learns which are listed.
        root: The set.
        first: Number of the split's first image among all loose files.
        last: Whether no other list names images of this tree, so that what is unlisted by now
            is so for good.

    Returns:
        The images, in the order of the list for query and gallery.
    """
    lines, problems = _all_lines(lists)
    before = tree.folder.relative_to(root).as_posix()
    images: list[Known] = []
    absent, bad = [], []
    for path, pid in lines.items():
        if path not in tree.sizes:
            absent.append(path)
        elif (match := NAME.fullmatch(path.rpartition("/")[2])) is None:
            bad.append(f"{before}/{path}")
        else:
            images.append(Known(f"{before}/{path}", tree.sizes[path], pid, int(match["camera"])))
    tree.listed |= lines.keys()
    unlisted = tree.unlisted() if last else []
    finding = ListFinding(
        file=", ".join(path.name for path in lists),
        split=split,
        lines=lines.read,
        repeated=lines.read - len(lines),
        absent=len(absent),
        first_absent=tuple(absent[:FIRST]),
        unlisted=len(unlisted),
        first_unlisted=tuple(f"{before}/{name}" for name in unlisted[:FIRST]),
    )
    odd = Oddities(
        not_images=tree.others if last else 0,
        bad_names=len(bad),
        first_bad_names=tuple(bad[:FIRST]),
    )
    folder = place(images, split, first, odd, tree.unreadable if last else ())
    return Placed(folder, finding, tuple(problems))


class Lines(dict[str, int]):
    """Path → person, in the order of the lists; `read` counts the lines, repeated ones too."""

    read = 0


def _all_lines(lists: Sequence[Path]) -> tuple[Lines, list[BagreidError]]:
    lines = Lines()
    problems = []
    for path in lists:
        try:
            for name, pid in _lines(path, lines):
                lines.setdefault(name, pid)
                lines.read += 1
        except BagreidError as error:
            problems.append(error)
    return lines, problems


def _lines(path: Path, known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise BagreidError(f"cannot be read ({error.strerror})", path=path) from error
    except UnicodeDecodeError as error:
        raise BagreidError(
            "the list is no UTF-8 text", path=path, remedy="Unpack the set again"
        ) from error
    for number, line in enumerate(text.splitlines(), 1):
        if not (line := line.strip()):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise _no_line(path, number, f"{line[:_LONGEST]!r} is no path with a person's number")
        name, pid = match["path"].removeprefix("./"), int(match["pid"])
        if known.get(name, pid) != pid:
            raise _no_line(path, number, f"{name} is of person {pid} and of {known[name]}")
        yield name, pid


def _no_line(path: Path, number: int, what: str) -> BagreidError:
    return BagreidError(
        what,
        path=path,
        position=f"line {number}",
        remedy="A list holds one image a line, such as "
        "0000/0000_000_01_0303morning_0008_0.jpg 0: unpack the set again",
    )
