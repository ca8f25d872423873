"""Fuzzes the reader of list files against its slow twin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from unittest import mock

import numpy as np
import pyarrow as pa
from fuzz_target import Target, result_or_error, scratch_file

from bagreid.catalog import lists
from bagreid.catalog.names import split_paths
from twins import RefusedError, by_tail, list_twin

PIECES = (1, 20, 4 << 20)
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
    assert read.names(np.arange(len(read.keys))) == list(different.values())
    images = [*list(different.values())[::-2], "a/strange.jpg"]
    keys = split_paths(pa.array(images, pa.large_string())).keys()
    place, present = lists.match(keys, read)
    order = list(different)
    for image, at in zip(images, place.tolist(), strict=True):
        tail = "/".join(image.split("/")[-2:])
        assert at == (order.index(tail) if tail in different else -1)
    assert np.array_equal(np.flatnonzero(present), np.unique(place[place >= 0]))


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
    lines_of=("bagreid.catalog.lists", "bagreid.catalog.names"),
    largest=5000,
)
