"""Fuzzes the reader of list files against its slow twin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal
from unittest import mock

import numpy as np
import pyarrow as pa
from fuzz_target import Target, result_or_error, scratch_file, word_mutation

from bagreid.catalog import lists
from bagreid.catalog.names import parse_test_names, split_paths
from twins import RefusedError, by_tail, list_twin

PIECES = (48, 300, 4 << 20)
SPLITS: tuple[Literal["query", "gallery"] | None, ...] = (None, "query", "gallery")


def check(data: bytes) -> None:
    choice, raw = data[0] if data else 0, data[1:]
    split, piece = SPLITS[choice % 3], PIECES[choice // 3 % 3]
    patched = mock.patch.multiple(lists, PIECE=piece, _BLOCK=3)
    with scratch_file(raw, "train.txt") as path, patched:
        try:
            expected = list_twin(raw, split)
        except RefusedError:
            expected = None
        read, error = result_or_error(lists.read_list, path, split)
        assert (read is None) == (expected is None), error
        if read is not None and expected is not None:
            check_names(read, expected)


def check_names(read: lists.NameList, expected: list[str]) -> None:
    different = by_tail(expected)
    assert (read.lines, read.repeated) == (len(expected), len(expected) - len(different))
    check_paths(expected)
    assert read.names(np.arange(len(read.keys))) == list(different.values())
    images = [*list(different.values())[::-2], "a/strange.jpg"]
    keys = split_paths(pa.array(images, pa.large_string())).keys()
    place, present = lists.match(keys, read)
    order = list(different)
    for image, at in zip(images, place.tolist(), strict=True):
        tail = "/".join(image.split("/")[-2:])
        assert at == (order.index(tail) if tail in different else -1)
    assert np.array_equal(np.flatnonzero(present), np.unique(place[place >= 0]))


def check_paths(names: list[str]) -> None:
    """What the paths of images say."""
    array = pa.array(names, pa.large_string())
    run, directories = split_paths(array).directories()
    assert [directories[at] for at in run.tolist()] == [name.rpartition("/")[0] for name in names]
    pid, camera, good = parse_test_names(array)
    for row, name in enumerate(names):
        found = test_name_twin(name.rpartition("/")[2])
        assert bool(good[row]) == (found is not None), name
        assert found is None or found == (pid[row], camera[row]), name


def test_name_twin(file: str) -> tuple[int, int] | None:
    parts = re.fullmatch(r"(-1|[0-9]+|0+others)_c([0-9]+)_[0-9]+\.(?i:jpe?g)", file)
    if parts is None:
        return None
    pid = -1000 if parts[1].endswith("others") else int(parts[1])
    return (pid, int(parts[2])) if pid < 2**31 and int(parts[2]) < 2**15 else None


WORDS = [
    b"sysu_train_set_all/", b"sysu_test_set_all/", b"query/", b"gallery/", b"0000000001/", b"/",
    b"1.jpg", b".jpg", b".JPEG", b"._", b".", b"..", b" 7", b" -1", b"\t", b"\n", b"\r\n", b"\n\n",
    b"a/b.jpg\n", b"_c1_", b"_c32768_", b"0000others", b"2147483648", b"-1_c1_1.jpg", b"\0",
    b"\xff",    b"\xc3\xa9", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x0c", b"\x0b", b"\x1c",
]  # fmt: skip


def seeds() -> Iterator[bytes]:
    train = [f"sysu_train_set_all/{n:010d}/{n:010d}_{k:05d}.jpg" for n in (1, 2) for k in (0, 1)]
    test = [
        "sysu_test_set_all/query/000028311/000028311_c2_2.jpg",
        "sysu_test_set_all/gallery/0000others/0000others_c1_1.jpg",
    ]
    texts = [
        "\n".join(train),
        "\r\n".join([*train, *train, ""]),
        "\ufeff" + "\n".join(test),
        "\n".join(f"{name} {number}" for number, name in enumerate(train)),
        f"  {test[0]}\t-1 \n\n{test[1]}\r\r\n",
        "a/1.JPEG\nb/a/1.jpeg\nc/b/a/1.jpeg\n",
        "a/\u00e9.jpg 1\n", "b.jpg", "a/.jpg", "a/._1.jpg", "a/b.png", "", "\n\n",
        "q/" + "a" * 4090 + ".jpg",
    ]  # fmt: skip
    for number, text in enumerate(texts):
        yield bytes([number]) + text.encode()
    yield b"\0a/b.jpg\n\xff\xfe.jpg"
    yield b"\0" + "a/b.jpg\n".encode("utf-16")


TARGET = Target(
    name="lists",
    check=check,
    seeds=seeds,
    mutate=word_mutation(WORDS),
    lines_of=("bagreid.catalog.lists", "bagreid.catalog.names"),
    largest=5000,
)
