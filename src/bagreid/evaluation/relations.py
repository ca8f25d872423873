"""Which gallery images are right answers for a query, and which are left out of its ranking.

Shape letters: Q queries, G gallery images, M pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.contracts import DISTRACTOR_PID, JUNK_PID, BagreidError, IntArray

NONE: IntArray = np.zeros(0, np.int64)
"""No rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """The few pairs that are not simply wrong answers.

    Attributes:
        match_query: ``(M,)`` int64, query of each match (same identity, another camera), ascending.
        match_gallery: ``(M,)`` int64, its gallery row.
        same_camera_query: ``(S,)`` int64, query of each pair left out because identity and camera
            are the same.
        same_camera_gallery: ``(S,)`` int64, its gallery row.
        junk: ``(J,)`` int64, ascending gallery rows left out of every ranking.
        broken_query: ``(X,)`` int64, rows of queries that could not be seen: all their answers
            come last.
        broken_gallery: ``(Y,)`` int64, ascending gallery rows that could not be seen: they come
            behind all others, and a match among them last of all.
    """

    match_query: IntArray
    match_gallery: IntArray
    same_camera_query: IntArray
    same_camera_gallery: IntArray
    junk: IntArray
    broken_query: IntArray
    broken_gallery: IntArray

    def kept(self, query: IntArray, gallery: int) -> IntArray:
        """How many wrong answers stand in the rankings of some queries.

        Args:
            query: ``(n,)`` queries.
            gallery: Gallery images in all.

        Returns:
            ``(n,)`` int64: all images but matches, pairs left out, and junk.
        """
        pairs = np.concatenate([self.match_query, self.same_camera_query])
        count = np.bincount(pairs, minlength=int(query.max(initial=-1)) + 1)
        return gallery - len(self.junk) - count[query]


def relate(
    query_pid: IntArray, query_camid: IntArray, gallery_pid: IntArray, gallery_camid: IntArray
) -> Relations:
    """Finds all pairs of the same identity without a Q × G table.

    Distractors and junk are nobody's match, not even each other's: a query of a negative identity
    has no match.

    Args:
        query_pid: ``(Q,)`` int64.
        query_camid: ``(Q,)`` int64.
        gallery_pid: ``(G,)`` int64.
        gallery_camid: ``(G,)`` int64.

    Returns:
        The pairs, by query, then by gallery row; nothing is broken.
    """
    by_pid = np.argsort(gallery_pid, kind="stable")
    sorted_pid = gallery_pid[by_pid]
    known = query_pid >= 0
    first = np.searchsorted(sorted_pid, query_pid, "left")
    count = np.where(known, np.searchsorted(sorted_pid, query_pid, "right") - first, 0)
    query = np.repeat(np.arange(len(query_pid)), count)
    within = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)
    gallery = by_pid[np.repeat(first, count) + within]
    same = query_camid[query] == gallery_camid[gallery]
    return Relations(
        match_query=query[~same],
        match_gallery=gallery[~same],
        same_camera_query=query[same],
        same_camera_gallery=gallery[same],
        junk=np.flatnonzero(gallery_pid == JUNK_PID),
        broken_query=NONE,
        broken_gallery=NONE,
    )


def earlier(query: IntArray) -> IntArray:
    """How many of the same query stand before each; ``(M,)`` ascending int64 → ``(M,)``."""
    return np.arange(len(query)) - np.searchsorted(query, query, "left")


def checked_ids(values: npt.ArrayLike, name: str, length: int) -> IntArray:
    """Identities or cameras as int64, after a check of type and length.

    Args:
        values: ``(length,)`` whole numbers.
        name: The key of the input, for messages: ``query_pid``.
        length: How many images there are.

    Returns:
        ``(length,)`` int64.

    Raises:
        BagreidError: When the type or the length is wrong, or an identity is negative without
            meaning junk or distractor.
    """
    array = np.asarray(values)
    if array.shape != (length,):
        raise BagreidError(
            f"{name} has shape {array.shape} for {length} images",
            remedy="Give one number an image, in the order of the features",
        )
    if array.dtype.kind not in "iu":
        raise BagreidError(
            f"{name} has type {array.dtype}", remedy="Give whole numbers; number the names first"
        )
    ids = array.astype(np.int64)
    if name.endswith("pid"):
        _check_negative(ids, name)
    return ids


def _check_negative(pids: IntArray, name: str) -> None:
    odd = np.flatnonzero((pids < 0) & (pids != JUNK_PID) & (pids != DISTRACTOR_PID))
    if odd.size:
        raise BagreidError(
            f"{name} holds the identity {pids[odd[0]]}",
            position=f"row {odd[0]}",
            remedy=f"Negative identities are {JUNK_PID} (junk, left out) and "
            f"{DISTRACTOR_PID} (a distractor, always wrong)",
        )
