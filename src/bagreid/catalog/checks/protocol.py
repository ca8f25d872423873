"""The test set: every query has exactly one match, seen by another camera.

Shape letters: Q queries, G gallery images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bagreid.catalog.checks.verdict import Verdict, all_of, none_of, plural
from bagreid.catalog.protocol import matches_of
from bagreid.catalog.published import PUBLISHED
from bagreid.catalog.survey import Survey
from bagreid.contracts import DISTRACTOR_PID, JUNK_PID, IntArray

_MOST = 0.5
_REMEDY = (
    "Names say who is seen by which camera, <pid>_c<camera>_<n>.jpg, with camera 2 for queries and "
    "1 for the gallery: fetch the test tar again, or name the images back"
)


def check(survey: Survey, full: bool) -> Iterator[Verdict]:
    """Judges the test set.

    Args:
        survey: The archive.
        full: Whether it should be the whole of SYSU-30k.

    Yields:
        Verdicts.
    """
    yield none_of(
        "test.names",
        "test images misnamed",
        survey.bad_test_names,
        says=f"{plural(survey.bad_test_names, 'test image')} left out, for names must say who is "
        "seen by which camera",
        examples=survey.first_bad_test_names,
        remedy=_REMEDY,
    )
    query, gallery = survey.split("query"), survey.split("gallery")
    if not query and not gallery:
        yield _nothing(full)
        return
    members = survey.members
    q, g = slice(query.start, query.stop), slice(gallery.start, gallery.stop)
    query_pid, query_camid = members.group[q].astype(np.int64), members.camera[q].astype(np.int64)
    pid, camid = members.group[g].astype(np.int64), members.camera[g].astype(np.int64)
    found = matches_of(query_pid, query_camid, pid, camid)
    yield from _matches(survey, query, found)
    yield from _cameras(survey, query_camid, camid, full)
    nobody = int((query_pid < 0).sum())
    yield none_of(
        "test.nobody",
        "queries of nobody",
        nobody,
        says=f"{plural(nobody, 'query', 'queries')} named as distractor or junk",
        remedy=_REMEDY,
    )
    yield _others(query_pid, query_camid, pid, camid, full)


def _nothing(full: bool) -> Verdict:
    expected = PUBLISHED["query images"] + PUBLISHED["gallery images"]
    return Verdict(
        key="test.images",
        what="test images",
        status="bad" if full else "note",
        here=0,
        expected=expected if full else None,
        says="there is no test set, so nothing to evaluate on",
        remedy="Fetch test/sysu_test_set_all.tar",
    )


def _matches(survey: Survey, query: range, found: IntArray) -> Iterator[Verdict]:
    def names(wrong: IntArray) -> Iterator[str]:
        for row in wrong.tolist():
            name = survey.name(query.start + row)
            yield f"{name} ({plural(int(found[row]), 'match', 'matches')})"

    none, many = np.flatnonzero(found == 0), np.flatnonzero(found > 1)
    one = len(found) - len(none) - len(many)
    yield all_of(
        "test.matches",
        "queries with a match",
        len(found) - len(none),
        len(found),
        says=f"{plural(len(none), 'query has', 'queries have')} no gallery image of the same "
        "person by another camera",
        examples=names(none),
        remedy=_REMEDY,
    )
    single = one >= _MOST * (one + len(many))
    yield none_of(
        "test.several",
        "queries with several matches",
        len(many),
        says="the protocol has one match a query"
        if single
        else "this test set has several matches a query, unlike SYSU-30k's",
        examples=names(many),
        remedy=_REMEDY if single else "",
        otherwise="bad" if single else "note",
    )


def _cameras(
    survey: Survey, query_camid: IntArray, camid: IntArray, full: bool
) -> Iterator[Verdict]:
    """Gallery images by a query's camera: those of the same person are never counted."""
    gallery = survey.split("gallery")
    shared = np.flatnonzero(np.isin(camid, np.unique(query_camid)))
    apart = len(shared) < _MOST * max(len(camid), 1)
    cameras = ", ".join(map(str, np.unique(query_camid)[:10].tolist()))
    yield none_of(
        "test.cameras",
        "gallery images by a query camera",
        len(shared),
        says=f"{plural(len(shared), 'gallery image')} by a camera of the queries ({cameras})"
        + ("" if apart else ", as in test sets of one set of cameras"),
        examples=(survey.name(gallery.start + row) for row in shared[:10].tolist()),
        remedy=_REMEDY if apart else "",
        otherwise="bad" if apart else "note",
    )
    if full:
        wrong = int((query_camid != 2).sum()) + int((camid != 1).sum())
        yield none_of(
            "test.camera_numbers",
            "test images by an odd camera",
            wrong,
            says="SYSU-30k's queries are by camera 2 and its gallery by camera 1",
            remedy=_REMEDY,
        )


def _others(
    query_pid: IntArray, query_camid: IntArray, pid: IntArray, camid: IntArray, full: bool
) -> Verdict:
    """Gallery images that are nobody's match: the wrong answers."""
    matched = matches_of(pid, camid, query_pid, query_camid) > 0
    others = int((~matched).sum())
    junk, nobody = int((pid == JUNK_PID).sum()), int((pid == DISTRACTOR_PID).sum())
    published = PUBLISHED["gallery images"] - PUBLISHED["matches"]
    return Verdict(
        key="test.others",
        what="gallery images that match no query",
        status="bad" if full and others != published else "ok",
        here=others,
        expected=published if full else None,
        published=published,
        says=f"{nobody:,} named as distractors, {junk:,} as junk, "
        f"{others - nobody - junk:,} of further people",
        remedy="Fetch the test tar again" if full and others != published else "",
    )
