"""The same queries in two evaluations: joined by name, else by row, else by place, or refused.

Shape letters: Q queries.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bagreid.contracts import BagreidError, IntArray
from bagreid.report.comparison.entries import Entry
from bagreid.report.results import Evaluation, QueryResult
from bagreid.report.wording import count

By = Literal["name", "row", "place"]
_GENERATED = re.compile(r"query \d+")
_COUNTS = ("gallery", "distractors", "junk", "matches", "same_camera")


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Places of the same queries in two files.

    Attributes:
        first: ``(Q,)`` int64 places in the first file.
        second: ``(Q,)`` int64 places in the second.
        by: What the queries were recognised by.
    """

    first: IntArray
    second: IntArray
    by: By


def join(first: Entry, second: Entry) -> Joined:
    """Finds the same queries in two evaluations of the same test.

    Queries have names; features from elsewhere have none, and are named after their place. So
    they are joined by name, else by catalog row, else, where one file has made-up names, by place;
    identity, camera and wrong answers of every pair must agree.

    Args:
        first: One evaluation.
        second: Another.

    Returns:
        Their queries in an order that does not depend on which is the first.

    Raises:
        BagreidError: When convention, rule of ties, gallery or queries differ; says which and how.
    """
    _same_test(first, second)
    one, other = first.evaluation.queries, second.evaluation.queries
    joined = (
        _by_key("name", [q.name for q in one], [q.name for q in other])
        or _by_key("row", [q.row for q in one], [q.row for q in other])
        or _by_place(one, other)
    )
    if joined is None:
        raise _other_queries(first, second)
    for a, b in zip(joined.first.tolist(), joined.second.tolist(), strict=True):
        _same_query(first, second, one[a], other[b])
    return joined


def _same_test(first: Entry, second: Entry) -> None:
    one, other = first.evaluation, second.evaluation
    pairs: list[tuple[str, object, object]] = [
        ("convention", one.convention, other.convention),
        ("rule of ties", one.ties, other.ties),
        ("treatment of cameras", _cameras(one), _cameras(other)),
    ]
    for key in _COUNTS:
        if key in one.counts and key in other.counts:
            what = "gallery images" if key == "gallery" else key.replace("_", "-")
            pairs.append((f"number of {what}", one.counts[key], other.counts[key]))
    if one.gallery_digest and other.gallery_digest:
        pairs.append(("gallery's people and cameras", one.gallery_digest, other.gallery_digest))
    for what, here, there in pairs:
        if here != there:
            raise _differ(first, second, what, here, there)


def _differ(first: Entry, second: Entry, what: str, here: object, there: object) -> BagreidError:
    return BagreidError(
        f"cannot be compared with {first.path}: the {what} differs, {_told(there)} here and "
        f"{_told(here)} there",
        path=second.path,
        remedy="Evaluate both on the same test, or set them side by side with --unpaired",
    )


def _cameras(evaluation: Evaluation) -> str:
    return "filtered" if evaluation.camera_filter else "ignored"


def _told(value: object) -> str:
    return count(value) if isinstance(value, int) else str(value)


def _by_key(by: By, one: Sequence[Any], other: Sequence[Any]) -> Joined | None:
    """Joins where each key stands once in each file, and none is absent."""
    if None in one or None in other:
        return None
    places = {key: place for place, key in enumerate(other)}
    if not len(set(one)) == len(one) == len(other) == len(places) or set(one) != set(places):
        return None
    order = sorted(range(len(one)), key=one.__getitem__)
    second = [places[one[place]] for place in order]
    return Joined(np.array(order, np.int64), np.array(second, np.int64), by)


def _by_place(one: Sequence[QueryResult], other: Sequence[QueryResult]) -> Joined | None:
    """Joins where one file's names only say the place, or both hold the same names in order."""
    alike = [q.name for q in one] == [q.name for q in other]
    if len(one) != len(other) or not (alike or _generated(one) or _generated(other)):
        return None
    order = np.arange(len(one), dtype=np.int64)
    return Joined(order, order, "place")


def _generated(queries: Sequence[QueryResult]) -> bool:
    return all(query.row is None and _GENERATED.fullmatch(query.name) for query in queries)


def _other_queries(first: Entry, second: Entry) -> BagreidError:
    one = [query.name for query in first.evaluation.queries]
    other = [query.name for query in second.evaluation.queries]
    parts = []
    for names, here, there in ((one, set(other), first.path), (other, set(one), second.path)):
        only = [name for name in names if name not in here]
        if only:
            parts.append(f"{count(len(only))} only in {there} ({only[0]})")
    if not parts:
        parts.append("some names stand several times, and without rows nothing tells them apart")
    return BagreidError(
        f"cannot be compared with {first.path}: the queries differ, {', '.join(parts)}",
        path=second.path,
        remedy="Evaluate both on the same queries, or set them side by side with --unpaired",
    )


def _same_query(first: Entry, second: Entry, one: QueryResult, other: QueryResult) -> None:
    checks: list[tuple[str, object, object]] = [
        ("person", one.pid, other.pid),
        ("camera", one.camid, other.camid),
        ("answer to whether there is a match", one.rank is not None, other.rank is not None),
    ]
    if one.wrong_answers is not None and other.wrong_answers is not None:
        checks.append(("number of wrong answers", one.wrong_answers, other.wrong_answers))
    called = one.name if _GENERATED.fullmatch(one.name) else f"query {one.name}"
    for what, here, there in checks:
        if here != there:
            raise _differ(first, second, f"{what} of {called}", here, there)
