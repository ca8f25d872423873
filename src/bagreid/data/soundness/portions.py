"""Portions: images of one file that are read and decoded together.

Shape letters: M images of the archive, N images of a portion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.survey import Survey
from bagreid.contracts import IntArray

PORTION = 1024
"""Images of a portion: a quarter of a second's work of one core, and a line of the journal."""


@dataclass(frozen=True, slots=True, eq=False)
class Portion:
    """Some images of one file, in the order in which they lie there.

    Attributes:
        key: Names file, state and images: it stays the same while all of them do.
        path: The tar; the root where the images are loose files.
        row: `(N,)` int64 rows of the survey.
        block: `(N,)` uint32 offsets in blocks of 512 bytes; numbers of loose files.
        size: `(N,)` uint32 bytes.
        loose: The files' names below the root; None where they lie in a tar.
    """

    key: str
    path: Path
    row: IntArray
    block: npt.NDArray[np.uint32]
    size: npt.NDArray[np.uint32]
    loose: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.row)


def cut(survey: Survey, rows: IntArray | None) -> Iterator[Portion]:
    """Cuts images into portions.

    Args:
        survey: The archive.
        rows: Which images; None takes all of them.

    Yields:
        Portions, file by file.
    """
    shard = survey.members.shard if rows is None else survey.members.shard[rows]
    order = np.argsort(shard, kind="stable")
    names = pa.chunked_array(survey.loose, pa.large_string())
    start = 0
    for number, images in enumerate(np.bincount(shard).tolist()):
        here = order[start : start + images]
        yield from _of_file(survey, number, here if rows is None else rows[here], names)
        start += images


def _of_file(
    survey: Survey, number: int, row: IntArray, names: pa.ChunkedArray
) -> Iterator[Portion]:
    members = survey.members
    row = row[np.argsort(members.block[row], kind="stable")]
    for start in range(0, len(row), PORTION):
        part = row[start : start + PORTION]
        block, size = members.block[part], members.size[part]
        if number < len(survey.tars):
            yield _of_tar(survey, number, part, block, size)
        else:
            some = tuple(names.take(pa.array(block)).to_pylist())
            yield _of_files(survey, part, block, size, some)


def _of_tar(
    survey: Survey,
    number: int,
    row: IntArray,
    block: npt.NDArray[np.uint32],
    size: npt.NDArray[np.uint32],
) -> Portion:
    tar = survey.tars[number]
    assert tar.state is not None, "images come from tars that could be read"
    state = ".".join(map(str, tar.state))
    key = f"{relative(tar.path, survey.root)} {state} {block[0]}-{block[-1]} {len(block)}"
    return Portion(key, tar.path, row, block, size, None)


def _of_files(
    survey: Survey,
    row: IntArray,
    block: npt.NDArray[np.uint32],
    size: npt.NDArray[np.uint32],
    names: tuple[str, ...],
) -> Portion:
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0{_changed(survey.root / name)}\n".encode())
    return Portion(f"files {digest.hexdigest()[:32]}", survey.root, row, block, size, names)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # reading it says more
        return 0
