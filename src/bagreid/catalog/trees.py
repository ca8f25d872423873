"""Extracted images: folders of loose files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bagreid.catalog.layouts import Layout
from bagreid.catalog.members import BuildProgress
from bagreid.catalog.pieces import Piece, loose_piece
from bagreid.contracts import BagreidError


@dataclass(frozen=True, slots=True, eq=False)
class LooseFolder:
    """The files of one folder.

    Attributes:
        names: Their paths below the root, images or not.
        piece: What they are.
        unreadable: Files that could not even be looked at.
    """

    names: pa.LargeStringArray
    piece: Piece
    unreadable: tuple[BagreidError, ...]


def read_trees(layout: Layout, progress: BuildProgress | None) -> Iterator[LooseFolder]:
    """Reads the extracted folders of an archive.

    Args:
        layout: Where they lie.
        progress: Told how far it is.

    Yields:
        One part a directory, so that no million of Python strings is ever held.
    """
    number = 0
    for tree in layout.trees:
        seen = 0
        for directory in directories_below(tree):
            names, sizes, unreadable = files_in(directory, layout.root)
            if not names and not unreadable:
                continue
            array = pa.array(names, pa.large_string())
            piece = loose_piece(array, number, np.array(sizes, np.int64))
            number += len(names)
            seen += len(names)
            if progress is not None:
                progress(tree, seen, 0, 0)
            yield LooseFolder(array, piece, tuple(unreadable))


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


def files_in(directory: Path, root: Path) -> tuple[list[str], list[int], list[BagreidError]]:
    """The files of one folder, sorted by name.

    Args:
        directory: The folder.
        root: The archive.

    Returns:
        Their paths below `root`, their bytes, and a problem for each that cannot be looked at.
    """
    before = directory.relative_to(root).as_posix()
    names, sizes, unreadable = [], [], []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                continue
            try:
                sizes.append(entry.stat().st_size)
            except OSError as error:
                unreadable.append(_unreadable(entry.path, error))
                continue
            names.append(f"{before}/{entry.name}")
    return names, sizes, unreadable


def _unreadable(path: str, error: OSError) -> BagreidError:
    return BagreidError(
        f"cannot be read ({error.strerror})",
        path=path,
        remedy="Remove the broken link, or put the file back",
    )
