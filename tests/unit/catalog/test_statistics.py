"""The numbers of an archive against slow twins that go by the names of the images alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sample_archives import Contents, write_files, write_tar

from bagreid.catalog import Catalog, open_catalog, statistics
from bagreid.catalog.statistics import Statistics, count_archive

NONE = np.zeros(0, np.int64)


def slow(catalog: Catalog, skipped: set[int]) -> dict[str, object]:
    """Everything counted image by image, from names, files and the bag file."""
    names = {row: catalog.name(row) for row in range(len(catalog)) if row not in skipped}
    parts = {row: name.split("/") for row, name in names.items()}
    folders = Counter(p[1] for p in parts.values() if p[0] == "sysu_train_set_all")
    bags = []
    if "bags" in catalog.files:
        listed = json.loads((catalog.root / catalog.files["bags"]).read_text())
        bags = [{pattern.removesuffix("/*") for pattern in bag["BagImages"]} for bag in listed]
    cameras: dict[str, Counter[int]] = {"query": Counter(), "gallery": Counter()}
    for p in parts.values():
        if p[0] == "sysu_test_set_all":
            cameras[p[1]][int(p[-1].split("_c")[1].split("_")[0])] += 1
    return {
        "folder_images": [folders[name] for name in catalog.folder_names],
        "bag_images": [sum(folders[name] for name in bag) for bag in bags],
        "bag_folders": [len(bag) for bag in bags],
        "image_bags": Counter(
            sum(p[1] in bag for bag in bags) for p in parts.values() if p[0] == "sysu_train_set_all"
        ),
        "image_bytes": Counter(len(bytes(catalog.read(row))) for row in names),
        "cameras": cameras,
    }


def fast(found: Statistics) -> dict[str, object]:
    def plain(tally: statistics.Tally) -> Counter[int]:
        return Counter(dict(zip(tally.value.tolist(), tally.count.tolist(), strict=True)))

    return {
        "folder_images": found.folder_images.tolist(),
        "bag_images": found.bag_images.tolist(),
        "bag_folders": found.bag_folders.tolist(),
        "image_bags": plain(found.image_bags),
        "image_bytes": plain(found.image_bytes),
        "cameras": {split: plain(tally) for split, tally in found.cameras.items()},
    }


@pytest.mark.parametrize("piece", [1, 4, 1 << 20])
def test_every_layout_is_counted_as_by_hand(
    any_layout: tuple[str, Path, str],
    tmp_path: Path,
    piece: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "_PIECE", piece)
    catalog = open_catalog(any_layout[1], cache=tmp_path / "cache")
    found = count_archive(catalog, NONE)
    assert fast(found) == slow(catalog, set())
    assert (found.here("images"), found.test_images, found.test_identities) == (26, 11, 2)
    assert found.here("identities") == 7
    assert found.camera_numbers == [1, 2, 13]
    assert found.has_bags
    assert not found.full_set


def test_quarantined_images_are_left_out_of_all_but_the_counts(
    archive: Path, tmp_path: Path
) -> None:
    catalog = open_catalog(archive, cache=tmp_path / "cache")
    skipped = [0, 1, 2, 7, 14, 15, len(catalog) - 1]
    found = count_archive(catalog, np.array(skipped, np.int64))
    assert fast(found) == slow(catalog, set(skipped))
    assert found.folder_images.tolist() == [0, 3, 2, 3, 2]
    assert found.here("images") == len(catalog)
    assert found.quarantined == len(skipped)


def test_without_bags_without_test_and_with_one_folder(tmp_path: Path, contents: Contents) -> None:
    root = tmp_path / "one"
    write_tar(root / "train" / "sysu_train_set_all_part1.tar", contents.train[:3])
    found = count_archive(open_catalog(root, cache=tmp_path / "cache"), NONE)
    assert found.folder_images.tolist() == [3]
    assert not found.has_bags
    assert found.image_bags.value.tolist() == [0]
    assert (found.test_images, found.test_identities, found.camera_numbers) == (0, 0, [])
    assert found.to_json()["images_per_bag"]["median"] is None


def test_a_test_set_alone(tmp_path: Path, contents: Contents) -> None:
    root = tmp_path / "test-only"
    write_files(root, [*contents.query, *contents.gallery])
    catalog = open_catalog(root, cache=tmp_path / "cache")
    found = count_archive(catalog, NONE)
    assert fast(found) == slow(catalog, set())
    assert len(found.folder_images) == len(found.image_bags) == 0
    assert found.test_images == len(catalog) == 11


def test_the_numbers_are_plain_json(archive: Path, tmp_path: Path) -> None:
    found = count_archive(open_catalog(archive, cache=tmp_path / "cache"), NONE)
    told = json.loads(json.dumps(found.to_json()))
    assert told["counts"]["images"] == {"here": 26, "published": 29_606_918}
    assert told["test"]["queries"] == 4
    assert told["images_per_camera"] == {"query": {"2": 4}, "gallery": {"1": 6, "13": 1}}
    assert told["images_per_bag"]["most"] == 15
