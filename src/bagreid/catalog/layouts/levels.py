"""The folders at which an archive may begin, whichever of its levels a user points at."""

from __future__ import annotations

from pathlib import Path

LEVELS = frozenset({"sysu-30k-released", "imagenet", "data"})
"""Folder names (in any case) that hold an archive one level further down."""

_DEPTH = 3


def bases(root: Path) -> list[Path]:
    """Where images may lie, from the outside in.

    Args:
        root: The folder the user named; links are followed.

    Returns:
        `root` and, up to three levels down, its folders called as in `LEVELS`; none twice.
    """
    found = [root]
    level = [root]
    for _ in range(_DEPTH):
        level = [
            child
            for parent in level
            for child in sorted(parent.iterdir())
            if child.name.lower() in LEVELS and child.is_dir()
        ]
        found += level
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def outer(root: Path) -> list[Path]:
    """The folder around `root`, if `root` is an inner level: its lists may lie out there.

    Args:
        root: The folder the user named.

    Returns:
        At most two folders: the parent by the name given, and by the name behind a link.
    """
    spellings = {root.absolute(), root.resolve()}
    return sorted({path.parent for path in spellings if path.name.lower() in LEVELS - {"data"}})
