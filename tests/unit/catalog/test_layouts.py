"""The same archive, in every layout in which it lies about, gives the same catalog."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from sample_archives import Contents, write_tar

from bagreid.catalog import open_catalog
from bagreid.catalog.layouts import find_layout
from bagreid.contracts import BagreidError


def test_every_layout_gives_the_same_catalog(
    any_layout: tuple[str, Path, str], contents: Contents, tmp_path: Path
) -> None:
    what, root, layout = any_layout
    catalog = open_catalog(root, cache=tmp_path / "cache")
    assert catalog.layout == layout
    rows = [catalog.split(split) for split in ("train", "query", "gallery")]
    assert [len(split) for split in rows] == [15, 4, 7]
    assert [catalog.name(row) for row in rows[0]] == contents.train
    assert [catalog.name(row) for row in rows[1]] == contents.query
    # An older README's val.txt names the gallery first, but keeps its order; so do all others.
    assert [catalog.name(row) for row in rows[2]] == contents.gallery
    for row in range(len(catalog)):
        tail = "/".join(catalog.name(row).split("/")[-2:]).encode()
        data = bytes(catalog.read(row))
        assert data.startswith(b"\xff\xd8")
        assert data.endswith(b"\xff\xd9")
        assert tail in data
        ref = catalog.ref(row)
        with ref.path.open("rb") as file:
            file.seek(ref.offset)
            assert file.read(ref.size) == data
    assert catalog.folder_names == [f"{n:010d}" for n in range(1, 6)]
    assert len(catalog.bags) == 15
    assert catalog.identities.tolist() == [1, 2, 3, 4, 5]
    assert [entry.absent for entry in catalog.findings.lists] == [0, 0, 0]
    assert [entry.unlisted for entry in catalog.findings.lists] == [0, 0, 0]
    assert catalog.findings.duplicate_images == (26 if what == "tars_and_extracted_files" else 0)
    assert catalog.group[list(rows[2])].tolist() == [6, 7, -1000, -1000, -1000, -1000, -1]
    assert catalog.camera[list(rows[2])].tolist() == [1, 1, 1, 1, 1, 1, 13]
    assert catalog.camera[list(rows[1])].tolist() == [2] * 4


def test_newest_names_win_and_it_is_said(archive: Path, contents: Contents) -> None:
    contents.write_old_lists(archive / "meta")
    (archive / "bag_level_label.txt").write_text("not even JSON")
    layout = find_layout(archive)
    assert layout.bag_file == archive / "bag_level_label.json"
    assert layout.lists["query"].path == archive / "query.txt"
    assert not layout.lists["query"].mixed
    assert any(
        "bag_level_label.json is used, bag_level_label.txt left aside" in note
        for note in layout.notes
    )
    assert any("query.txt is used, meta/val.txt left aside" in note for note in layout.notes)


def test_parts_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for part in range(1, 12):
        (tmp_path / "train" / f"sysu_train_set_all_part{part}.tar").write_bytes(bytes(1024))
    names = [
        tar.path.stem.removeprefix("sysu_train_set_all_part") for tar in find_layout(tmp_path).tars
    ]
    assert names == [str(n) for n in range(1, 12)]


def test_a_missing_part_is_named(archive: Path) -> None:
    (archive / "train" / "sysu_train_set_all_part1.tar").unlink()
    with pytest.raises(BagreidError, match=r"part1\.tar: the tar is missing.*part 2"):
        find_layout(archive)


def test_a_packed_tar_is_refused(archive: Path) -> None:
    (archive / "train" / "sysu_train_set_all_part3.tar.gz").write_bytes(b"")
    with pytest.raises(BagreidError, match=r"part3\.tar\.gz: the tar is compressed"):
        find_layout(archive)


def test_nothing_recognisable_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match=r"train/\*\.tar.*sysu_train_set_all/.*imagenet/"):
        find_layout(tmp_path)
    with pytest.raises(BagreidError, match="no such folder"):
        find_layout(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(BagreidError, match="a file, not a folder"):
        find_layout(tmp_path / "file")


def test_a_link_round_in_a_circle_ends(archive: Path, tmp_path: Path) -> None:
    (archive / "data").symlink_to(archive.parent)
    assert len(find_layout(archive).tars) == 3
    assert len(open_catalog(archive, cache=tmp_path / "cache")) == 26


def test_a_broken_link_to_a_tar_is_told(archive: Path, tmp_path: Path) -> None:
    tar = archive / "train" / "sysu_train_set_all_part2.tar"
    tar.unlink()
    tar.symlink_to(tmp_path / "gone.tar")
    with pytest.raises(BagreidError, match=r"part2\.tar.*cannot be read"):
        open_catalog(archive, cache=tmp_path / "cache")


def test_long_names_are_right_in_every_format(tmp_path: Path) -> None:
    long = [
        f"{'deep/' * depth}sysu_train_set_all/{folder:010d}/{'n' * length}{folder}.jpg"
        for folder, length, depth in [(2, 120, 0), (1, 58, 30), (1, 20, 0), (3, 60, 10)]
    ]
    formats = [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]
    for part, tar_format in enumerate(formats, start=1):
        names = [name.replace(".jpg", f"_{part}.jpg") for name in long[part == 3 :]]
        write_tar(tmp_path / "train" / f"part{part}.tar", names, tar_format)
    catalog = open_catalog(tmp_path, cache=tmp_path / "cache")
    expected = {
        name.replace(".jpg", f"_{part}.jpg").removeprefix("deep/" * 30).removeprefix("deep/" * 10)
        for part in (1, 2, 3)
        for name in long[part == 3 :]
    }
    assert {catalog.name(row) for row in range(len(catalog))} == expected
    for row in range(len(catalog)):
        assert catalog.name(row).encode() in bytes(catalog.read(row))
