"""Snapshots: the state of the moment, in memory that is used again."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import pytest
import torch
from states import same, small_state

from bagreid.training.snapshot import Snapshots


def test_a_snapshot_says_what_was_there() -> None:
    state = small_state()
    snapshot = Snapshots().take(state)
    del state["record"]
    taken = {name: value for name, value in snapshot.content.items() if name != "record"}
    same(state, taken)
    assert {place[0] for place in snapshot.arrays} == {"record"}
    assert len(snapshot.arrays) == 5


def test_what_is_changed_afterwards_does_not_reach_it() -> None:
    tensor, array, items = torch.zeros(1000), np.zeros(5), [1]
    snapshot = Snapshots().take({"tensor": tensor, "array": array, "items": items})
    tensor += 1
    array += 1
    items.append(2)
    assert not snapshot.content["tensor"].any()
    assert not snapshot.content["array"].any()
    assert snapshot.content["items"] == [1]


def test_views_of_one_memory_stay_so_and_count_once() -> None:
    flat = torch.arange(100.0)
    views = {"low": flat[10:40], "high": flat[30:50].view(4, 5), "tied": flat[10:40]}
    snapshot = Snapshots().take(views)
    same(views, snapshot.content)
    assert snapshot.size == 40 * 4  # of the hundred, those that somebody shows
    snapshot.content["low"][25] = -1
    assert snapshot.content["high"][1, 0] == -1


def test_one_memory_read_as_two_types_is_no_obstacle(tmp_path: Path) -> None:
    """A bucket of mixed types; torch saves no storage that is read as two."""
    raw = torch.arange(64, dtype=torch.uint8)
    views = {"floats": raw[:32].view(torch.float32), "ints": raw[32:].view(torch.int64)}
    content = Snapshots().take(views).content
    same(views, content)
    torch.save(content, tmp_path / "file.pt")


def test_the_memory_is_used_again() -> None:
    snapshots, places = Snapshots(), []
    for step in range(3):
        content = snapshots.take({"a": torch.full((50,), step), "b": np.full(7, step)}).content
        assert content["a"].eq(step).all()
        places.append((content["a"].data_ptr(), content["b"].data_ptr()))
    assert len(set(places)) == 1
    grown = snapshots.take({"a": torch.zeros(60), "b": np.full(7, 1)}).content
    assert grown["a"].shape == (60,)
    assert grown["b"].data_ptr() == places[0][1]


class Colour(str):
    """A text that is more than a text."""


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (lambda: None, "function"),
        ({1, 2}, "set"),
        (Path("x"), "PosixPath"),
        (Colour("red"), "Colour"),
        (torch.zeros(2, 2).to_sparse(), "Tensor"),
        (torch.zeros(2, dtype=torch.complex64), "Tensor"),
        (torch.zeros(2, device="meta"), "Tensor"),
        (np.array(["a"]), "ndarray"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_place(value: object, name: str) -> None:
    with pytest.raises(TypeError, match=rf"cannot hold a {name} \(at model → 1"):
        Snapshots().take({"model": [0, value]})


def test_other_dictionaries_become_plain_ones() -> None:
    content = Snapshots().take({"a": collections.OrderedDict(b=1), np.int64(3): 2}).content
    assert type(content["a"]) is dict
    assert [type(key) for key in content] == [str, int]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_is_copied_in_the_order_of_its_stream() -> None:
    tensor = torch.zeros(1 << 24, device="cuda")
    snapshots = Snapshots()
    for step in range(4):
        for _ in range(50):
            tensor += 1
        snapshot = snapshots.take({"tensor": tensor})
        for _ in range(50):
            tensor -= 1
            tensor += 1
        snapshot.wait()
        assert snapshot.content["tensor"].is_pinned()
        assert snapshot.content["tensor"].eq(50 * (step + 1)).all()
