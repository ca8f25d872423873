"""Fuzzes the reader of truth tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from fuzz_target import Target, result_or_error, scratch_file, word_mutation

from bagreid.catalog.names import split_paths
from bagreid.catalog.truth import read_truth

TRAIN = [f"sysu_train_set_all/000000000{n}/{k}.jpg" for n in (1, 2) for k in (1, 2)]
TEST = ["sysu_test_set_all/query/000000009/000000009_c2_1.jpg"]
IDENTITIES = np.array([1, 2, 9])
KEYS = split_paths(pa.array(TRAIN, pa.large_string())).keys()
TEST_KEYS = split_paths(pa.array(TEST, pa.large_string())).keys()


def check(data: bytes) -> None:
    with scratch_file(data, "truth.csv") as path:
        read, _ = result_or_error(read_truth, path, KEYS, TEST_KEYS, IDENTITIES)
    if read is None:
        return
    truth, absent, missing = read
    assert truth.shape == (len(TRAIN),)
    assert truth.dtype == np.int64
    assert ((truth >= -1) & (truth < len(IDENTITIES))).all()
    assert 0 <= missing <= (truth < 0).sum()
    assert 0 <= absent <= data.count(b"\n") + data.count(b"\r") + 1


def seeds() -> Iterator[bytes]:
    lines = [f"{name},{number}" for number, name in enumerate([*TRAIN, *TEST])]
    table = "\n".join(["image,person_id", *lines])
    yield from (
        text.encode()
        for text in (
            table, table.replace("\n", "\r\n"), f"\ufeff{table}\n", f"{table}\n{TRAIN[0]},5\n",
            "image,person_id", "image,person_id\n", "", "\n", "person_id,image\n1,a/b.jpg",
            'image,person_id\n"a/""b"".jpg",1\n', "image,person_id\na/b.jpg,\n",
            "image,person_id\na/b.jpg,99999999999999999999\n", "image,person_id,image\n1,2,3",
            "image,person_id\na,b,c\n",
            'image,person_id\n"a\nb.jpg",7\n', "image,person_id\n\u00e9,1",
            "image,\u00e9\n",
        )
    )  # fmt: skip


WORDS = [
    b"image", b"person_id", b",", b'"', b'""', b"\n", b"\r", b"1", b"-1", b"99999999999", b"1.0",
    b"NaN", b"null", b" ", b"\xff", b"\0", *(f"{name},9\n".encode() for name in [*TRAIN, *TEST]),
]  # fmt: skip

TARGET = Target(
    name="truth",
    check=check,
    seeds=seeds,
    mutate=word_mutation(WORDS),
    lines_of=("bagreid.catalog.truth",),
    largest=2048,
)
