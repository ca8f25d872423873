"""The catalog as a whole: order, columns, staleness, processes, protocol, findings."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from sample_archives import Contents, jpeg, write_files, write_tar

from bagreid.catalog import Catalog, open_catalog
from bagreid.catalog import catalog as catalog_module
from bagreid.catalog.store import cache_directory
from bagreid.contracts import BagreidError


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def everything(catalog: Catalog) -> list[tuple[str, bytes, int, int]]:
    return [
        (
            catalog.name(row),
            bytes(catalog.read(row)),
            int(catalog.group[row]),
            int(catalog.camera[row]),
        )
        for row in range(len(catalog))
    ]


def in_another_process(catalog: Catalog) -> tuple[list[tuple[str, bytes, int, int]], bool]:
    maps = Path("/proc/self/maps").read_text() if Path("/proc/self/maps").exists() else ""
    places = f"{catalog.directory}/places.npy"  # a fork has those of other tests' catalogs, too
    assert places not in maps  # single images are read, so that nothing is a worker's own
    found, block = everything(catalog), catalog.block
    maps = Path("/proc/self/maps").read_text() if maps else ""
    return found, (places in maps or not maps) and not block.flags.owndata


def test_columns_and_folders(archive: Path, cache: Path) -> None:
    catalog = open_catalog(archive, cache=cache)
    train = catalog.split("train")
    assert (catalog.shard.dtype, catalog.size.dtype) == (np.uint16, np.uint32)
    assert (catalog.group.dtype, catalog.camera.dtype) == (np.int32, np.int16)
    assert not any(column.flags.writeable for column in (catalog.block, catalog.size))
    for folder, name in enumerate(catalog.folder_names):
        rows = range(int(catalog.folder_start[folder]), int(catalog.folder_stop[folder]))
        assert [catalog.name(row).split("/")[1] for row in rows] == [name] * 3
        assert catalog.group[list(rows)].tolist() == [folder] * 3
    assert catalog.folder_stop[-1] == len(train)
    offsets = catalog.offset
    assert len(offsets) == len(catalog)
    assert offsets[0] == 512
    assert offsets[2:4].dtype == np.int64
    assert np.asarray(offsets).tolist() == [catalog.ref(row).offset for row in range(len(catalog))]
    assert "15 train, 4 query, 7 gallery, 5 folders" in repr(catalog)
    with pytest.raises(IndexError):
        catalog.name(len(catalog))


def test_bags_know_folders_and_identities(archive: Path, cache: Path, contents: Contents) -> None:
    catalog = open_catalog(archive, cache=cache)
    for number, bag in enumerate(contents.bags):
        names = [catalog.folder_names[f] for f in catalog.bags.folders(number)]
        assert names == sorted({pattern[:-2] for pattern in bag["BagImages"]})
        labels = catalog.identities[catalog.bags.labels(number)]
        assert labels.tolist() == sorted(set(bag["BagLabel"]))
    # Clamping at both ends repeats 1 entry in two bags and 3 in each widest end, 2·(1 + 2 + 1).
    assert catalog.findings.duplicate_bag_labels == 8
    assert catalog.findings.duplicate_bag_folders == 8
    assert catalog.findings.bags_merged == 6


def test_train_rows_follow_folder_numbers_across_tars(tmp_path: Path, cache: Path) -> None:
    write_tar(
        tmp_path / "train/p1.tar",
        [f"sysu_train_set_all/{f}/{n}.jpg" for n in (2, 1) for f in (10, 9)],
    )
    write_tar(
        tmp_path / "train/p2.tar", ["sysu_train_set_all/9/0.jpg", "sysu_train_set_all/b/0.jpg"]
    )
    catalog = open_catalog(tmp_path, cache=cache)
    assert catalog.folder_names == ["9", "10", "b"]
    names = [catalog.name(row).removeprefix("sysu_train_set_all/") for row in range(len(catalog))]
    assert names == ["9/2.jpg", "9/1.jpg", "9/0.jpg", "10/2.jpg", "10/1.jpg", "b/0.jpg"]
    assert catalog.shard.tolist() == [0, 0, 1, 0, 0, 1]


def test_hundreds_of_folders(tmp_path: Path, cache: Path) -> None:
    names = [f"sysu_train_set_all/{f:010d}/{n}.jpg" for n in range(2) for f in range(700, 0, -1)]
    write_tar(tmp_path / "train/part1.tar", names)
    write_tar(tmp_path / "test/t.tar", ["sysu_test_set_all/query/1/1_c1_1.jpg"])
    catalog = open_catalog(tmp_path, cache=cache)
    assert len(catalog.folder_names) == 700
    assert [catalog.name(row) for row in catalog.split("train")] == sorted(names)
    assert np.array_equal(catalog.folder_stop - catalog.folder_start, np.full(700, 2))


def test_test_rows_follow_their_lists(archive: Path, cache: Path, contents: Contents) -> None:
    (archive / "gallery.txt").write_text("\n".join(contents.gallery[::-1]))
    catalog = open_catalog(archive, cache=cache)
    assert [catalog.name(row) for row in catalog.split("gallery")] == contents.gallery[::-1]


def test_lists_against_images_both_ways(archive: Path, cache: Path, contents: Contents) -> None:
    absent = [f"sysu_train_set_all/0000000001/absent{n}.jpg" for n in range(12)]
    (archive / "train.txt").write_text("\n".join([*absent, *contents.train[2:], contents.train[5]]))
    (archive / "query.txt").write_text("\n".join(contents.query[1:]))
    catalog = open_catalog(archive, cache=cache)
    train, query, gallery = catalog.findings.lists
    assert (train.lines, train.repeated, train.absent, train.unlisted) == (26, 1, 12, 2)
    assert list(train.first_absent) == absent[:10]
    assert list(train.first_unlisted) == contents.train[:2]
    assert (query.absent, query.unlisted, gallery.unlisted) == (0, 1, 0)
    assert [catalog.name(row) for row in catalog.split("query")] == [
        *contents.query[1:],
        contents.query[0],
    ]


def test_truth(archive: Path, cache: Path, contents: Contents) -> None:
    assert open_catalog(archive, cache=cache).truth().tolist() == [-1] * 15
    lines = [f"{name},{1 + row % 6}" for row, name in enumerate(contents.train[:-1])]
    (archive / "truth.csv").write_text("\n".join(["image,person_id", *lines, "a/b.jpg,1"]))
    catalog = open_catalog(archive, cache=cache)
    assert catalog.truth().tolist() == [0, 1, 2, 3, 4, -1] * 2 + [0, 1, -1]
    assert (catalog.findings.truth_absent, catalog.findings.truth_missing) == (1, 1)


def test_a_built_catalog_is_opened_again_and_a_changed_archive_is_not(
    archive: Path, cache: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_catalog(archive, cache=cache)
    built = []
    real = catalog_module.build_catalog
    monkeypatch.setattr(
        catalog_module,
        "build_catalog",
        lambda *args, **kwargs: (built.append(1), real(*args, **kwargs)),
    )
    assert open_catalog(archive, cache=cache).directory == first.directory
    assert not built
    changes = [
        archive / "train" / "sysu_train_set_all_part1.tar",
        archive / "query.txt",
        archive / "bag_level_label.json",
    ]
    for number, path in enumerate(changes, start=1):
        stamp = path.stat().st_mtime_ns + 10**9
        os.utime(path, ns=(stamp, stamp))
        open_catalog(archive, cache=cache)
        assert len(built) == number, path
    (archive / "gallery.txt").unlink()
    open_catalog(archive, cache=cache)
    assert len(built) == 4
    catalog = open_catalog(archive, cache=cache, rebuild=True)
    assert len(built) == 5
    place = cache_directory(archive, cache)
    left = {path.name for path in place.iterdir()}  # no earlier states, and nothing half written
    assert left == {"lock", "scans", catalog.directory.name}
    # The first catalog is deleted by now, yet who has it open reads on.
    assert int(first.size[0]) == len(jpeg(contents.train[0]))


def test_a_link_and_its_target_share_one_catalog(
    any_layout: tuple[str, Path, str], tmp_path: Path, cache: Path
) -> None:
    root = any_layout[1]
    (tmp_path / "another_name").symlink_to(root)
    first = open_catalog(root, cache=cache)
    second = open_catalog(tmp_path / "another_name", cache=cache)
    assert second.directory == first.directory
    assert everything(second) == everything(first)


def test_a_new_extracted_file_is_noticed(tmp_path: Path, cache: Path, contents: Contents) -> None:
    write_files(tmp_path, contents.names)
    assert len(open_catalog(tmp_path, cache=cache)) == 26
    write_files(tmp_path, ["sysu_train_set_all/0000000003/new.jpg"])
    os.utime(tmp_path / "sysu_train_set_all/0000000003", (1, 1))
    assert len(open_catalog(tmp_path, cache=cache)) == 27


def test_a_failed_build_leaves_nothing(archive: Path, cache: Path) -> None:
    tar = archive / "test" / "sysu_test_set_all.tar"
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(BagreidError, match=r"members? read whole"):
        open_catalog(archive, cache=cache)
    assert not [*cache.rglob("catalog.json"), *cache.rglob("*.partial")]


def test_the_place_of_the_cache(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAGREID_CACHE", str(tmp_path / "named"))
    assert open_catalog(archive).directory.is_relative_to(tmp_path / "named")
    monkeypatch.delenv("BAGREID_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place = tmp_path / "home" / ".cache" / "bagreid"
    assert open_catalog(archive).directory.is_relative_to(place)
    link = tmp_path / "link"
    link.symlink_to(archive)
    assert cache_directory(link, None) == cache_directory(archive, None)
    (tmp_path / "file").touch()
    with pytest.raises(BagreidError, match="cannot be written"):
        open_catalog(archive, cache=tmp_path / "file")


@pytest.mark.parametrize("name", ["places.npy", "catalog.json", "folders.arrow", "runs.arrow"])
@pytest.mark.parametrize("rest", [None, 0, 7, 60, -1])
def test_a_damaged_catalog_is_told(archive: Path, cache: Path, name: str, rest: int | None) -> None:
    path = open_catalog(archive, cache=cache).directory / name
    raw = path.read_bytes()
    path.unlink() if rest is None else path.write_bytes(raw[:rest])
    if name == "catalog.json" and rest is None:
        assert len(open_catalog(archive, cache=cache)) == 26  # without it, there is no catalog
        return
    with pytest.raises(BagreidError, match=r"catalog is damaged.*Delete this folder"):
        everything(open_catalog(archive, cache=cache))


def test_pickled_it_opens_again(any_layout: tuple[str, Path, str], cache: Path) -> None:
    catalog = open_catalog(any_layout[1], cache=cache)
    raw = pickle.dumps(catalog)
    assert len(raw) < 1000
    again = pickle.loads(raw)  # noqa: S301
    assert everything(again) == everything(catalog)
    reader = pickle.loads(pickle.dumps(catalog.reader()))  # noqa: S301
    for row in (0, len(catalog) - 1):
        place = int(catalog.shard[row]), int(catalog.offset[row]), int(catalog.size[row])
        assert bytes(reader.read(*place)) == bytes(catalog.read(row))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_the_memory_map(archive: Path, cache: Path, method: str) -> None:
    catalog = open_catalog(archive, cache=cache)
    with multiprocessing.get_context(method).Pool(1) as pool:
        found, shared = pool.apply(in_another_process, (catalog,))
    assert found == everything(catalog)
    assert shared


def test_a_file_changed_behind_our_back_is_told(
    tmp_path: Path, cache: Path, contents: Contents
) -> None:
    write_files(tmp_path, contents.names)
    catalog = open_catalog(tmp_path, cache=cache)
    (tmp_path / contents.train[0]).write_bytes(b"short")
    with pytest.raises(BagreidError, match="holds 5 bytes"):
        catalog.read(0)
    (tmp_path / contents.train[1]).unlink()
    with pytest.raises(BagreidError, match="cannot be read"):
        catalog.read(1)


def test_the_first_of_two_images_of_one_name_wins(
    archive: Path, cache: Path, contents: Contents
) -> None:
    write_tar(archive / "train" / "sysu_train_set_all_part3.tar", contents.train[:4])
    catalog = open_catalog(archive, cache=cache)
    assert len(catalog.split("train")) == 15
    assert catalog.findings.duplicate_images == 4
    assert catalog.shard[:4].tolist() == [0] * 4


def test_what_is_no_image_is_left_out_and_counted(archive: Path, cache: Path) -> None:
    odd = ["sysu_train_set_all/0000000001/Thumbs.db", "sysu_train_set_all/0000000001/._000_01.jpg"]
    lost = [f"sysu_train_set_all/stray{n}.jpg" for n in range(12)]
    write_tar(archive / "train" / "sysu_train_set_all_part3.tar", [*odd, *lost])
    findings = open_catalog(archive, cache=cache).findings
    assert findings.not_images == 2
    assert findings.unplaced == 12
    assert list(findings.first_unplaced) == lost[:10]


def test_a_test_name_that_does_not_parse_is_named(archive: Path, cache: Path) -> None:
    write_tar(archive / "test" / "extra.tar", ["sysu_test_set_all/query/000000006/oops.jpg"])
    with pytest.raises(BagreidError, match=r"extra\.tar.*oops\.jpg' is no test image's name"):
        open_catalog(archive, cache=cache)


def test_a_folder_in_no_bag_is_counted(archive: Path, cache: Path, contents: Contents) -> None:
    (archive / "bag_level_label.json").write_text(json.dumps(contents.bags[:1]))
    findings = open_catalog(archive, cache=cache).findings
    assert findings.folders_in_no_bag == 4
    assert findings.first_folders_in_no_bag[0] == "0000000002"


def test_a_test_set_alone_needs_no_train_images(archive: Path, cache: Path) -> None:
    shutil.rmtree(archive / "train")
    catalog = open_catalog(archive, cache=cache)
    assert (len(catalog.split("train")), len(catalog.bags)) == (0, 0)
    assert any("no train images" in note for note in catalog.findings.notes)
    assert catalog.check_test_protocol().queries == 4


def test_an_archive_without_bags_or_lists(archive: Path, cache: Path) -> None:
    for path in archive.glob("*.*"):
        path.unlink()
    catalog = open_catalog(archive, cache=cache)
    assert (len(catalog), len(catalog.bags), len(catalog.identities)) == (26, 0, 0)
    assert not catalog.findings.lists


def test_protocol_counts(archive: Path, cache: Path) -> None:
    counts = open_catalog(archive, cache=cache).check_test_protocol()
    assert (counts.queries, counts.query_identities, counts.gallery) == (4, 2, 7)
    assert (counts.matches, counts.queries_without_match) == (4, 0)
    assert (counts.distractors, counts.junk) == (4, 1)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ([], "no query images"),
        (["gallery/000000006/000000006_c1_1.jpg"], "no query images"),
        (
            ["query/000000006/000000006_c2_1.jpg", "gallery/000000007/000000007_c1_1.jpg"],
            "none of the 1 queries has a match among the 1 gallery",
        ),
        (
            ["query/000000006/000000006_c2_1.jpg", "gallery/000000006/000000006_c2_2.jpg"],
            "none of the 1 queries has a match",
        ),
        (
            ["query/0000others/0000others_c2_1.jpg", "gallery/0000others/0000others_c1_2.jpg"],
            "none of the 1 queries has a match",
        ),
    ],
)
def test_nothing_to_evaluate_is_told(
    tmp_path: Path, cache: Path, names: list[str], match: str
) -> None:
    write_tar(tmp_path / "train" / "part1.tar", ["sysu_train_set_all/0000000001/1.jpg"])
    write_tar(tmp_path / "test" / "t.tar", [f"sysu_test_set_all/{name}" for name in names])
    catalog = open_catalog(tmp_path, cache=cache)
    with pytest.raises(BagreidError, match=match) as caught:
        catalog.check_test_protocol()
    assert caught.value.remedy


def test_cameras_of_two_digits_are_kept_apart(tmp_path: Path, cache: Path) -> None:
    write_tar(
        tmp_path / "test" / "t.tar",
        [
            "sysu_test_set_all/query/000000006/000000006_c12_1.jpg",
            "sysu_test_set_all/gallery/000000006/000000006_c1_2.jpg",
            "sysu_test_set_all/gallery/000000006/000000006_c12_3.jpg",
        ],
    )
    counts = open_catalog(tmp_path, cache=cache).check_test_protocol()
    assert counts.matches == 1


PETS = Path(__file__).parents[4] / "shared" / "data" / "pets-a"


@pytest.mark.skipif(not PETS.is_dir(), reason="the pets-a archive is not beside the project")
@pytest.mark.parametrize("inner", ["", "SYSU-30k-released"])
def test_the_real_pets_archive(cache: Path, inner: str) -> None:
    catalog = open_catalog(PETS / inner, cache=cache)
    assert [len(catalog.split(split)) for split in ("train", "query", "gallery")] == [1159, 18, 124]
    assert (len(catalog.folder_names), len(catalog.bags), len(catalog.identities)) == (10, 19, 8)
    counts = catalog.check_test_protocol()
    assert (counts.matches, counts.distractors, counts.queries_without_match) == (18, 118, 0)
    assert np.bincount(catalog.truth(), minlength=8).tolist() == [
        219,
        104,
        138,
        170,
        207,
        213,
        43,
        65,
    ]
    assert all(bytes(catalog.read(row)[:3]) == b"\xff\xd8\xff" for row in range(len(catalog)))
    mixed = [*reversed(range(len(catalog))), 0, 0]
    assert catalog.read_many(mixed) == [catalog.read(row) for row in mixed]
    assert catalog.read_many([]) == []
    assert not any(entry.absent or entry.unlisted for entry in catalog.findings.lists)
