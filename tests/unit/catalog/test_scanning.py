"""Scanning many tars: side by side, kept, and done again only where something changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_archives import Contents, jpeg, write_tar

from bagreid.catalog import open_catalog
from bagreid.catalog.hold import hold_archive
from bagreid.catalog.layouts import find_layout
from bagreid.catalog.pieces import Piece, tar_piece
from bagreid.catalog.scanning import scan as scan_module
from bagreid.catalog.scanning import scan_tars
from bagreid.catalog.scanning.pieces_on_disk import read_piece, write_piece
from bagreid.catalog.survey import survey_archive
from bagreid.shards import scan_tar

TARS = 5


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five train tars of two folders each, and a test tar."""
    for part in range(TARS):
        names = [
            f"sysu_train_set_all/{2 * part + folder:010d}/{n}.jpg"
            for folder in (1, 2)
            for n in range(20)
        ]
        write_tar(tmp_path / "root/train" / f"sysu_train_set_all_part{part + 1}.tar", names)
    test = [
        f"sysu_test_set_all/{kind}/5/5_c{c}_1.jpg" for c, kind in [(2, "query"), (1, "gallery")]
    ]
    write_tar(tmp_path / "root/test/sysu_test_set_all.tar", test)
    return tmp_path / "root"


def scan(root: Path, place: Path, workers: int | None = None, progress: Any = None) -> list[Piece]:
    with hold_archive(place) as hold:
        return scan_tars(find_layout(root), place, hold, workers=workers, progress=progress)


def columns(piece: Piece) -> dict[str, list[Any]]:
    names = ("block", "size", "split", "group", "camera", "key", "long_block")
    found = {name: getattr(piece, name).tolist() for name in names}
    return found | {
        "folders": list(piece.folders),
        "long_name": piece.long_name.to_pylist(),
        "odd": [piece.odd, piece.bytes, piece.state],
    }


def kept(place: Path) -> dict[str, tuple[int, int]]:
    """Finished scans, each with what changes when it is written anew."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (place / "scans").iterdir()
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_side_by_side_gives_what_one_by_one_gives(root: Path, tmp_path: Path, workers: int) -> None:
    told: dict[Path, tuple[int, int, int]] = {}
    pieces = scan(
        root, tmp_path / "place", workers, lambda path, *how_far: told.update({path: how_far})
    )
    layout = find_layout(root)
    for tar, piece in zip(layout.tars, pieces, strict=True):
        assert columns(piece) == columns(tar_piece(scan_tar(tar.path), tar.side))
        size = tar.path.stat().st_size
        assert told[tar.path] == (len(piece), size, size)
    assert len(kept(tmp_path / "place")) == TARS + 1


def test_a_finished_scan_is_read_back(root: Path, tmp_path: Path) -> None:
    first = scan(root, tmp_path / "place")
    before = kept(tmp_path / "place")
    again = scan(root, tmp_path / "place", 2)
    assert [columns(piece) for piece in again] == [columns(piece) for piece in first]
    assert kept(tmp_path / "place") == before


def touch(tar: Path) -> None:
    os.utime(tar, ns=(0, tar.stat().st_mtime_ns + 1))


def grow(tar: Path) -> None:
    write_tar(tar, [f"sysu_train_set_all/0000000003/{n}.jpg" for n in range(50)])


def exchange(tar: Path) -> None:
    """Other images of the same sizes, and the old time of change."""
    stamp = tar.stat().st_mtime_ns
    names = scan_tar(tar).names.to_pylist()
    write_tar(tar, [name.replace("/0000000003/", "/0000000093/") for name in names])
    os.utime(tar, ns=(stamp, stamp))


@pytest.mark.parametrize("change", [touch, grow, exchange])
def test_only_a_changed_tar_is_scanned_again(root: Path, tmp_path: Path, change: Any) -> None:
    scan(root, tmp_path / "place")
    before = kept(tmp_path / "place")
    tar = root / "train/sysu_train_set_all_part2.tar"
    change(tar)
    pieces = scan(root, tmp_path / "place")
    after = kept(tmp_path / "place")
    assert len(set(before.items()) & set(after.items())) == TARS
    assert len(after) == TARS + 1  # the scan of what the tar was is gone
    assert columns(pieces[1]) == columns(tar_piece(scan_tar(tar), "train"))


def test_scans_of_tars_that_are_gone_go(root: Path, tmp_path: Path) -> None:
    scan(root, tmp_path / "place")
    (root / f"train/sysu_train_set_all_part{TARS}.tar").unlink()
    scan(root, tmp_path / "place")
    assert len(kept(tmp_path / "place")) == TARS


@pytest.mark.parametrize("junk", [b"", b"ARROW1\0\0", None])
def test_a_damaged_scan_is_done_again(root: Path, tmp_path: Path, junk: bytes | None) -> None:
    first = scan(root, tmp_path / "place")
    path = sorted((tmp_path / "place/scans").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-700] if junk is None else junk)
    again = scan(root, tmp_path / "place")
    assert [columns(piece) for piece in again] == [columns(piece) for piece in first]


def test_a_scan_with_a_hole_is_done_again(root: Path, tmp_path: Path) -> None:
    """As a power cut leaves it: the right length, and zeros where nothing was written yet."""
    first = scan(root, tmp_path / "place")
    for path in (tmp_path / "place/scans").iterdir():
        raw = bytearray(path.read_bytes())
        keys = raw.find(first[0].key.tobytes()[:16])
        start = keys if keys >= 0 else len(raw) // 2
        raw[start : start + 64] = bytes(64)
        path.write_bytes(raw)
    again = scan(root, tmp_path / "place")
    assert [columns(piece) for piece in again] == [columns(piece) for piece in first]


def test_a_damaged_tar_is_kept_as_it_is_found(root: Path, tmp_path: Path) -> None:
    tar = root / "train/sysu_train_set_all_part3.tar"
    tar.write_bytes(tar.read_bytes()[: 512 * 2 * 10 + 700])
    for _ in range(2):
        piece = scan(root, tmp_path / "place")[2]
        assert len(piece) == 11
        assert piece.damage is not None
        assert piece.damage.path == tar
        assert "11 members read whole" in str(piece.damage)
    assert len(kept(tmp_path / "place")) == TARS + 1


def test_a_tar_that_cannot_be_opened_is_told_and_not_kept(root: Path, tmp_path: Path) -> None:
    layout = find_layout(root)
    layout.tars[0].path.unlink()
    with hold_archive(tmp_path / "place") as hold:
        pieces = scan_tars(layout, tmp_path / "place", hold, workers=1, progress=None)
    assert "cannot be read" in str(pieces[0].damage)
    assert [len(piece) for piece in pieces] == [0, 40, 40, 40, 40, 2]
    assert len(kept(tmp_path / "place")) == TARS


def test_where_nothing_can_be_kept_it_works_all_the_same(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert len(survey_archive(root, cache=tmp_path / "file").members) == TARS * 40 + 2
    assert (tmp_path / "file").read_bytes() == b""


def test_many_small_tars_need_no_processes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Iterator[None]:
        raise AssertionError("a process was started")

    monkeypatch.setattr(scan_module, "scan_side_by_side", refuse)
    assert len(scan(root, tmp_path / "place")) == TARS + 1
    monkeypatch.setattr(scan_module, "_WORTH_A_PROCESS", 0)
    shutil.rmtree(tmp_path / "place")
    with pytest.raises(AssertionError, match="a process was started"):
        scan(root, tmp_path / "place", 2)


def test_a_script_without_a_main_guard_is_told_plainly(root: Path, tmp_path: Path) -> None:
    """Python's spawned processes run the script again; ours must not hang over that."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from bagreid.catalog import open_catalog\n"
        f"open_catalog(Path({str(root)!r}), cache=Path({str(tmp_path / 'c')!r}), workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a process that scans tars died" in done.stderr
    assert "__main__" in done.stderr


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 5), st.booleans()), max_size=40),
    st.integers(0, 2**32 - 40 * 16),
)
def test_any_places_survive_the_disk(
    tmp_path_factory: pytest.TempPathFactory, images: list[tuple[int, int, bool]], first: int
) -> None:
    size = np.array([image[0] for image in images], np.uint32)
    gap = np.array([image[1] for image in images], np.int64)
    long = np.flatnonzero([image[2] for image in images])
    block = (first + np.cumsum(gap + 1 + np.r_[0, (size[:-1] + 511) // 512][: len(gap)])).astype(
        np.uint32
    )
    import pyarrow as pa

    zeros = np.zeros(len(images), np.int64)
    piece = Piece(
        block=block,
        size=size,
        split=zeros.astype(np.int8),
        group=zeros.astype(np.int32),
        camera=zeros.astype(np.int16),
        key=zeros.astype(np.uint64),
        folders=("a",),
        long_block=block[long],
        long_name=pa.array([f"long/{row}.jpg" for row in long], pa.large_string()),
    )
    path = tmp_path_factory.mktemp("pieces") / "piece.arrow"
    write_piece(path, piece, "token")
    again = read_piece(path, Path("x.tar"))
    assert again is not None
    assert columns(again) == columns(piece)
    assert [entry.name for entry in path.parent.iterdir()] == ["piece.arrow"]


def test_a_tar_exchanged_between_scan_and_read_is_told(
    archive: Path, tmp_path: Path, contents: Contents
) -> None:
    catalog = open_catalog(archive, cache=tmp_path / "cache")
    (archive / "train/sysu_train_set_all_part1.tar").unlink()
    with pytest.raises(Exception, match=r"part1\.tar.*cannot be read"):
        catalog.read(0)
    assert bytes(catalog.read(len(catalog) - 1)) == jpeg(contents.gallery[-1])
