"""The tar writer against Python's tarfile, which knows nothing of it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.shards.writer import BLOCK, TarWriter

PART = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=140)
NAMES = st.lists(PART.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=4)


def read_back(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        found = []
        for member in members:
            file = tar.extractfile(member)
            assert file is not None
            found.append((member.name, file.read()))
    return found


@settings(max_examples=60, deadline=None)
@given(members=st.lists(st.tuples(NAMES.map("/".join), st.binary(max_size=3 * BLOCK)), max_size=6))
def test_tarfile_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    with TarWriter(path) as tar:
        for name, data in members:
            tar.add(name, data)
    assert read_back(path) == members
    assert tar.members == len(members)


@pytest.mark.parametrize(
    "name",
    [
        "n" * 100,
        "n" * 101,
        "d" * 155 + "/" + "n" * 100,
        "d" * 156 + "/" + "n" * 100,
        "d/" * 150 + "n",
        "ordner/ä" * 30,
    ],
    ids=["just fits", "one too long", "prefix just fits", "prefix too long", "deep", "two bytes"],
)
def test_long_names_survive(tmp_path: Path, name: str) -> None:
    with TarWriter(tmp_path / "a.tar") as tar:
        tar.add(name, b"data")
        tar.add("next", b"more")
    assert read_back(tmp_path / "a.tar") == [(name, b"data"), ("next", b"more")]


def test_headers_name_nobody_and_no_time(tmp_path: Path) -> None:
    with TarWriter(tmp_path / "a.tar") as tar:
        tar.add("x.jpg", b"1")
    with tarfile.open(tmp_path / "a.tar") as read:
        (member,) = read.getmembers()
    assert (member.mode, member.uid, member.gid, member.mtime) == (0o644, 0, 0, 0)
    assert (member.uname, member.gname, member.isfile()) == ("", "", True)


def test_the_end_is_two_empty_blocks_in_whole_records(tmp_path: Path) -> None:
    for count in range(1, 25):
        path = tmp_path / f"{count}.tar"
        with TarWriter(path) as tar:
            for number in range(count):
                tar.add(str(number), b"x" * BLOCK)
        data = path.read_bytes()
        assert len(data) % (20 * BLOCK) == 0
        assert data[-2 * BLOCK :] == bytes(2 * BLOCK)


def test_same_members_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with TarWriter(tmp_path / name) as tar:
            tar.add("x", b"1")
            tar.add("y" * 200, b"2" * 700)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_bytes_are_beside_until_the_end(tmp_path: Path) -> None:
    with TarWriter(tmp_path / "a.tar") as tar:
        tar.add("x", b"1")
        assert [file.name for file in tmp_path.iterdir()] == ["a.tar.partial"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar"]


def write_and_fail(path: Path) -> None:
    with TarWriter(path) as tar:
        tar.add("x", b"1")
        raise RuntimeError("stop")


def test_an_exception_leaves_nothing_and_keeps_the_old(tmp_path: Path) -> None:
    (tmp_path / "old.tar").write_bytes(b"old")
    for name in ("new.tar", "old.tar"):
        with pytest.raises(RuntimeError, match="stop"):
            write_and_fail(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["old.tar"]
    assert (tmp_path / "old.tar").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_no_tar_can_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"), TarWriter(tmp_path / "a.tar") as tar:
        tar.add(name, b"")


def test_sizes_from_eight_gibibytes_on_are_written_in_base_256() -> None:
    from bagreid.shards.writer import _header

    for size in (8**11 - 1, 8**11, 10**12):
        header = _header(b"", b"big", size, b"0")
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        assert info.size == size
    assert io.BytesIO(header).getbuffer().nbytes == BLOCK
