"""Fuzzes the reader of bag files against its slow twin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from fuzz_target import Target, result_or_error, scratch_file, word_mutation

from bagreid.catalog.bags import BagFile, make_bag_table, read_bag_file
from twins import BAG_COUNTS, BagRow, RefusedError, bag_twin

PIECES = (1, 5, 64, 1 << 20)
FOLDERS = ["0000000001", "0000000002", "0000000003", "a"]

BEYOND_PLAIN_JSON = re.compile(rb"\\u[dD]|[eE]\+?[0-9]{2}|[0-9]{300}")
"""What Python's parser lets through and the reader's does not: halves of surrogate pairs, numbers
beyond float64."""


def check(data: bytes) -> None:
    piece, raw = PIECES[data[0] % len(PIECES)] if data else 1, data[1:]
    with scratch_file(raw, "bag_level_label.json") as path:
        try:
            expected = bag_twin(raw)
        except RefusedError:
            expected = None
        read, error = result_or_error(read_bag_file, path, piece=piece)
    if read is None:
        beyond = "more than 100 deep" in str(error) or BEYOND_PLAIN_JSON.search(raw)
        assert expected is None or beyond, error
        return
    assert expected is not None, "bags were read that are none"
    assert (rows(read), {key: getattr(read, key) for key in BAG_COUNTS}) == expected
    check_table(read, expected[0])


def rows(read: BagFile) -> list[BagRow]:
    names = read.folder_name.to_pylist()
    return [
        (
            read.bag_id[b].as_py(),
            [names[f] for f in read.folder[slice(*read.folder_offset[b : b + 2])]],
            read.label[slice(*read.label_offset[b : b + 2])].tolist(),
        )
        for b in range(len(read))
    ]


def check_table(read: BagFile, expected: list[BagRow]) -> None:
    named = {folder for _, folders, _ in expected for folder in folders}
    made, _ = result_or_error(make_bag_table, read, FOLDERS, Path("bag_level_label.json"))
    if made is None:
        assert not named <= set(FOLDERS)
        return
    assert named <= set(FOLDERS)
    table, identities = made
    assert identities.tolist() == sorted({label for _, _, labels in expected for label in labels})
    for bag, (name, folders, labels) in enumerate(expected):
        assert table.bag_id[bag] == name
        assert table.folders(bag).tolist() == sorted(FOLDERS.index(f) for f in folders)
        assert np.array_equal(identities[table.labels(bag)], labels)


def seeds() -> Iterator[bytes]:
    bag = {"BagLabel": [2, 3, 3], "BagID": "bag0000000010", "BagImages": ["0000000002/*", "a/*"]}
    several = [{**bag, "BagID": f"bag{n}"} for n in range(4)]
    texts = [
        json.dumps(several),
        json.dumps(several, indent=2),
        "\ufeff" + json.dumps([bag]),
        json.dumps([{**bag, "BagLabel": ["2", "03", 7]}, bag]),
        json.dumps([{**bag, "Scene": {"a": [1, {"b": None}]}, "BagID": 'b"},{\\"'}]),
        json.dumps([{**bag, "BagID": "\u00e9\U0001f600\n"}], ensure_ascii=False),
        json.dumps([{**bag, "BagID": "\U0001f600"}]),
        '[{"BagLabel":[1],"BagLabel":[2],"BagID":"b","BagImages":["a/*"]}]',
        '[{"\\u0042agLabel":[1],"BagID":"b","BagImages":["a/*"]}]',
        '[{"BagLabel":[1e2,1.5,-1,4294967296],"BagID":"b","BagImages":["a/b/*","*"]}]',
        "[]", " [ ] ", "[,]", "[[[[]]]]", "{}", "null", "[NaN]", '["\\ud800"]', "[" * 120,
    ]  # fmt: skip
    for number, text in enumerate(texts):
        yield bytes([number % len(PIECES)]) + text.encode()
    yield b"\3" + json.dumps([bag]).encode("utf-16")


WORDS = [
    b'"BagLabel"', b'"BagID"', b'"BagImages"', b'"\\u0042agID"', b'"0000000001/*"', b'"a/*"',
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'\\"', b"\\\\", b"1", b'"7"', b"null",
    b"true", b"-1", b"2147483647", b"2147483648", b"1e9", b'"a/b/*"', b'"*/*"', b'""', b"\n",
    b'{"BagLabel":[1],"BagID":"b","BagImages":["a/*"]}', b"\xef\xbb\xbf", b"\xff", b"\0",
]  # fmt: skip


TARGET = Target(
    name="bags",
    check=check,
    seeds=seeds,
    mutate=word_mutation(WORDS),
    lines_of=tuple(
        f"bagreid.catalog.bags.{part}"
        for part in ("json_list", "columns", "faults", "file", "table")
    ),
)
