"""Identities and cameras out of file names, and as numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.evaluation.inputs import PATTERNS, pattern_of
from bagreid.evaluation.inputs.columns import Column
from bagreid.evaluation.inputs.names import read_names
from bagreid.evaluation.inputs.numbering import number_cameras, number_identities

HERE = Path("names.txt")


def read(name: str, pattern: str | None = None) -> tuple[int, int]:
    pid, camid = read_names(Column((name,), HERE, "name", line=1), pattern_of(pattern), "gallery")
    people = number_identities(pid, pid)
    cameras = number_cameras(camid, camid)
    assert people.texts is None
    assert cameras.texts is None
    return int(people.gallery[0]), int(cameras.gallery[0])


@pytest.mark.parametrize(
    ("name", "pattern", "pid", "camid"),
    [
        ("0002_c1s1_000451_03.jpg", None, 2, 1),
        ("0002_c1s1_000451_03.jpg", "market1501", 2, 1),
        ("bounding_box_test/-1_c6s4_022541_04.jpg", None, -1, 6),
        ("0000_c3s2_105228_06.jpg", None, -1000, 3),
        ("0001_c2_f0046182.jpg", "dukemtmc", 1, 2),
        ("0001_c2_f0046182.jpg", None, 1, 2),
        ("0000_c2_f0046182.jpg", "dukemtmc", 0, 2),
        ("0023_c1_15.png", "cuhk03-np", 23, 1),
        ("0000_000_01_0303morning_0015_0.jpg", "msmt17", 0, 1),
        ("0034/0034_012_15_0303noon_0015_0_ex.jpg", "msmt17", 34, 15),
        ("sysu_test_set_all/query/000028311/000028311_c2_2.jpg", "sysu30k", 28311, 2),
        ("sysu_test_set_all/gallery/0000others/0000others_c1_44.jpg", "sysu30k", -1000, 1),
        ("0000others_c12_44.jpg", None, -1000, 12),
        (r"D:\sysu\000028311\000028311_c12_2.jpg", None, 28311, 12),
        ("c3/p7/x.jpg", r"c(?P<camid>\d)/p(?P<pid>\d)", 7, 3),
        ("000000_c1_1.jpg", r"(?P<pid>\d+)_c(?P<camid>\d+)", 0, 1),
    ],
)
def test_names_of_known_sets(name: str, pattern: str | None, pid: int, camid: int) -> None:
    assert read(name, pattern) == (pid, camid)


@settings(max_examples=50)
@given(
    pid=st.integers(-1, 10**9),
    camid=st.integers(0, 10**4),
    zeros=st.integers(1, 9),
    rest=st.from_regex(r"(s[0-9])?_[a-z0-9_]{0,9}\.jpg", fullmatch=True),
    folder=st.text(max_size=9),
)
def test_what_is_written_is_read(pid: int, camid: int, zeros: int, rest: str, folder: str) -> None:
    number = str(pid) if pid < 0 else f"{pid:0{zeros}d}"
    name = f"{folder}/{number}_c{camid}{rest}"
    assert read(name, "cuhk03-np") == (pid, camid)
    assert read(name) == (-1000 if pid == 0 else pid, camid)


@given(
    name=st.text(max_size=30) | st.from_regex(r"-?[0-9]{0,5}_?c?[0-9]{0,3}.*"),
    pattern=st.sampled_from(
        [None, *PATTERNS, r"(?P<pid>a)?(?P<camid>b)", r"(?P<pid>.)(?P<camid>.)"]
    ),
)
def test_any_text_is_read_or_refused(name: str, pattern: str | None) -> None:
    column = Column((name,), HERE, "name", line=1)
    refused = ""
    try:
        pid, camid = read_names(column, pattern_of(pattern), "query")
    except BagreidError as error:
        refused = str(error)
    if refused:
        assert refused.startswith("names.txt, line 1: ")
        return
    assert len(pid) == len(camid) == 1
    if pattern != "msmt17" and pattern in PATTERNS:
        assert re.match(r"-?[0-9]+(others)?_c[0-9]+", re.split(r"[/\\]", name)[-1])


@given(pattern=st.text(max_size=20))
def test_any_pattern_is_taken_or_refused(pattern: str) -> None:
    refused = ""
    try:
        taken = pattern_of(pattern)
    except BagreidError as error:
        refused = str(error)
    if refused:
        assert "name pattern" in refused
    else:
        assert pattern in PATTERNS or {"pid", "camid"} <= set(taken.regex.groupindex)


WHOLE = st.integers(-(10**6), 10**6)


@given(query=st.lists(st.text(), min_size=1), gallery=st.lists(st.text(), min_size=1))
def test_equal_texts_get_equal_numbers(query: list[str], gallery: list[str]) -> None:
    sides = (Column(tuple(query), HERE, "camid"), Column(tuple(gallery), HERE, "camid"))
    odd = [
        text
        for text in query + gallery
        if re.fullmatch(r"|nan|NaN|None|null|<NA>|[+-]?[0-9]+\.[0-9]*", text)
    ]
    if odd:
        with pytest.raises(BagreidError, match=r"is empty|neither a whole number nor a name"):
            number_cameras(*sides)
        return
    numbered = number_cameras(*sides)
    texts, numbers = query + gallery, [*numbered.query.tolist(), *numbered.gallery.tolist()]
    if numbered.texts is None:
        assert numbers == [int(text) for text in texts]
        return
    assert [numbered.texts[number] for number in numbers] == texts
    assert sorted(set(numbers)) == list(range(len(set(texts))))


@given(numbers=st.lists(WHOLE, min_size=1), spelled=st.booleans())
def test_whole_numbers_are_kept(numbers: list[int], spelled: bool) -> None:
    column = Column(np.array(numbers), HERE, "pid")
    text = Column(tuple(map(str, numbers)), HERE, "pid")
    odd = [number for number in numbers if number < 0 and number not in (-1, -1000)]
    if odd:
        with pytest.raises(BagreidError, match=f"a negative identity: {odd[0]}"):
            number_identities(column, text)
        return
    numbered = number_identities(text if spelled else column, column)
    assert numbered.query.tolist() == numbered.gallery.tolist() == numbers
    assert numbered.texts is None


def test_names_have_no_junk() -> None:
    query = Column(("ann", "bob"), HERE, "pid")
    for special in ("-1", "-1000"):
        with pytest.raises(BagreidError, match=f"holds {special} among identities that are names"):
            number_identities(query, Column(("ann", special), HERE, "pid"))
    numbered = number_identities(query, Column(("bob", "-7", "0002"), HERE, "pid"))
    assert numbered.texts == ("-7", "0002", "ann", "bob")
    assert numbered.query.tolist() == [2, 3]
    assert numbered.gallery.tolist() == [3, 0, 1]
    assert numbered.label(2) == "ann"
