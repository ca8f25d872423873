"""Tars cut into pieces of work."""

from __future__ import annotations

import zlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bagreid.catalog.names import split_paths
from bagreid.data.shrinking import reading
from bagreid.data.shrinking.reading import is_image, read_pieces
from bagreid.shards.writer import TarWriter


@given(st.text("ab./_jpgJPEG", max_size=14))
@example("a/.jpg")
@example("a/._b.jpg")
@example(".jpeg")
@example("a.b/c.jpeg")
@example("jpg")
def test_what_is_an_image_is_what_a_catalog_takes_for_one(name: str) -> None:
    twin = split_paths(pa.array([name], pa.large_string())).is_image()[0]
    assert is_image(name) == twin


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    with TarWriter(path) as writer:
        for number in range(10):
            writer.add(f"folder/{number}.jpg", bytes([number]) * 100 * (number + 1))
    return path


@pytest.mark.parametrize("images", [1, 3, 10, 64])
def test_every_member_lies_in_one_piece(
    images: int, tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PIECE_IMAGES", images)
    pieces = list(read_pieces(7, tar, 0, {}))
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert {piece.tar for piece in pieces} == {7}
    parts = [part for piece in pieces for part in piece.parts]
    assert [part.member.name for part in parts] == [f"folder/{n}.jpg" for n in range(10)]
    assert [part.data for part in parts] == [bytes([n]) * 100 * (n + 1) for n in range(10)]
    for piece in pieces:
        again = list(read_pieces(7, tar, piece.stop, {}))
        assert [p.data for q in again for p in q.parts] == [
            part.data for part in parts if part.member.start >= piece.stop
        ]


def test_a_piece_is_full_when_it_holds_enough_bytes(
    tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PIECE_BYTES", 1000)
    assert [len(piece.parts) for piece in read_pieces(0, tar, 0, {})] == [4, 2, 2, 2, 0]


def test_only_the_very_bytes_that_were_found_broken_are_known(tar: Path) -> None:
    broken = zlib.crc32(b"\3" * 400)
    known = {("folder/3.jpg", 400): (broken, "bad"), ("folder/4.jpg", 500): (broken, "bad")}
    (piece,) = read_pieces(0, tar, 0, known)
    assert [part.known for part in piece.parts] == ["", "", "", "bad", *[""] * 6]
    assert len(piece.images()) == 9
