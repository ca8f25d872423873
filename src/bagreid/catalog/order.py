"""Pieces put together: each image once, train images by folder, then queries, then gallery.

Sized for 30 million images: 25 bytes each for the columns, and no step needs more than half as
much again. Shape letters: M images, D images that came before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bagreid.catalog.members import Members
from bagreid.catalog.names import Hashes
from bagreid.catalog.pieces import Piece
from bagreid.contracts import IntArray

_PIECE = 1 << 20
_SPLIT = np.uint64(0x9E3779B97F4A7C15)


def join_pieces(pieces: list[Piece], shards: Sequence[int]) -> tuple[Members, list[str]]:
    """One piece after another.

    Args:
        pieces: What each file holds; the list is empty afterwards, so that each piece can go as
            soon as it is joined.
        shards: The shard number of each.

    Returns:
        `M` images in the order of the pieces, `group` of train images counting in the second
        value: all train folders, in the order met.
    """
    met: dict[str, int] = {}
    members = Members.room(sum(map(len, pieces)))
    start = 0
    pieces.reverse()
    for shard in shards:
        piece = pieces.pop()
        rows = slice(start, start + len(piece))
        number = np.array([met.setdefault(name, len(met)) for name in piece.folders], np.int32)
        members.shard[rows] = shard
        members.block[rows] = piece.block
        members.size[rows] = piece.size
        members.split[rows] = piece.split
        members.camera[rows] = piece.camera
        members.key[rows] = piece.key
        members.group[rows] = piece.group
        train = np.flatnonzero(piece.split == 0)
        members.group[start + train] = number[piece.group[train]]
        start += len(piece)
    return members, list(met)


def drop_duplicates(members: Members) -> Members:
    """Keeps the first of images that have the same split and name.

    Args:
        members: Images in the order in which the first wins; each is there once afterwards.

    Returns:
        The images dropped, and before each the one that was kept instead: rows 0, 2, 4 … are
        kept and rows 1, 3, 5 … dropped, in the order of the dropped ones.
    """
    name = members.key ^ members.split.astype(np.uint64) * _SPLIT
    repeated = _repeated(name)
    if not len(repeated):
        return Members.empty()
    row = np.concatenate(
        [
            start + np.flatnonzero(_is_in(name[start : start + _PIECE], repeated))
            for start in range(0, len(name), _PIECE)
        ]
    )
    row = row[np.argsort(name[row], kind="stable")]
    first = np.ones(len(row), np.bool_)
    np.not_equal(name[row[1:]], name[row[:-1]], out=first[1:])
    kept_D = row[np.flatnonzero(first)[np.cumsum(first) - 1]][~first]
    dropped_D = row[~first]
    by_place = np.argsort(dropped_D)
    pairs = members.take(np.stack([kept_D, dropped_D], axis=1)[by_place].reshape(-1))
    stay = np.ones(len(members), np.bool_)
    stay[dropped_D] = False
    members.keep(stay)
    return pairs


def _repeated(name: Hashes) -> Hashes:
    """The distinct values that occur more than once, ascending."""
    ordered = np.sort(name)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _is_in(name: Hashes, ordered: Hashes) -> npt.NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(ordered, name), len(ordered) - 1)
    found: npt.NDArray[np.bool_] = ordered[at] == name
    return found


def sort_by_folder(members: Members, met: Sequence[str]) -> list[str]:
    """Brings the rows into the catalog's order: train by folder, then query, then gallery.

    Inside a folder they stay by shard and offset; test rows stay as they came.

    Args:
        members: Images whose `group`, for train images, counts in `met`; it counts in the result
            afterwards.
        met: Train folders in any order.

    Returns:
        The names of the folders that hold images, by number.
    """
    train = members.split == 0
    used = np.zeros(len(met), np.bool_)
    used[members.group[train]] = True
    order = sorted(np.flatnonzero(used).tolist(), key=lambda number: _folder_key(met[number]))
    rank = np.zeros(len(met), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    members.group[train] = rank[members.group[train]]
    place = np.where(train, members.group, np.int32(len(order)) + members.split)
    if (place[1:] < place[:-1]).any():
        members.reorder(np.argsort(place, kind="stable"))
    return [met[number] for number in order]


def sort_rows(members: Members, rows: range, place: IntArray) -> None:
    """Sorts some neighbouring rows.

    Args:
        members: All images.
        rows: Which of them.
        place: For each of these rows where it should come; equal ones stay as they are.
    """
    order = np.argsort(place, kind="stable")
    for column in members.columns():
        piece = column[rows.start : rows.stop]
        piece[:] = piece[order]


def _folder_key(name: str) -> tuple[bool, int, str]:
    """Folders by number, as windows of neighbours need it; others behind them by name."""
    number = name.isascii() and name.isdigit()
    return not number, int(name) if number else 0, name
