"""Features from arrays and shards: the same rows, whatever they are stored in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.evaluation.sources import ArraySource, FeatureSource, ShardedSource, as_source


@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    edges=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    rows=st.lists(st.integers(0, 19), max_size=9),
)
def test_shards_are_one_array(lengths: list[int], edges: tuple[int, int], rows: list[int]) -> None:
    total = sum(lengths)
    whole = np.arange(total * 3, dtype=np.float32).reshape(total, 3)
    parts = [ArraySource(part) for part in np.split(whole, np.cumsum(lengths)[:-1])]
    source = ShardedSource(parts)
    assert isinstance(source, FeatureSource)
    assert source.shape == whole.shape
    start, stop = sorted(edges)
    np.testing.assert_array_equal(source.block(start, stop).numpy(), whole[start:stop])
    index = np.array([row for row in rows if row < total], dtype=np.int64)
    np.testing.assert_array_equal(source.pick(index).numpy(), whole[index])


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_arrays_of_any_type_and_byte_order(dtype: str, tmp_path: Path) -> None:
    values = np.arange(12).reshape(4, 3).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    for array in (values, np.asfortranarray(values), np.load(tmp_path / "x.npy", mmap_mode="r")):
        source = as_source(array)
        assert (
            source.dtype
            == {2: torch.float16, 4: torch.float32, 8: torch.float64}[values.dtype.itemsize]
        )
        assert source.block(1, 3).tolist() == values[1:3].tolist()
        assert source.pick(np.array([3, 0])).tolist() == values[[3, 0]].tolist()


def test_a_map_is_viewed_and_picked_rows_are_copies(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 2), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = as_source(mapped)
    assert source.block(1, 3).data_ptr() == mapped[1:].ctypes.data
    source.pick(np.array([0]))[0, 0] = 7
    assert mapped[0, 0] == 1
    tensor = torch.ones(5, 2, dtype=torch.bfloat16)
    as_source(tensor).pick(np.array([0]))[0, 0] = 7
    assert tensor[0, 0] == 1


def test_sources_stay_as_they_are_and_nonsense_is_refused() -> None:
    source = as_source(torch.ones(2, 3, dtype=torch.bfloat16))
    assert as_source(source) is source
    refused: list[Any] = [np.ones(3), np.ones((2, 2), int), torch.ones(2, 2, dtype=torch.int8)]
    for values in refused:
        with pytest.raises(BagreidError, match="the probe features have"):
            as_source(values, "probe")
    with pytest.raises(ValueError, match="no shards"):
        ShardedSource([])
    with pytest.raises(ValueError, match="differ"):
        ShardedSource([source, as_source(np.ones((2, 4), np.float32))])
