"""List files and the truth table."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.catalog.lists import match, read_list
from bagreid.catalog.names import split_paths
from bagreid.catalog.truth import read_truth
from bagreid.contracts import BagreidError

NAMES = [f"sysu_train_set_all/{n:010d}/{k}.jpg" for n in range(4) for k in range(3)]


def listed(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode())
    names = read_list(path)
    return [names.paths.text(line) for line in names.line.tolist()]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_blank_lines_and_class_numbers(tmp_path: Path, end: str, last: bool) -> None:
    text = end.join([NAMES[0], "", f"{NAMES[1]} 17", f"  {NAMES[2]}\t-1 "]) + (end if last else "")
    assert listed(tmp_path, text) == NAMES[:3]
    assert listed(tmp_path, "\ufeff" + text) == NAMES[:3]


def test_empty_list(tmp_path: Path) -> None:
    assert listed(tmp_path, "") == listed(tmp_path, "\n\n") == []


@pytest.mark.parametrize(
    ("text", "match_"),
    [
        ("a/b.jpg\nb.jpg\n", "entry 2.*'b.jpg' is no path"),
        ("a/b.png\n", "entry 1.*no path of a JPEG"),
    ],
)
def test_a_line_that_is_no_path(tmp_path: Path, text: str, match_: str) -> None:
    with pytest.raises(BagreidError, match=match_):
        listed(tmp_path, text)


def test_a_list_that_is_no_text_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"a/b.jpg\n\xff\xfe.jpg\n")
    with pytest.raises(BagreidError, match=r"list\.txt, line 2: the list is no UTF-8"):
        read_list(path)
    with pytest.raises(BagreidError, match="cannot be read"):
        read_list(tmp_path / "absent.txt")


@settings(deadline=None, max_examples=150)
@given(raw=st.binary(max_size=100) | st.text("ab/.jpg\n 1", max_size=60).map(str.encode))
def test_any_bytes_give_a_list_or_the_typed_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(raw)
    with contextlib.suppress(BagreidError):
        read_list(path)


@settings(deadline=None, max_examples=100)
@given(
    lines=st.lists(st.sampled_from(NAMES), max_size=15),
    images=st.lists(st.sampled_from(NAMES), max_size=15, unique=True),
)
def test_matching_equals_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], images: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "match.txt"
    path.write_text("\n".join(lines))
    names = read_list(path)
    distinct = list(dict.fromkeys(lines))
    place, present = match(split_paths(pa.array(images, pa.large_string())).keys(), names)
    assert place.tolist() == [distinct.index(n) if n in distinct else -1 for n in images]
    assert present.tolist() == [name in images for name in distinct]
    assert (names.lines, names.repeated) == (len(lines), len(lines) - len(distinct))


def truth(tmp_path: Path, text: str) -> tuple[list[int], int, int]:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    keys = split_paths(pa.array(NAMES[:4], pa.large_string())).keys()
    test_keys = split_paths(pa.array(NAMES[4:6], pa.large_string())).keys()
    classes, absent, missing = read_truth(path, keys, test_keys, np.array([3, 5, 9]))
    return classes.tolist(), absent, missing


def test_truth_becomes_class_indices(tmp_path: Path) -> None:
    text = (
        f"image,person_id\n{NAMES[2]},9\n{NAMES[0]},3\n{NAMES[1]},4\n{NAMES[11]},5\n{NAMES[5]},77\n"
    )
    assert truth(tmp_path, text) == ([0, -1, 2, -1], 1, 1)
    assert truth(tmp_path, "image,person_id\n") == ([-1] * 4, 0, 4)


@pytest.mark.parametrize(
    "text",
    ["", "name,who\na/b.jpg,1\n", "image,person_id\na/b.jpg,Bob\n", "image,person_id\na/b.jpg,\n"],
)
def test_what_is_no_truth_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BagreidError, match="no table of truth"):
        truth(tmp_path, text)
