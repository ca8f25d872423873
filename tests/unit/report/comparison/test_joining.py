"""The same queries are found again in any order; other tests are refused, naming what differs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.report.comparison.entries import Entry
from bagreid.report.comparison.joining import Joined, join
from bagreid.report.results import Evaluation, QueryResult, read_evaluation

from .results_of import record, written


def query(name: str, row: int | None = None, *, pid: int = 1, rank: int = 1) -> QueryResult:
    return QueryResult(
        row=row, name=name, pid=pid, camid=2, rank=rank, average_precision=1 / rank, match=None,
        top=(),
    )  # fmt: skip


def entry(queries: Sequence[QueryResult], name: str = "a") -> Entry:
    evaluation = Evaluation(
        method=name, root=None, convention="sysu30k", counts={}, cmc=(0.5,), mean_ap=0.5,
        mean_inp=None, rank1_interval=None, queries=tuple(queries),
    )  # fmt: skip
    return Entry(name=name, path=Path(f"{name}.json"), evaluation=evaluation)


def pairs(joined: Joined) -> list[tuple[int, int]]:
    return list(zip(joined.first.tolist(), joined.second.tolist(), strict=True))


@given(data=st.data(), names=st.lists(st.text(max_size=5), unique=True, max_size=20))
def test_names_join_whatever_the_order(data: st.DataObject, names: list[str]) -> None:
    other = data.draw(st.permutations(names))
    people = {name: place for place, name in enumerate(names)}
    one = entry([query(name, pid=people[name]) for name in names])
    two = entry([query(name, pid=people[name]) for name in other], "b")
    joined = join(one, two)
    assert joined.by == "name"
    assert sorted(pairs(joined)) == sorted((names.index(n), other.index(n)) for n in names)
    mirrored = join(two, one)
    assert [(b, a) for a, b in pairs(mirrored)] == pairs(joined)


@given(data=st.data(), rows=st.lists(st.integers(0, 10**9), unique=True, min_size=1, max_size=20))
def test_rows_join_where_names_do_not(data: st.DataObject, rows: list[int]) -> None:
    other = data.draw(st.permutations(rows))
    one = entry([query("same", row, pid=row) for row in rows])
    two = entry([query(f"other {row}", row, pid=row) for row in other], "b")
    joined = join(one, two)
    assert joined.by == "row"
    assert sorted(pairs(joined)) == sorted((rows.index(r), other.index(r)) for r in rows)


@given(names=st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=12))
def test_made_up_names_and_repeated_ones_join_by_place(names: list[str]) -> None:
    one = entry([query(name, pid=place) for place, name in enumerate(names)])
    made_up = entry([query(f"query {n}", pid=n) for n in range(len(names))], "b")
    again = entry([query(name, pid=place) for place, name in enumerate(names)], "c")
    here = [(place, place) for place in range(len(names))]
    assert pairs(join(one, made_up)) == here
    assert join(one, made_up).by == "place"
    assert sorted(pairs(join(one, again))) == here


@given(
    names=st.lists(st.text("ab", max_size=3), unique=True, min_size=1, max_size=10),
    gone=st.integers(0, 9),
)
def test_a_missing_query_is_named(names: list[str], gone: int) -> None:
    gone %= len(names)
    one = entry([query(name) for name in names])
    two = entry([query(name) for place, name in enumerate(names) if place != gone], "b")
    with pytest.raises(BagreidError) as caught:
        join(one, two)
    assert f"1 only in a.json ({names[gone]})" in caught.value.message
    assert caught.value.path == Path("b.json")


def test_repeated_names_in_another_order_are_refused() -> None:
    one = entry([query("x"), query("x"), query("y")])
    two = entry([query("y"), query("x"), query("x")], "b")
    with pytest.raises(BagreidError, match="nothing tells them apart"):
        join(one, two)


CHANGES: list[tuple[str, Any, str]] = [
    ("convention", "standard", "the convention differs, standard here and sysu30k there"),
    ("ties", "optimistic", "the rule of ties differs"),
    ("camera_filter", False, "the treatment of cameras differs, ignored here and filtered there"),
    ("gallery_digest", "ff", "the gallery's people and cameras differs, ff here and 00 there"),
    ("counts.gallery", 9_000, "number of gallery images differs, 9,000 here and 501 there"),
    ("counts.junk", 3, "number of junk differs"),
    ("counts.same_camera", 3, "number of same-camera differs"),
    ("queries.1.pid", 77, "the person of query 1 differs, 77 here and 1 there"),
    ("queries.1.camid", 5, "the camera of query 1 differs"),
    ("queries.1.first_match_rank", -1, "whether there is a match of query 1 differs"),
    ("queries.1.wrong_answers", 12, "the number of wrong answers of query 1 differs"),
    (
        "queries.1.name",
        "query 9",
        r"1 only in .*a\.json \(query 1\), 1 only in .*b\.json",
    ),
]


@pytest.mark.parametrize(("place", "value", "words"), CHANGES, ids=[c[0] for c in CHANGES])
def test_another_test_is_refused_naming_what_differs(
    tmp_path: Path, place: str, value: object, words: str
) -> None:
    content = record([0, 4, 9], rows=[3, 4, 5]) | {"gallery_digest": "00"}
    first = written(tmp_path / "a.json", content)
    *way, last = place.split(".")
    changed = json.loads(json.dumps(content))
    inner = changed
    for step in way:
        inner = inner[int(step) if step.isdigit() else step]
    inner[last] = value
    if place == "queries.1.name":
        changed["queries"][1]["row"] = 99
    second = written(tmp_path / "b.json", changed)
    one, two = (
        Entry(name=path.stem, path=path, evaluation=found)
        for path in (first, second)
        if (found := read_evaluation(path)) is not None
    )
    with pytest.raises(BagreidError, match=words) as caught:
        join(one, two)
    assert caught.value.path == second
    assert str(first) in str(caught.value)


def test_counts_that_a_file_lacks_are_not_compared(tmp_path: Path) -> None:
    content = record([0, 4, 9])
    lean = json.loads(json.dumps(content))
    lean["counts"] = {"queries": 3, "gallery": 501}
    for each in lean["queries"]:
        del each["wrong_answers"]
    one, two = (
        Entry(name=path.stem, path=path, evaluation=found)
        for path in (written(tmp_path / "a.json", content), written(tmp_path / "b.json", lean))
        if (found := read_evaluation(path)) is not None
    )
    np.testing.assert_array_equal(join(one, two).first, join(one, two).second)
