"""What an archive's test set asks for, and whether it can be asked at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bagreid.contracts import DISTRACTOR_PID, JUNK_PID, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TestProtocol:
    """Counts of a test set.

    Attributes:
        queries: Query images.
        query_identities: Distinct identities among them.
        gallery: Gallery images, junk included.
        matches: Pairs of a query and a gallery image of its identity from another camera.
        queries_without_match: Queries for which there is no such image.
        distractors: Gallery images of nobody asked for.
        junk: Gallery images that are left out of the ranking.
    """

    __test__ = False  # pytest takes any class called Test… for a test

    queries: int
    query_identities: int
    gallery: int
    matches: int
    queries_without_match: int
    distractors: int
    junk: int


def count_protocol(
    query_pid: IntArray, query_camid: IntArray, gallery_pid: IntArray, gallery_camid: IntArray
) -> TestProtocol:
    """Counts what there is to find.

    Args:
        query_pid: `(Q,)` identities of the queries.
        query_camid: `(Q,)` their cameras.
        gallery_pid: `(G,)` identities of the gallery.
        gallery_camid: `(G,)` their cameras.

    Returns:
        The counts; a match needs the same identity (0 or above) and another camera.
    """
    matches = matches_of(query_pid, query_camid, gallery_pid, gallery_camid)
    return TestProtocol(
        queries=len(query_pid),
        query_identities=len(np.unique(query_pid)),
        gallery=len(gallery_pid),
        matches=int(matches.sum()),
        queries_without_match=int((matches == 0).sum()),
        distractors=int((gallery_pid == DISTRACTOR_PID).sum()),
        junk=int((gallery_pid == JUNK_PID).sum()),
    )


def matches_of(
    query_pid: IntArray, query_camid: IntArray, gallery_pid: IntArray, gallery_camid: IntArray
) -> IntArray:
    """How much there is to find for each query.

    Args:
        query_pid: `(Q,)` identities of the queries.
        query_camid: `(Q,)` their cameras.
        gallery_pid: `(G,)` identities of the gallery.
        gallery_camid: `(G,)` their cameras.

    Returns:
        `(Q,)` gallery images of the same identity (0 or above) from another camera.
    """
    same_pid = _count_in(query_pid, gallery_pid)
    both = _count_in(
        query_pid.astype(np.int64) << 16 | query_camid,
        gallery_pid.astype(np.int64) << 16 | gallery_camid,
    )
    return np.where(query_pid >= 0, same_pid - both, 0)


def _count_in(values: IntArray, among: IntArray) -> IntArray:
    """How often each of `values` stands in `among`."""
    ordered = np.sort(among)
    return np.searchsorted(ordered, values, "right") - np.searchsorted(ordered, values, "left")
