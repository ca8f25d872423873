"""The bag file: what is read, what is merged, what is refused and how it is said."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.catalog.bags import BagFile, BagTable, make_bag_table, read_bag_file
from bagreid.contracts import BagreidError
from memory import said_and_peak
from twins import BAG_COUNTS, RefusedError, bag_twin

GOOD = {"BagLabel": [2, 3, 3], "BagID": "bag0000000010", "BagImages": ["0000000002/*"] * 2}


RAW = json.dumps(GOOD).encode()


def write(tmp_path: Path, bags: Any) -> Path:
    path = tmp_path / "bag_level_label.json"
    path.write_text(bags if isinstance(bags, str) else json.dumps(bags))
    return path


def read_rows(read: BagFile) -> list[tuple[str, list[str], list[int]]]:
    folders = read.folder_name.to_pylist()
    return [
        (
            read.bag_id[b].as_py(),
            [folders[f] for f in read.folder[slice(*read.folder_offset[b : b + 2])]],
            read.label[slice(*read.label_offset[b : b + 2])].tolist(),
        )
        for b in range(len(read))
    ]


Pairs = tuple[tuple[str, Any], ...]
FOLDER_NAMES = [f"{n:010d}" for n in range(1, 8)]
ODD_TEXT = st.sampled_from(
    ['"}, {"', "\\", '\\"', "[", "]}", ",", "é", "\n", "\u2028", "\U0001f600"]
)
TEXT = st.lists(ODD_TEXT | st.text(max_size=3), max_size=4).map("".join)


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> str:
    """JSON of a value, spelled in one of the many ways JSON allows; `Pairs` become objects."""
    blank = draw(st.sampled_from(["", " ", "\n", "\r\n\t "]))
    if isinstance(value, tuple):
        inner = [f"{draw(spelled(k))}{blank}:{blank}{draw(spelled(v))}" for k, v in value]
        return blank + "{" + f"{blank},{blank}".join(inner) + "}" + blank
    if isinstance(value, list):
        return "[" + blank + f"{blank},{blank}".join([draw(spelled(v)) for v in value]) + "]"
    if isinstance(value, str) and draw(st.integers(0, 9)) == 0:
        return '"' + "".join(f"\\u{unit:04x}" for unit in utf16_units(value)) + '"'
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


def utf16_units(text: str) -> list[int]:
    raw = text.encode("utf-16-le")
    return [int.from_bytes(raw[i : i + 2], "little") for i in range(0, len(raw), 2)]


def field(key: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(st.just(key), value)


NUMBER = st.integers(0, 9) | st.sampled_from([2**31 - 1, 10**6])
FOLDER = st.sampled_from([*FOLDER_NAMES, "é", "a b", "\u2028", '"'])
good_bags = st.lists(
    st.tuples(
        field(
            "BagLabel", st.lists(NUMBER | NUMBER.map(str) | NUMBER.map("0{}".format), min_size=1)
        ),
        field("BagID", TEXT.filter(bool)),
        field("BagImages", st.lists(FOLDER.map("{}/*".format), min_size=1, max_size=6)),
    ).flatmap(
        lambda fields: st.lists(field("Scene", TEXT), max_size=1).flatmap(
            lambda more: st.permutations([*fields, *more]).map(tuple)
        )
    ),
    max_size=9,
)
PIECES = st.sampled_from([1, 2, 3, 7, 40, 200, 1 << 20])


@settings(max_examples=60)
@given(data=st.data(), bags=good_bags, piece=PIECES, mark=st.sampled_from(["", "\ufeff"]))
def test_good_bags_equal_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    bags: list[Pairs],
    piece: int,
    mark: str,
) -> None:
    text = data.draw(spelled(bags))
    path = write(tmp_path_factory.getbasetemp(), mark + text)
    read = read_bag_file(path, piece=piece)
    expected, counts = bag_twin(text.encode())
    assert read_rows(read) == expected
    assert {key: getattr(read, key) for key in BAG_COUNTS} == counts


LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT | st.sampled_from(["1", "٣", "²", "-1", "1_0", "a/*", "*", "a/b/*", 2**31])
)  # fmt: skip
ANY = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(TEXT, inner)).map(tuple),
    max_leaves=6,
)
LABELS = st.just([1, 2]) | st.lists(st.just(3) | LEAF, max_size=3) | ANY
IMAGES = st.just(["a/*"]) | st.lists(st.just("b/*") | LEAF, max_size=3) | ANY
FIELDS = (
    field("BagLabel", LABELS), field("BagID", st.just("b") | ANY), field("BagImages", IMAGES),
)  # fmt: skip
odd_bags = st.lists(
    st.tuples(*FIELDS)
    | st.lists(st.one_of(*FIELDS, st.tuples(TEXT, ANY)), max_size=5).map(tuple)
    | ANY,
    max_size=3,
)


@settings(max_examples=80)
@given(data=st.data(), bags=odd_bags | ANY, piece=PIECES)
def test_odd_bags_are_refused_where_the_slow_twin_refuses(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, bags: Any, piece: int
) -> None:
    text = data.draw(spelled(bags))
    path = write(tmp_path_factory.getbasetemp(), text)
    try:
        expected = bag_twin(text.encode())
    except RefusedError:
        with pytest.raises(BagreidError):
            read_bag_file(path, piece=piece)
    else:
        read = read_bag_file(path, piece=piece)
        assert (read_rows(read), {key: getattr(read, key) for key in BAG_COUNTS}) == expected


@settings(max_examples=60)
@given(bags=good_bags, cut=st.integers(0, 300), piece=PIECES)
def test_a_cut_bag_file_is_refused_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, bags: list[Pairs], cut: int, piece: int
) -> None:
    text = json.dumps([dict(bag) for bag in bags])
    path = write(tmp_path_factory.getbasetemp(), text[: min(cut, len(text) - 1)])
    with pytest.raises(BagreidError, match="is not JSON"):
        read_bag_file(path, piece=piece)


def table_twin(
    bags: list[Pairs], folders: list[str]
) -> tuple[list[tuple[str, list[int], list[int]]], list[int]]:
    """Bags with folder indices and class indices."""
    fields = [dict(bag) for bag in bags]
    identities = sorted({int(label) for bag in fields for label in bag["BagLabel"]})
    return [
        (
            bag["BagID"],
            sorted({folders.index(pattern[:-2]) for pattern in bag["BagImages"]}),
            sorted({identities.index(int(label)) for label in bag["BagLabel"]}),
        )
        for bag in fields
    ], identities


def rows(table: BagTable) -> list[tuple[str, list[int], list[int]]]:
    return [
        (table.bag_id[b], table.folders(b).tolist(), table.labels(b).tolist())
        for b in range(len(table))
    ]


@settings(max_examples=60)
@given(
    bags=good_bags,
    folders=st.lists(FOLDER, unique=True),
    piece=st.sampled_from([1, 40, 1 << 20]),
)
def test_the_table_equals_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory, bags: list[Pairs], folders: list[str], piece: int
) -> None:
    path = write(tmp_path_factory.getbasetemp(), [dict(bag) for bag in bags])
    read = read_bag_file(path, piece=piece)
    named = [pattern[:-2] for bag in bags for pattern in dict(bag)["BagImages"]]
    absent = [name for name in dict.fromkeys(named) if name not in folders]
    assert read.absent(folders) == absent
    if absent:
        with pytest.raises(BagreidError, match=rf"\({len(absent)} such folder"):
            make_bag_table(read, folders, path)
        return
    table, identities = make_bag_table(read, folders, path)
    assert (rows(table), identities.tolist()) == table_twin(bags, folders)
    for column in (table.folder_offset, table.folder, table.label_offset, table.label, identities):
        assert column.dtype == np.int64


@settings(max_examples=60)
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
        ("[" * 3000, "nests lists and objects more than 100 deep"),
    ],
)
def test_what_is_no_list_of_bags(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(BagreidError, match=match):
        read_bag_file(write(tmp_path, text))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"BagLabel": None}, "object 1 .*, key BagLabel.*is null"),
        ({"BagLabel": []}, "object 1 .*, key BagLabel.*is empty"),
        ({"BagLabel": [1, True]}, "object 1 .*, key BagLabel: True is no identity"),
        ({"BagLabel": [1.5]}, r"object 1 .*, key BagLabel: 1\.5 is no identity"),
        ({"BagLabel": [-3]}, "object 1 .*, key BagLabel: -3 is no identity"),
        ({"BagLabel": ["3a"]}, "object 1 .*, key BagLabel: '3a' is no identity"),
        ({"BagLabel": [2**40]}, "object 1 .*, key BagLabel: 1099511627776 is no identity"),
        ({"BagID": 3}, "object 1 .*, key BagID.*is a number"),
        ({"BagImages": "0000000002/*"}, "object 1 .*, key BagImages.*is text"),
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
    with pytest.raises(
        BagreidError, match=rf"object 0 \(line 1, byte 1\), key {key}: the key is missing"
    ):
        read_bag_file(write(tmp_path, [bad]))
    with pytest.raises(
        BagreidError, match=r"object 0 \(line 1, byte 1\): a bag should be an object and is text"
    ):
        read_bag_file(write(tmp_path, ["bag"]))


def test_a_folder_that_is_absent_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, [GOOD, {**GOOD, "BagImages": ["0000000002/*", "0000000099/*"]}])
    with pytest.raises(
        BagreidError, match=r"object 1, key BagImages.*'0000000099'.*1 such folder;"
    ):
        make_bag_table(read_bag_file(path), FOLDER_NAMES, path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "line 1, byte 0: the bag file is not JSON .it is empty"),
        (b" \n\t ", "line 2, byte 4: the bag file is not JSON .it is empty"),
        (b"[{}", "line 1, byte 3: .*it ends in the middle of the list"),
        (b"[] []", "byte 3: .*text behind the end of the list"),
        (b"[" + RAW + b", ]", "not JSON .(a comma stands before the end|.*trailing comma)"),
        (b"[,]", "not JSON"),
        (b"[ , ] ", "not JSON"),
        (b"[1}", "not JSON"),
        (b'[{"x": NaN}]', "byte 7, in object 0: .*not JSON"),
        (b"[" + RAW + b',{"x": 3 4}]', f"byte {len(RAW) + 10}, in object 1: .*not JSON"),
        (b"[" + RAW + b',\n\n {"x": "\xff"}]', "line 3, byte 108, in object 1: .*not UTF-8 text"),
        (b"\x00\x00", "byte 0: the bag file is not UTF-8 text"),
        ("[{}]".encode("utf-16"), "not UTF-8 text. Save it as UTF-8"),
        (b"[1" + b"0" * 400 + b"]", "not JSON"),
        (b"hello", "line 1, byte 0: .*unexpected character"),
    ],
)
def test_where_it_is_no_json(tmp_path: Path, text: bytes, match: str) -> None:
    path = tmp_path / "bags.json"
    path.write_bytes(text)
    for piece in (1, 5, 1 << 20):
        with pytest.raises(BagreidError, match=match):
            read_bag_file(path, piece=piece)


@pytest.mark.parametrize("piece", [1, 50, 1 << 20])
def test_the_place_of_a_fault_counts_all_lines_and_bytes_before_it(
    tmp_path: Path, piece: int
) -> None:
    good = json.dumps(GOOD)
    path = write(tmp_path, f"\ufeff[\n{good},\n\n  {good}\n,\t{json.dumps({**GOOD, 'BagID': 7})}]")
    byte = path.read_bytes().rindex(b'{"BagLabel')
    with pytest.raises(BagreidError, match=rf"object 2 \(line 5, byte {byte}\), key BagID: a bag"):
        read_bag_file(path, piece=piece)


@pytest.mark.parametrize("key", ["BagLabel", "BagID", "BagImages"])
def test_a_key_that_stands_twice_is_refused_however_it_is_spelled(tmp_path: Path, key: str) -> None:
    good = json.dumps(GOOD)
    for spelling in (key, key.replace("B", "\\u0042")):
        twice = good[:-1] + f', "{spelling}": {json.dumps(GOOD[key])}}}'
        path = write(tmp_path, f"[{good}, {twice}]")
        with pytest.raises(BagreidError, match=f"object 1 .*, key {key}: the key stands twice"):
            read_bag_file(path)
    inside = json.dumps({**GOOD, "More": {"BagLabel": [1], "BagID": "BagID"}})
    assert len(read_bag_file(write(tmp_path, f"[{inside}, {good}]"))) == 2


@pytest.mark.parametrize(
    ("inside", "match"),
    [
        ('"' + "a" * 5_000_000 + '"', r"object 1 \(.*byte 99\): .* holds text of over 4 MiB"),
        ('{"BagLabel": [' + "1," * 3_000_000 + "1]}", "holds an object of over 4 MiB"),
        ('{"x": ' + "[" * 99 + "]" * 99 + "}", "the key is missing"),
        ('{"x": ' + "[" * 100 + "]" * 100 + "}", "nests lists and objects more than 100 deep"),
        ('{"BagID": "b", "BagImages": ["a/*"], "BagLabel": ' + "[" * 90 + "]" * 90 + "}",
         r"\[\[\[\[.*\.\.\..* is no identity"),
    ],
)  # fmt: skip
def test_what_no_bag_is_as_large_as(tmp_path: Path, inside: str, match: str) -> None:
    path = write(tmp_path, f"[{json.dumps(GOOD)}, {inside}]")
    with pytest.raises(BagreidError, match=match) as caught:
        read_bag_file(path)
    assert len(str(caught.value)) < 600


def test_a_million_folders_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bagreid.catalog.bags.file.MOST_FOLDERS", 3)
    bags = [{**GOOD, "BagImages": [f"{n}/*"]} for n in range(4)]
    assert len(read_bag_file(write(tmp_path, bags[:3]))) == 3
    with pytest.raises(BagreidError, match="up to object 3: the bags name more than 3 folders"):
        read_bag_file(write(tmp_path, bags))


def test_a_large_file_of_one_line_takes_little_memory(tmp_path: Path) -> None:
    bags = [{**GOOD, "BagID": f"bag{n:010d}"} for n in range(200_000)]
    path = write(tmp_path, bags)
    read = "from bagreid.catalog.bags import read_bag_file as read"
    said, peak = said_and_peak(f"{read}\ndef work():\n    return len(read(path))", path)
    assert said == "200000"
    assert peak < 4 * path.stat().st_size
