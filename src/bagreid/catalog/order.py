"""Pieces put together: each image once, train images by folder, then queries, then gallery.

Shape letters: M images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bagreid.catalog.members import Members
from bagreid.catalog.pieces import Piece


def join_pieces(pieces: Sequence[Piece], shards: Sequence[int]) -> tuple[Members, list[str]]:
    """One piece after another.

    Args:
        pieces: What each file holds.
        shards: The shard number of each.

    Returns:
        `M` images in the order of the pieces, `group` of train images counting in the second
        value: all train folders, in the order met.
    """
    met: dict[str, int] = {}
    parts = [Members.empty()]
    for piece, shard in zip(pieces, shards, strict=True):
        number = [met.setdefault(name, len(met)) for name in piece.folders]
        train = piece.split == 0
        group = piece.group.copy()
        group[train] = np.array(number, np.int32)[group[train]] if number else 0
        parts.append(
            Members(
                shard=np.full(len(piece), shard, np.uint16),
                block=piece.block,
                size=piece.size,
                split=piece.split,
                group=group,
                camera=piece.camera,
                key=piece.key,
            )
        )
    return Members.join(parts), list(met)


def drop_duplicates(members: Members) -> tuple[Members, int]:
    """Keeps the first of images that have the same split and name.

    Args:
        members: Images in the order in which the first wins.

    Returns:
        Each image once; and how many went.
    """
    key = members.key ^ members.split.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    _, first = np.unique(key, return_index=True)
    if len(first) < len(members):
        return members.take(np.sort(first)), len(members) - len(first)
    return members, 0


def sort_by_folder(members: Members, met: Sequence[str]) -> tuple[Members, list[str]]:
    """Brings the rows into the catalog's order.

    Args:
        members: Images whose `group`, for train images, counts in `met`.
        met: Train folders in any order.

    Returns:
        Train rows by (folder, shard, offset), then query, then gallery rows as they came; and
        the names of the folders that hold images, by number: `group` counts in them.
    """
    used = np.unique(members.group[members.split == 0])
    order = sorted(used.tolist(), key=lambda number: _folder_key(met[number]))
    rank = np.zeros(len(met), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    train = members.split == 0
    members.group[train] = rank[members.group[train]]
    # Test rows keep their order of reading; stable sorting keeps (shard, offset) inside a folder.
    place = np.where(train, members.group, len(order) + members.split.astype(np.int64))
    return members.take(np.argsort(place, kind="stable")), [met[number] for number in order]


def _folder_key(name: str) -> tuple[bool, int, str]:
    """Folders by number, as windows of neighbours need it; others behind them by name."""
    number = name.isascii() and name.isdigit()
    return not number, int(name) if number else 0, name
