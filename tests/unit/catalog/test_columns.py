"""Columns that are worked out when asked for behave as the arrays they stand for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.catalog import columns as columns_module
from bagreid.catalog.columns import CameraColumn, Column, GroupColumn, OffsetColumn, RunColumn
from bagreid.catalog.places import PLACES, Places, write_places

FOLDERS = np.array([3, 0, 2, 5])
GROUP = np.array([0] * 3 + [2] * 2 + [3] * 5 + [7, -1000, -1, 7], np.int32)
CAMERA = np.array([0] * 10 + [1, 13, 1, 2], np.int16)
SHARD = np.array([0] * 3 + [2] * 2 + [0] * 8 + [65_535], np.uint16)
BLOCK = np.array([*range(1, 14), 2**32 - 1], np.uint32)
START = np.array([0, 3, 5, 13], np.uint32)

PAIRS: dict[str, tuple[Column, npt.NDArray[Any]]] = {
    "shard": (RunColumn(14, START, SHARD[START]), SHARD),
    "group": (GroupColumn(np.cumsum(FOLDERS), GROUP[10:], 10), GROUP),
    "camera": (CameraColumn(CAMERA[10:], 10), CAMERA),
    "offset": (OffsetColumn(BLOCK), BLOCK.astype(np.int64) * 512),
}

INDICES = [
    3,
    -1,
    np.int32(13),
    slice(None),
    slice(2, 12, 3),
    slice(None, None, -1),
    slice(5, 5),
    [0, 13, 0, -2],
    [],
    np.array([[1, 2], [12, 13]]),
    np.arange(14) % 3 == 0,
    range(4, 9),
]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("piece", [4, 1 << 20])
def test_indexing(name: str, index: Any, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "_PIECE", piece)
    column, array = PAIRS[name]
    expected = array[np.array(index, int) if isinstance(index, list | range) else index]
    found = column[index]
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, np.shape(found)) == (expected.dtype, np.shape(expected))


@pytest.mark.parametrize("name", PAIRS)
def test_all_that_arrays_do(name: str) -> None:
    column, array = PAIRS[name]
    assert (len(column), column.shape, column.dtype) == (14, (14,), array.dtype)
    assert column.tolist() == list(column) == array.tolist()
    assert (column.min(), column.max()) == (array.min(), array.max())
    np.testing.assert_array_equal(column == array[3], array == array[3])
    np.testing.assert_array_equal(1 + column, 1 + array)
    np.testing.assert_array_equal(np.unique(column), np.unique(array))
    assert np.ones_like(column).dtype == array.dtype
    assert column.astype(np.float32).dtype == np.float32
    for beyond in (14, -15, [0, 14]):
        with pytest.raises(IndexError):
            column[beyond]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(column))[:], array)  # noqa: S301


numbers = st.integers(0, 2**32 - 1)


@given(images=st.lists(st.tuples(st.integers(0, 3), numbers, numbers), max_size=50), at=st.data())
def test_places_survive_the_disk(
    tmp_path_factory: pytest.TempPathFactory,
    images: list[tuple[int, int, int]],
    at: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("places")
    shard, block, size = np.array(images, np.int64).reshape(-1, 3).T
    train = at.draw(st.integers(0, len(images)))
    columns = {
        "shard": shard.astype(np.uint16),
        "block": block.astype(np.uint32),
        "size": size.astype(np.uint32),
        "group": shard.astype(np.int32),
        "camera": shard.astype(np.int16),
    }
    tables = write_places(folder, columns, train)
    places = Places(folder)
    assert len(places) == len(images)
    assert (folder / PLACES).stat().st_size == 128 + 8 * len(images)
    np.testing.assert_array_equal(places.mapped, np.stack([block, size], 1))
    np.testing.assert_array_equal(np.load(folder / PLACES), np.stack([block, size], 1))
    assert [places.find(row) for row in range(len(images))] == [
        (512 * b, s) for b, s in zip(block.tolist(), size.tolist(), strict=True)
    ]
    offset, many = places.find_many(np.arange(len(images)))
    assert (offset.tolist(), many.tolist()) == ((512 * block).tolist(), size.tolist())
    runs = RunColumn(len(images), tables["runs"]["start"], tables["runs"]["shard"])
    assert runs.tolist() == shard.tolist()
    assert [runs.one(row) for row in range(len(images))] == shard.tolist()
    assert tables["tests"]["identity"].tolist() == shard[train:].tolist()


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    for array in (np.zeros((3, 3), np.uint32), np.zeros((3, 2), np.int64), np.zeros(4, np.uint32)):
        np.save(tmp_path / PLACES, array)
        with pytest.raises(ValueError, match="of another kind"):
            Places(tmp_path)
