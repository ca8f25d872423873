"""Names by the million, against names one by one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bagreid.catalog.names import hash_slices, parse_test_names, split_paths

texts = st.lists(
    st.text(st.sampled_from("ab./_é-JPGjpeg10"), max_size=24)
    | st.sampled_from(
        ["x/._a.jpg", "x/.jpg", "a/b.JPG", "c/d.jpeg", "jpg", "a/b/c.jpg", "a//b.jpg"]
    ),
    max_size=40,
)


def is_image(name: str) -> bool:
    file = name.rsplit("/", 1)[-1]
    stem, dot, ending = file.rpartition(".")
    return bool(dot and stem) and ending.lower() in {"jpg", "jpeg"} and not file.startswith("._")


@settings(deadline=None, max_examples=300)
@given(names=texts)
@example(names=["a/b\x0ejpg", "a/b\x0ejpeg"])
def test_paths_equal_the_slow_twin(names: list[str]) -> None:
    paths = split_paths(pa.array(names, pa.large_string()))
    assert [paths.text(row) for row in range(len(names))] == names
    assert paths.is_image().tolist() == [is_image(name) for name in names]
    tails = ["/".join(name.rsplit("/", 2)[-2:]) for name in names]
    keys = paths.keys().tolist()
    by_tail: dict[str, int] = {}
    for tail, key in zip(tails, keys, strict=True):
        assert by_tail.setdefault(tail, key) == key
    assert len(set(keys)) == len(set(tails))
    run, directories = paths.directories()
    assert [directories[number] for number in run.tolist()] == [
        name.rpartition("/")[0] for name in names
    ]


def test_a_slice_of_an_arrow_array_is_read_rightly() -> None:
    names = pa.array(["a/b/c.jpg", "d/e/f.jpg", "g/h.jpg"], pa.large_string())
    whole, part = split_paths(names), split_paths(names.slice(1))
    assert part.keys().tolist() == whole.keys().tolist()[1:]
    assert part.text(0) == "d/e/f.jpg"


@settings(deadline=None, max_examples=100)
@given(pieces=st.lists(st.binary(max_size=40), max_size=30))
def test_hashes_depend_on_the_slice_alone(pieces: list[bytes]) -> None:
    def hashes(before: bytes) -> list[int]:
        raw = before + b"".join(pieces) + bytes(8)
        ends = len(before) + np.cumsum([0] + [len(piece) for piece in pieces])
        found = hash_slices(np.frombuffer(raw, np.uint8), ends[:-1], ends[1:])
        return [int(h) for h in found]

    first = hashes(b"")
    assert first == hashes(b"xyz")
    assert len(set(first)) == len(set(pieces))


def test_hashes_do_not_collide_on_names_like_ours() -> None:
    names = [f"sysu_train_set_all/{f:010d}/{n:06d}_01.jpg" for f in range(300) for n in range(700)]
    keys = split_paths(pa.array(names, pa.large_string())).keys()
    assert len(np.unique(keys)) == len(names)


@pytest.mark.parametrize(
    ("name", "pid", "camera"),
    [
        ("query/000028311/000028311_c2_2.jpg", 28311, 2),
        ("gallery/0000others/0000others_c1_478730.jpg", -1000, 1),
        ("gallery/-1/-1_c3_7.JPG", -1, 3),
        ("1_c12_1.jpeg", 1, 12),
        ("0_c0_0.jpg", 0, 0),
        ("2147483647_c32767_1.jpg", 2147483647, 32767),
    ],
)
def test_test_names(name: str, pid: int, camera: int) -> None:
    pids, cameras, good = parse_test_names(pa.array(["5_c1_1.jpg", name], pa.large_string()))
    assert (pids.tolist(), cameras.tolist()) == ([5, pid], [1, camera])
    assert good.all()


@pytest.mark.parametrize(
    "name",
    [
        "000028311.jpg",
        "000028311_c_1.jpg",
        "000028311_1.jpg",
        "-2_c1_1.jpg",
        "000028311_cx_1.jpg",
        "28311_c1_1.png",
        "2147483648_c1_1.jpg",
        "1_c32768_1.jpg",
        "9999999999999999999999_c1_1.jpg",
        "1_c99999999999999999999_1.jpg",
        "x/\n1_c1_1.jpg",
    ],
)
def test_a_name_that_does_not_parse_is_marked(name: str) -> None:
    names = ["5_c1_1.jpg", name, "6_c2_1.jpg"]
    pids, cameras, good = parse_test_names(pa.array(names, pa.large_string()))
    assert good.tolist() == [True, False, True]
    assert (pids[good].tolist(), cameras[good].tolist()) == ([5, 6], [1, 2])


def test_a_line_feed_in_a_folder_does_not_hide_the_file() -> None:
    names = pa.array(["query/a\nb/000000007_c2_1.jpg", "c/7_c2_1.jpg\n"], pa.large_string())
    pid, camera, good = parse_test_names(names)
    assert (pid[0], camera[0], good.tolist()) == (7, 2, [True, False])
