"""Images as downloaded: `train/sysu_train_set_all_partN.tar`, `test/sysu_test_set_all.tar`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bagreid.contracts import BagreidError
from bagreid.shards.pointer import is_pointer

LOOKED_FOR = "train/*.tar, test/*.tar, sysu_*_set_all*.tar (or pointers to them, *.tar.url)"

Side = Literal["train", "test"]

_PART = re.compile(r"^(.*part_?)(\d+)(\.tar)$", re.IGNORECASE)

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Endings of tars that cannot be read in place."""


@dataclass(frozen=True, slots=True)
class TarSource:
    """One tar of an archive.

    Attributes:
        path: The file, or a pointer to it (`NAME.tar.url`).
        side: What it should hold by its place: used for members whose paths do not say.
    """

    path: Path
    side: Side


def find(base: Path) -> tuple[list[TarSource], list[BagreidError]]:
    """Finds the tars of an archive that begins at `base`.

    Args:
        base: A folder.

    Returns:
        Train tars by part number, then test tars; and a problem for each part that is missing
        between others and for each tar that lies there compressed only.
    """
    sides: tuple[Side, Side] = ("train", "test")
    found: list[TarSource] = []
    problems: list[BagreidError] = []
    for side in sides:
        inside = base / side
        files = sorted(inside.iterdir()) if inside.is_dir() else []
        files += [
            path for path in sorted(base.iterdir()) if f"sysu_{side}_set" in path.name.lower()
        ]
        there = [path for path in files if _plain(path).endswith(".tar") and not path.is_dir()]
        near = {path for path in there if not is_pointer(path)}
        # A tar that was fetched takes the place of the pointer to it.
        tars = [path for path in there if path in near or path.with_suffix("") not in near]
        problems += [*_packed(files, tars), *_gaps(tars)]
        found += [TarSource(path, side) for path in sorted(tars, key=natural)]
    return found, problems


def natural(path: Path) -> list[tuple[int, str]]:
    """A sort key by which part 2 comes before part 10.

    Args:
        path: A file.

    Returns:
        Its path cut into numbers and texts.
    """
    return [
        (int(piece), "") if piece.isdigit() else (-1, piece)
        for piece in re.split(r"(\d+)", str(path))
    ]


def _plain(path: Path) -> str:
    """The name of a tar, whether it or a pointer to it lies there."""
    return path.name.lower().removesuffix(".url")


def _packed(files: list[Path], tars: list[Path]) -> Iterator[BagreidError]:
    plain = {_plain(path).removesuffix(".tar") for path in tars}
    for path in files:
        for ending in PACKED:
            stem = _plain(path).removesuffix(ending)
            if stem != _plain(path) and stem not in plain:
                yield BagreidError(
                    "the tar is compressed",
                    path=path,
                    remedy="Images are read in place: undo the compression, leave the tar packed",
                )


def _gaps(tars: list[Path]) -> Iterator[BagreidError]:
    parts: dict[tuple[Path, str, str], set[int]] = {}
    for path in tars:
        name = path.stem if is_pointer(path) else path.name
        if match := _PART.match(name):
            key = (path.parent, match[1], match[3])
            parts.setdefault(key, set()).add(int(match[2]))
    for (folder, before, after), numbers in parts.items():
        gaps = sorted(set(range(1, max(numbers))) - numbers)
        if gaps:
            there = ", ".join(map(str, sorted(numbers)))
            yield BagreidError(
                f"the tar is missing, while part{'s' if len(numbers) > 1 else ''} {there} of the "
                f"same set lie beside it (missing in all: {', '.join(map(str, gaps[:10]))})",
                path=folder / f"{before}{gaps[0]}{after}",
                remedy="Fetch it, or rename the later parts to use what is there",
            )
