"""Sizes from headers against Pillow's decoding; samples that are spread, seeded and complete."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bagreid.catalog import Catalog, image_sizes, open_catalog
from bagreid.catalog.image_sizes import ImageSizes, choose_rows, read_sizes
from bagreid.shards.writer import TarWriter

NONE = np.zeros(0, np.int64)
IMAGES = 40


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20 + number % 3, 40 + number % 4)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Forty train images of twelve sizes, two of them broken."""
    (tmp_path / "set" / "train").mkdir(parents=True)
    with TarWriter(tmp_path / "set" / "train" / "sysu_train_set_all_part1.tar") as tar:
        for number in range(IMAGES):
            data = b"no picture" if number in (5, 33) else picture(number)
            tar.add(f"sysu_train_set_all/{number // 10 + 1:010d}/{number:03d}.jpg", data)
    return open_catalog(tmp_path / "set", cache=tmp_path / "cache")


def slow(catalog: Catalog, rows: list[int]) -> Counter[tuple[int, int]]:
    sizes: Counter[tuple[int, int]] = Counter()
    for row in rows:
        try:
            with Image.open(io.BytesIO(bytes(catalog.read(row)))) as image:
                sizes[image.height, image.width] += 1
        except OSError:
            pass
    return sizes


def plain(sizes: ImageSizes) -> Counter[tuple[int, int]]:
    rows = zip(sizes.height.tolist(), sizes.width.tolist(), sizes.count.tolist(), strict=True)
    return Counter({(height, width): count for height, width, count in rows})


@pytest.mark.parametrize("sample", [None, IMAGES, 17, 1])
def test_sizes_are_pillows(catalog: Catalog, sample: int | None) -> None:
    sizes = read_sizes(catalog, sample=sample, seed=4, skipped=NONE)
    asked = IMAGES if sample is None else sample
    rows = choose_rows(IMAGES, asked, 4, NONE, 0, asked).tolist()
    assert plain(sizes) == slow(catalog, rows)
    assert sizes.broken == sum(row in rows for row in (5, 33))
    assert (sizes.images, sizes.asked) == (IMAGES, asked)
    assert sizes.seed == (4 if asked < IMAGES else None)


def test_extracted_files_are_read_alike(tmp_path: Path, catalog: Catalog) -> None:
    for number in range(IMAGES):
        folder = tmp_path / "files" / "sysu_train_set_all" / f"{number // 10 + 1:010d}"
        folder.mkdir(parents=True, exist_ok=True)
        data = b"no picture" if number in (5, 33) else picture(number)
        (folder / f"{number:03d}.jpg").write_bytes(data)
    loose = open_catalog(tmp_path / "files", cache=tmp_path / "cache")
    sizes = read_sizes(loose, sample=None, skipped=NONE)
    assert plain(sizes) == plain(read_sizes(catalog, sample=None, skipped=NONE))
    assert sizes.broken == 2


def test_all_is_every_image_once_and_broken_ones_are_named(catalog: Catalog) -> None:
    sizes = read_sizes(catalog, sample=None, skipped=NONE)
    assert plain(sizes) == slow(catalog, list(range(IMAGES)))
    assert sizes.broken == 2
    assert [name for name, _ in sizes.first_broken] == [catalog.name(5), catalog.name(33)]
    assert "neither a JPEG nor a PNG" in sizes.first_broken[0][1]
    shortest = sizes.shortest_edges()
    assert shortest.value.tolist() == [20, 21, 22]
    assert len(shortest) == len(sizes.heights()) == len(sizes.widths()) == IMAGES - 2
    assert sizes.to_json()["height"]["most"] == 43


def test_images_in_quarantine_are_not_read(catalog: Catalog) -> None:
    skipped = np.array([0, 5, 33, 39])
    sizes = read_sizes(catalog, sample=None, skipped=skipped)
    assert plain(sizes) == slow(catalog, [r for r in range(IMAGES) if r not in skipped])
    assert (sizes.images, sizes.broken) == (36, 0)


def test_processes_and_pieces_change_nothing(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_sizes, "_PIECE", 8)
    told: list[tuple[int, int]] = []

    def read(workers: int) -> ImageSizes:
        return read_sizes(
            catalog,
            sample=30,
            skipped=NONE,
            workers=workers,
            progress=lambda done, asked: told.append((done, asked)),
        )

    alone, many = read(1), read(2)
    assert plain(alone) == plain(many)
    assert alone.first_broken == many.first_broken
    assert told == 2 * [(8, 30), (16, 30), (24, 30), (30, 30)]


def test_an_archive_all_in_quarantine_has_no_sizes(catalog: Catalog) -> None:
    sizes = read_sizes(catalog, sample=None, skipped=np.arange(IMAGES))
    assert (sizes.asked, len(sizes.count), len(sizes.shortest_edges())) == (0, 0, 0)


@given(
    images=st.integers(1, 200),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
    gaps=st.lists(st.integers(0, 3), max_size=30),
)
def test_a_sample_is_distinct_spread_and_skips(
    images: int, share: float, seed: int, gaps: list[int]
) -> None:
    asked = max(1, round(share * images))
    skipped = np.unique(np.cumsum(gaps)).astype(np.int64)
    rows = choose_rows(images, asked, seed, skipped, 0, asked)
    left = [row for row in range(images + len(skipped)) if row not in set(skipped.tolist())]
    places = [left.index(row) for row in rows.tolist()]
    assert places == sorted(set(places))
    for number, place in enumerate(places):
        assert number * images // asked <= place < (number + 1) * images // asked


def test_another_seed_is_another_sample() -> None:
    first, second = (choose_rows(10_000, 50, seed, NONE, 0, 50) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, choose_rows(10_000, 50, 0, NONE, 0, 50))
