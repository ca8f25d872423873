"""List files and the truth table."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.catalog.lists import NameList, list_finding, match, read_list
from bagreid.catalog.names import split_paths
from bagreid.catalog.truth import read_truth
from bagreid.contracts import BagreidError
from memory import said_and_peak
from twins import RefusedError, by_tail, list_twin

NAMES = [f"sysu_train_set_all/{n:010d}/{k}.jpg" for n in range(4) for k in range(3)]


def listed(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode())
    return distinct(read_list(path))


def distinct(names: NameList) -> list[str]:
    return names.names(np.arange(len(names.keys)))


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
        ("a/b.jpg\n\nb.jpg\n", "line 3: 'b.jpg' is no path"),
        ("a/b.png\n", "line 1: .*no path of a JPEG"),
        ("a/\x1b[31m.jpeg.\n", r"line 1: 'a/\\x1b\[31m"),
        (f"{NAMES[0]}\n\n{'a' * 5000}/b.jpg", "line 3: the line is longer than any path"),
        (f"{NAMES[0]}\n{' ' * 6_000_000}", "line 2: the line is longer than any path"),
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


@settings(max_examples=150)
@given(raw=st.binary(max_size=100) | st.text("ab/.jpg\n 1", max_size=60).map(str.encode))
def test_any_bytes_give_a_list_or_the_typed_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(raw)
    with contextlib.suppress(BagreidError):
        read_list(path)


PART = st.sampled_from(["sysu_test_set_all", "query", "gallery", "a b", "é", "", ".", ".."])
FILE = st.sampled_from(
    ["1.jpg", "2.JPG", "3.jpeg", ".jpg", "._1.jpg", "1.png", "1.jpg.", "\x00.jpg"]
)
CLASS = st.sampled_from(["", "", " 7", "\t-1", " x", " 7 8", "  12 ", "\r"])
GOOD = st.builds(
    "{}/{}/{}{}".format,
    PART.filter(bool),
    PART.filter(bool),
    st.sampled_from(["1.jpg", "2.JPG"]),
    CLASS,
)
ODD = st.builds("{}/{}{}".format, PART, FILE, CLASS) | st.text(
    "ab/.jpg 1\t\v\x85\xa0\u2028", max_size=12
)


@settings(max_examples=200)
@given(
    good=st.lists(GOOD, max_size=12),
    odd=st.lists(ODD, max_size=1),
    mark=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    last=st.booleans(),
    split=st.sampled_from([None, "query", "gallery"]),
    piece=st.sampled_from([1, 10, 50, 4 << 20]),
)
def test_reading_equals_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory,
    good: list[str],
    odd: list[str],
    mark: str,
    end: str,
    last: bool,
    split: str | None,
    piece: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "twin.txt"
    path.write_bytes((mark + end.join(good + odd) + end * last).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bagreid.catalog.lists.PIECE", piece)
        try:
            expected = list_twin(path.read_bytes(), split)
        except RefusedError:
            with pytest.raises(BagreidError):
                read_list(path, split)
            return
        names = read_list(path, split)
        different = list(by_tail(expected).values())
        assert distinct(names) == different
        assert (names.lines, names.repeated) == (len(expected), len(expected) - len(different))


@settings(max_examples=100)
@given(
    lines=st.lists(st.sampled_from(NAMES), max_size=15),
    images=st.lists(st.sampled_from(NAMES), max_size=15, unique=True),
    piece=st.sampled_from([1, 100, 4 << 20]),
    block=st.sampled_from([1, 4, 1 << 22]),
)
def test_matching_equals_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    images: list[str],
    piece: int,
    block: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "match.txt"
    path.write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bagreid.catalog.lists.PIECE", piece)
        patch.setattr("bagreid.catalog.lists._BLOCK", block)
        names = read_list(path)
        place, present = match(split_paths(pa.array(images, pa.large_string())).keys(), names)
    different = list(dict.fromkeys(lines))
    assert place.tolist() == [different.index(n) if n in different else -1 for n in images]
    assert present.tolist() == [name in images for name in different]
    assert (names.lines, names.repeated) == (len(lines), len(lines) - len(different))
    absent = [name for name in different if name not in images]
    finding = list_finding("match.txt", "train", names, present, 0, ())
    assert (finding.absent, finding.first_absent) == (len(absent), tuple(absent[:10]))


def test_a_list_that_is_gone_or_shorter_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\n".join(NAMES))
    names = read_list(path)
    path.write_text(NAMES[0])
    with pytest.raises(BagreidError, match="the list changed while it was read"):
        names.names(np.array([0, 5]))
    path.unlink()
    with pytest.raises(BagreidError, match="cannot be read"):
        names.names(np.array([0]))


def test_a_long_list_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    with path.open("w") as file:
        for n in range(400):
            lines = (f"sysu_train_set_all/{n:010d}/{n:010d}_{k:05d}.jpg\n" for k in range(2500))
            file.write("".join(lines))
    read = "from bagreid.catalog.lists import read_list as read"
    said, peak = said_and_peak(f"{read}\ndef work():\n    return read(path).lines", path)
    assert said == "1000000"
    assert peak < 3 * path.stat().st_size


def truth(tmp_path: Path, text: str) -> tuple[list[int], int, int]:
    path = tmp_path / "truth.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
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
    ("text", "match_"),
    [
        ("", "row 1: "),
        ("name,who\na/b.jpg,1\n", "row 1: .*its first line is 'name,who'"),
        ("image,person_id\na/b.jpg,Bob\n", "row 2: .*invalid value 'Bob'"),
        ("image,person_id\na/b.jpg,1\na/b.jpg,\n", "row 3: .*a person_id is empty"),
        ("image,person_id\na,b,c\n", "row 2: .*Expected 2 columns"),
        (f"image,person_id\na,{'x' * 5000}\n", r"row 2: .*xxx \.\.\."),
        ("image,\udce9\n", "row 1: .*it is not UTF-8 text"),
        ("image,person_id\n\udce9,1\n", "row 2: .*invalid UTF8"),
    ],
)
def test_what_is_no_truth_is_refused(tmp_path: Path, text: str, match_: str) -> None:
    with pytest.raises(BagreidError, match=f"{match_}") as caught:
        truth(tmp_path, text)
    assert "no table of truth" in caught.value.message
    assert len(str(caught.value)) < 600
