"""The bag file: what is read, what is merged, what is refused and how it is said."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.catalog.bags import BagTable, make_bag_table, read_bag_file
from bagreid.contracts import BagreidError

GOOD = {"BagLabel": [2, 3, 3], "BagID": "bag0000000010", "BagImages": ["0000000002/*"] * 2}


def write(tmp_path: Path, bags: Any) -> Path:
    path = tmp_path / "bag_level_label.json"
    path.write_text(bags if isinstance(bags, str) else json.dumps(bags))
    return path


def slow_twin(
    bags: list[dict[str, Any]], folders: list[str]
) -> tuple[list[tuple[str, list[int], list[int]]], list[int]]:
    """Bags with folder indices and class indices, written as plainly as can be."""
    identities = sorted({int(label) for bag in bags for label in bag["BagLabel"]})
    table = []
    for bag in bags:
        labels = []
        for label in bag["BagLabel"]:
            if identities.index(int(label)) not in labels:
                labels.append(identities.index(int(label)))
        places = []
        for pattern in bag["BagImages"]:
            if folders.index(pattern.split("/")[0]) not in places:
                places.append(folders.index(pattern.split("/")[0]))
        table.append((bag["BagID"], sorted(places), sorted(labels)))
    return table, identities


def rows(table: BagTable) -> list[tuple[str, list[int], list[int]]]:
    return [
        (table.bag_id[b], table.folders(b).tolist(), table.labels(b).tolist())
        for b in range(len(table))
    ]


FOLDER_NAMES = [f"{n:010d}" for n in range(1, 8)]

bag = st.fixed_dictionaries(
    {
        "BagLabel": st.lists(st.integers(0, 40) | st.integers(0, 40).map(str), min_size=1),
        "BagID": st.text(min_size=1),
        "BagImages": st.lists(st.sampled_from(FOLDER_NAMES).map("{}/*".format), min_size=1),
    }
)


@settings(deadline=None, max_examples=150)
@given(bags=st.lists(bag, max_size=12))
def test_merged_duplicates_equal_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory, bags: list[dict[str, Any]]
) -> None:
    path = write(tmp_path_factory.getbasetemp(), bags)
    read = read_bag_file(path)
    table, identities = make_bag_table(read, FOLDER_NAMES, path)
    expected, numbers = slow_twin(bags, FOLDER_NAMES)
    assert rows(table) == expected
    assert identities.tolist() == numbers
    labels = sum(len(b["BagLabel"]) for b in bags)
    assert read.duplicate_labels == labels - len(table.label)
    folders = sum(len(b["BagImages"]) for b in bags)
    assert read.duplicate_folders == folders - len(table.folder)
    assert read.labels_as_text == sum(isinstance(n, str) for b in bags for n in b["BagLabel"])
    assert read.repeated_ids == len(bags) - len({b["BagID"] for b in bags})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
almost_bags = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "BagLabel": json_values | st.just([1]),
            "BagID": json_values | st.just("b"),
            "BagImages": json_values | st.just(["0000000001/*"]),
        },
    ),
    max_size=3,
)


@settings(deadline=None, max_examples=200)
@given(value=json_values | almost_bags)
def test_any_json_gives_a_table_or_the_typed_error(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = write(tmp_path_factory.getbasetemp(), value)
    with contextlib.suppress(BagreidError):
        make_bag_table(read_bag_file(path), FOLDER_NAMES, path)


@settings(deadline=None, max_examples=100)
@given(raw=st.binary(max_size=200))
def test_any_bytes_give_a_table_or_the_typed_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bags.json"
    path.write_bytes(raw)
    with contextlib.suppress(BagreidError):
        read_bag_file(path)


def test_a_byte_order_mark_and_unknown_keys_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff" + json.dumps([{**GOOD, "Scene": 3}]))
    read = read_bag_file(path)
    assert read.unknown_keys == 1
    assert (read.duplicate_labels, read.duplicate_folders, read.bags_merged) == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "not JSON"),
        ("[\n{", "line 2.*not JSON"),
        ('{"BagLabel": [1]}', "an object and not a list"),
        ("3", "a number and not a list"),
        ("null", "null and not a list"),
        ("[" * 3000, "not JSON"),
    ],
)
def test_what_is_no_list_of_bags(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(BagreidError, match=match):
        read_bag_file(write(tmp_path, text))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"BagLabel": None}, "object 1, key BagLabel.*is null"),
        ({"BagLabel": []}, "object 1, key BagLabel.*is empty"),
        ({"BagLabel": [1, True]}, "object 1, key BagLabel: True is no identity"),
        ({"BagLabel": [1.5]}, r"object 1, key BagLabel: 1\.5 is no identity"),
        ({"BagLabel": [-3]}, "object 1, key BagLabel: -3 is no identity"),
        ({"BagLabel": ["3a"]}, "object 1, key BagLabel: '3a' is no identity"),
        ({"BagLabel": [2**40]}, "object 1, key BagLabel: 1099511627776 is no identity"),
        ({"BagID": 3}, "object 1, key BagID.*is a number"),
        ({"BagImages": "0000000002/*"}, "object 1, key BagImages.*is text"),
        ({"BagImages": ["0000000002"]}, "key BagImages: '0000000002' is no pattern"),
        ({"BagImages": ["0000000002/*.jpg"]}, "is no pattern of the form <folder>/"),
        ({"BagImages": ["*/*"]}, "is no pattern"),
        ({"BagImages": ["a/b/*"]}, "is no pattern"),
        ({"BagImages": [2]}, "2 is no pattern"),
    ],
)
def test_a_wrong_object_is_named_with_its_key(
    tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    with pytest.raises(BagreidError, match=match) as caught:
        read_bag_file(write(tmp_path, [GOOD, {**GOOD, **change}]))
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["BagLabel", "BagID", "BagImages"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    bad = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(BagreidError, match=f"object 0, key {key}: the key is missing"):
        read_bag_file(write(tmp_path, [bad]))
    with pytest.raises(BagreidError, match="object 0: a bag should be an object and is text"):
        read_bag_file(write(tmp_path, ["bag"]))


def test_a_folder_that_is_absent_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, [GOOD, {**GOOD, "BagImages": ["0000000002/*", "0000000099/*"]}])
    with pytest.raises(
        BagreidError, match=r"object 1, key BagImages.*'0000000099'.*1 such folder;"
    ):
        make_bag_table(read_bag_file(path), FOLDER_NAMES, path)
