"""Strongly labelled sets: named as published, dealt out by whole lists, with bags made of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bagreid.catalog.checks import images
from bagreid.catalog.checks.lists import both_ways
from bagreid.catalog.checks.places import told
from bagreid.catalog.checks.verdict import Verdict, all_of, none_of, plural
from bagreid.catalog.protocol import matches_of
from bagreid.catalog.survey import Survey
from bagreid.contracts import DISTRACTOR_PID, JUNK_PID

_REMEDY = "Unpack the set again, or name the images back"


def check_images(survey: Survey, full: bool) -> Iterator[Verdict]:
    """Judges the files.

    Args:
        survey: The set.
        full: Whether it should be the whole set.

    Yields:
        Verdicts.
    """
    yield from images.check(survey, full)
    yield none_of(
        "images.names",
        "images misnamed",
        survey.bad_test_names,
        says=f"of {plural(survey.bad_test_names, 'image')} the name does not say who is seen by "
        "which camera",
        examples=survey.first_bad_test_names,
        remedy=_REMEDY,
    )


def check_lists(survey: Survey, full: bool) -> Iterator[Verdict]:  # noqa: ARG001 - as all checks
    """Judges the lists of a set that has any.

    Args:
        survey: The set.
        full: Of no meaning here.

    Yields:
        Verdicts.
    """
    assert survey.layout is not None
    assert survey.layout.labelled is not None
    if not survey.layout.labelled.lists:
        return
    yield none_of(
        "lists.readable",
        "lists that cannot be read",
        len(survey.list_problems),
        says="a list is no list of paths and people",
        examples=(told(survey, problem) for problem in survey.list_problems),
        remedy=_REMEDY,
    )
    for finding in survey.findings.lists:
        yield from both_ways(finding)


def check_bags(survey: Survey, full: bool) -> Iterator[Verdict]:  # noqa: ARG001 - as all checks
    """Tells of the bags that are made of the train images.

    Args:
        survey: The set.
        full: Of no meaning here.

    Yields:
        Verdicts, none of them bad: the bags are made here.
    """
    assert survey.layout is not None
    made = survey.layout.simulation
    people_B = np.diff(survey.bags.label_offset)
    images_B = np.bincount(survey.members.group[: len(survey.split("train"))].astype(np.int64))
    few, small = (people_B < made.people).sum(), (images_B < made.bag_size).sum()
    for key, what, count in (
        ("bags.simulated", "bags simulated", len(survey.bags)),
        ("bags.people", f"bags of fewer than {plural(made.people, 'person', 'people')}", int(few)),
        ("bags.images", f"bags of fewer than {plural(made.bag_size, 'image')}", int(small)),
    ):
        yield Verdict(key=key, what=what, status="ok", here=count)


def check_test(survey: Survey, full: bool) -> Iterator[Verdict]:  # noqa: ARG001 - as all checks
    """Judges the test set.

    Args:
        survey: The set.
        full: Of no meaning here.

    Yields:
        Verdicts.
    """
    query, gallery = survey.split("query"), survey.split("gallery")
    members = survey.members
    q, g = slice(query.start, query.stop), slice(gallery.start, gallery.stop)
    query_pid, query_camid = members.group[q].astype(np.int64), members.camera[q].astype(np.int64)
    pid, camid = members.group[g].astype(np.int64), members.camera[g].astype(np.int64)
    found = matches_of(query_pid, query_camid, pid, camid)
    lonely = np.flatnonzero((found == 0) & (query_pid >= 0))
    yield all_of(
        "test.matches",
        "queries with a match",
        len(found) - len(lonely),
        len(found),
        says=f"{plural(len(lonely), 'query has', 'queries have')} no gallery image of the same "
        "person by another camera, and leave the standard mean",
        examples=(survey.name(query.start + row) for row in lonely.tolist()),
        otherwise="note",
    )
    nobody = int((query_pid < 0).sum())
    yield none_of(
        "test.nobody",
        "queries of nobody",
        nobody,
        says=f"{plural(nobody, 'query', 'queries')} named as junk or background",
        remedy=_REMEDY,
    )
    for key, what, number in (
        ("test.distractors", "gallery images of nobody asked for", DISTRACTOR_PID),
        ("test.junk", "gallery images that are junk", JUNK_PID),
    ):
        yield Verdict(key=key, what=what, status="ok", here=int((pid == number).sum()))
