"""Joining, de-duplicating and sorting against slow twins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_archives import Contents, write_files, write_tar

from bagreid.catalog import open_catalog
from bagreid.catalog import order as order_module
from bagreid.catalog.members import Members
from bagreid.catalog.names import split_paths
from bagreid.catalog.order import drop_duplicates, join_pieces, sort_by_folder, sort_rows
from bagreid.catalog.pieces import Piece, loose_piece

names = st.one_of(
    st.builds(
        "sysu_train_set_all/{}/{}.jpg".format,
        st.sampled_from(["1", "02", "10", "3", "b", "a"]),
        st.integers(0, 3),
    ),
    st.builds(
        "sysu_test_set_all/{}/5/5_c{}_1.jpg".format,
        st.sampled_from(["query", "gallery"]),
        st.integers(1, 3),
    ),
)
archives = st.lists(st.lists(names, max_size=8), max_size=5)


def pieces_of(tars: list[list[str]]) -> list[Piece]:
    """Each tar's images; the place of a name in its tar stands for block and size."""
    return [
        loose_piece(pa.array(tar, pa.large_string()), 0, np.arange(len(tar)) + 100) for tar in tars
    ]


def key_of(name: str) -> int:
    return int(split_paths(pa.array([name], pa.large_string())).keys()[0])


def rows_of(members: Members) -> list[tuple[int, ...]]:
    columns = [column.tolist() for column in members.columns()]
    return list(zip(*columns, strict=True))


def folder_order(name: str) -> tuple[bool, int, str]:
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)


@given(archives)
def test_the_order_of_the_catalog(tars: list[list[str]]) -> None:
    members, met = join_pieces(pieces_of(tars), range(len(tars)))
    pairs = drop_duplicates(members)
    folders = sort_by_folder(members, met)

    seen: dict[str, tuple[int, int]] = {}
    dropped = []
    for shard, tar in enumerate(tars):
        for place, name in enumerate(tar):
            if name in seen:
                dropped.append((seen[name], (shard, place)))
            else:
                seen[name] = (shard, place)
    train = [name for name in seen if "train" in name]
    assert folders == sorted({name.split("/")[1] for name in train}, key=folder_order)
    expected = sorted(train, key=lambda name: (folder_order(name.split("/")[1]), seen[name]))
    expected += [name for split in ("query", "gallery") for name in seen if f"/{split}/" in name]
    assert members.key.tolist() == [key_of(name) for name in expected]
    found = list(zip(members.shard.tolist(), members.block.tolist(), strict=True))
    assert found == [seen[name] for name in expected]
    assert members.size.tolist() == [seen[name][1] + 100 for name in expected]
    groups = [folders.index(name.split("/")[1]) if "train" in name else 5 for name in expected]
    assert members.group.tolist() == groups
    places = list(zip(pairs.shard.tolist(), pairs.block.tolist(), strict=True))
    assert list(zip(places[::2], places[1::2], strict=True)) == dropped


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(1, 7))
def test_duplicates_are_found_across_pieces(numbers: list[int], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "_PIECE", piece)
        members = Members.room(len(numbers))
        for column in members.columns():
            column[:] = 0
        members.key[:] = numbers
        members.block[:] = np.arange(len(numbers))
        pairs = drop_duplicates(members)
    first = {number: numbers.index(number) for number in numbers}
    assert members.block.tolist() == sorted(first.values())
    dropped = [row for row, number in enumerate(numbers) if row != first[number]]
    assert pairs.block[1::2].tolist() == dropped
    assert pairs.block[::2].tolist() == [first[numbers[row]] for row in dropped]


@given(st.lists(st.integers(0, 3), min_size=4, max_size=12))
def test_some_rows_are_sorted_and_the_others_stay(place: list[int]) -> None:
    members = Members.room(len(place))
    for column in members.columns():
        column[:] = np.arange(len(place))
    rows = range(1, len(place) - 1)
    sort_rows(members, rows, np.array(place)[rows.start : rows.stop])
    middle = sorted(rows, key=lambda row: place[row])
    expected = [0, *middle, len(place) - 1]
    assert rows_of(members) == [(row,) * 7 for row in expected]


def duplicates_of(root: Path, tmp_path: Path) -> list[dict[str, Any]]:
    findings = open_catalog(root, cache=tmp_path / "cache").findings
    return [
        {name: getattr(entry, name) for name in entry.__slots__} for entry in findings.duplicates
    ]


def test_both_tars_of_a_duplicate_are_named(
    archive: Path, tmp_path: Path, contents: Contents
) -> None:
    write_tar(archive / "train/sysu_train_set_all_part3.tar", contents.train[4:10])
    test = archive / "test/sysu_test_set_all.tar"
    write_tar(test, [*contents.gallery, *contents.query, contents.query[2]])
    assert duplicates_of(archive, tmp_path) == [
        {
            "used": f"train/sysu_train_set_all_part{part}.tar",
            "left": "train/sysu_train_set_all_part3.tar",
            "images": images,
            "example": contents.train[first],
        }
        for part, images, first in [(2, 4, 6), (1, 2, 4)]
    ] + [
        {
            "used": "test/sysu_test_set_all.tar",
            "left": "test/sysu_test_set_all.tar",
            "images": 1,
            "example": contents.query[2],
        }
    ]


def test_tars_beside_what_was_extracted_from_them(
    archive: Path, tmp_path: Path, contents: Contents
) -> None:
    write_files(archive, contents.train)
    found = duplicates_of(archive, tmp_path)
    assert [(entry["left"], entry["images"]) for entry in found] == [(".", 9), (".", 6)]
    assert found[1]["example"] == contents.train[0]
