"""What the filter "same identity and same camera" takes away, and how people are told.

Shape letters: Q queries, S pairs left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bagreid.contracts import BagreidError, IntArray
from bagreid.evaluation.relations import Relations

MOST_CAMERAS = 4
"""Cameras that a message names."""

Label = Callable[[int], str]
"""How an identity or a camera is called, by its number."""


def lost_queries(relations: Relations) -> IntArray:
    """Queries whose every match is by their own camera.

    Args:
        relations: The pairs.

    Returns:
        ``(n,)`` int64, ascending rows of the queries that the filter leaves without a match.
    """
    return np.setdiff1d(relations.same_camera_query, relations.match_query)


def demand_a_match(
    relations: Relations, query_camid: IntArray, label: Label = str, path: Path | None = None
) -> None:
    """Says why there is nothing to find.

    Args:
        relations: The pairs.
        query_camid: ``(Q,)`` int64 cameras of the queries.
        label: How a camera is called.
        path: The file of the queries, where there is one.

    Raises:
        BagreidError: When no query has a match.
    """
    if len(relations.match_query):
        return
    filtered = len(relations.same_camera_query)
    if filtered:
        where = _cameras(query_camid[relations.same_camera_query], label)
        raise BagreidError(
            f"no query has a match: all {filtered:,} pairs of the same identity, of "
            f"{len(lost_queries(relations)):,} queries, also have the same camera ({where}) and "
            "are left out",
            path=path,
            remedy="Check the cameras: query and gallery must be taken by different ones; where "
            "there is but one camera, bagreid evaluate --ignore-cameras keeps such pairs",
        )
    raise BagreidError(
        f"no query has a match: none of the {len(query_camid):,} queries' identities is in the "
        "gallery",
        path=path,
        remedy="Check that query and gallery come from the same set and the identities were read "
        "right",
    )


def _cameras(camid_S: IntArray, label: Label) -> str:
    """The cameras of the pairs, those of most pairs first: ``camera 1: 12 pairs, …``."""
    cameras, pairs = np.unique(camid_S, return_counts=True)
    order = np.argsort(-pairs, kind="stable")
    words = [f"camera {label(int(cameras[at]))}: {pairs[at]:,}" for at in order[:MOST_CAMERAS]]
    rest = len(cameras) - MOST_CAMERAS
    return ", ".join(words) + (f" and {rest:,} cameras more" if rest > 0 else "")
