"""What one run knows of broken images: the list's, and its own finds."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bagreid.catalog import Catalog
from bagreid.catalog.quarantine import add, load, quarantine_path, store
from bagreid.contracts import BagreidError
from bagreid.data import AugmentConfig, loader
from bagreid.data.quarantine import BrokenImages, too_many

Maker = Callable[..., Catalog]
CUT = {3, 17}


def cut_two(name: str, data: bytes) -> bytes:
    folder, number = name.split("/")[-2:]
    row = (int(folder) - 1) * 5 + int(number[:3]) if name.startswith("sysu_train") else -1
    return data[:-40] if row in CUT else data


def test_what_is_found_is_listed_with_its_reason(make_catalog: Maker) -> None:
    catalog = make_catalog(cut_two)
    first = BrokenImages.open(catalog, "auto", "train")
    assert (first.known, first.opening(), first.closing()) == (frozenset(), None, None)
    found = first.add([17, 3])
    assert list(found) == [3, 17]
    assert found[3] == "the image does not decode: Image is incomplete or truncated"
    assert first.add([3, 17]) == {}
    assert first.closing() == f"2 images found broken: added to {quarantine_path(catalog)}."
    second = BrokenImages.open(catalog, "auto", "extract")
    assert second.known == {3, 17}
    assert second.opening() == (
        f"2 images known to be broken are not read (list: {quarantine_path(catalog)})."
    )
    assert pickle.loads(pickle.dumps(second)).known == {3, 17}  # noqa: S301


def test_a_passing_fault_is_not_listed(make_catalog: Maker) -> None:
    """An image that decodes the second time is whole: the fault was the machine's."""
    catalog = make_catalog(cut_two)
    known = BrokenImages.open(catalog, "auto", "train")
    assert list(known.add([2, 3, 4])) == [3]
    assert load(catalog).rows(catalog).tolist() == [3]


def test_off_reads_and_writes_no_list(make_catalog: Maker) -> None:
    catalog = make_catalog(cut_two)
    add(catalog, {5: "odd"}, found_by="me")
    before = quarantine_path(catalog).read_bytes()
    known = BrokenImages.open(catalog, "off", "train")
    assert known.known == frozenset()
    assert list(known.add([3])) == [3]
    assert known.known == {3}
    assert known.closing() is None
    assert quarantine_path(catalog).read_bytes() == before


def test_stale_entries_are_told(make_catalog: Maker, tmp_path: Path) -> None:
    catalog = make_catalog(cut_two)
    path = tmp_path / "mine.jsonl"
    add(catalog, {3: "cut", 5: "odd"}, found_by="me", path=path)
    path.write_bytes(path.read_bytes().replace(b'"size":', b'"size":9'))
    known = BrokenImages.open(catalog, path, "train")
    assert known.opening() == (
        f"2 entries are passed over, for the image changed or is gone (list: {path})."
    )


def test_a_list_that_cannot_be_written_stops_no_run(
    make_catalog: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = make_catalog(cut_two)
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.02)
    known = BrokenImages.open(catalog, "auto", "train")
    lock = quarantine_path(catalog).with_name("quarantine.jsonl.lock")
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert list(known.add([3])) == [3]
        told = known.closing()
        assert told is not None
        assert told.startswith("1 image found broken could not be added to the list: ")
    known.add([17])
    assert load(catalog).rows(catalog).tolist() == [3, 17], "what could not be written comes later"
    assert known.closing() == f"2 images found broken: added to {quarantine_path(catalog)}."


def test_a_damaged_list_is_refused_at_once(make_catalog: Maker) -> None:
    catalog = make_catalog(cut_two)
    quarantine_path(catalog).write_text("{}\n")
    with pytest.raises(BagreidError, match="the line lacks image"):
        BrokenImages.open(catalog, "auto", "train")


class Unreadable:
    """A catalog that fails the test when certain images are read."""

    def __init__(self, catalog: Catalog, rows: set[int]) -> None:
        self._catalog, self._rows = catalog, rows

    def read_many(self, rows: list[int]) -> list[memoryview]:
        read = self._rows.intersection(rows)
        assert not read, f"rows {read} are known to be broken and were read"
        return self._catalog.read_many(rows)

    def ref(self, row: int) -> object:
        return self._catalog.ref(row)


@pytest.mark.parametrize("workers", [0, 2])
def test_known_test_images_are_not_read_and_still_listed(make_catalog: Maker, workers: int) -> None:
    catalog = make_catalog()
    rows = np.asarray(catalog.split("gallery"))
    known = {int(rows[1]), int(rows[4])}
    config = AugmentConfig(height=32, width=16)
    batches = list(
        loader.test_loader(
            Unreadable(catalog, known),  # type: ignore[arg-type]
            rows, config, 4, workers, known,
        )
    )  # fmt: skip
    assert {row for batch in batches for row in batch.broken} == known
    images = torch.cat([batch.images for batch in batches])
    assert len(images) == len(rows)
    assert [bool(image.any()) for image in images] == [int(row) not in known for row in rows]


@pytest.mark.parametrize(
    ("broken", "images", "rotten"),
    [(0, 0, False), (10, 11, False), (11, 11, True), (100, 10_000, False), (101, 10_000, True)],
)
def test_scratched_or_rotten(broken: int, images: int, rotten: bool) -> None:
    assert too_many(broken, images, 0.01) == rotten
