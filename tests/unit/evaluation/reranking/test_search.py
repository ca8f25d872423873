"""The walk over half of all pairs: exact lists whatever the features, goes on after a stop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bagreid.contracts import BagreidError
from bagreid.evaluation.neighbours import nearest
from bagreid.evaluation.reranking import Walk, find_neighbours, keeping
from bagreid.evaluation.reranking.decide import Lists
from bagreid.evaluation.reranking.images import ImageSet
from bagreid.evaluation.reranking.keeping import Keeper
from bagreid.evaluation.sources import as_source
from bagreid.world import World

from .dense import products_of
from .problems import features_of

NONE = np.zeros(0, np.int64)
QUERIES = 7
WALK = Walk(slab=64, block=25)


def images_of(features: Any, broken: Any = NONE) -> ImageSet:
    query, gallery = as_source(features[:QUERIES]), as_source(features[QUERIES:])
    return ImageSet(query, gallery, NONE, broken, torch.device("cpu"))


def near_duplicates(number: int) -> Any:
    """Images that float32 cannot tell apart, some of them equal, and a few others."""
    rng = np.random.Generator(np.random.Philox(key=8))
    one = rng.standard_normal(48)
    values = one * (1 + rng.integers(-2, 3, (number, 48)) * 1e-8)
    values[::17] = rng.standard_normal((len(values[::17]), 48))
    values[5:40:7] = values[5]
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["random", "tied", "duplicates"])
def test_lists_are_those_of_float64(dtype: torch.dtype, kind: Any) -> None:
    rng = np.random.Generator(np.random.Philox(key=2))
    drawn = near_duplicates(200) if kind == "duplicates" else features_of(kind, 200, rng)
    features = torch.from_numpy(drawn).to(dtype)
    lists = find_neighbours(images_of(features), 12, walk=WALK)
    index, product = nearest(features, features, 12)
    np.testing.assert_array_equal(lists.index, index)
    np.testing.assert_array_equal(lists.product, product)
    table = products_of(features.double().numpy())
    np.testing.assert_array_equal(lists.farthest, table.min(1))


def test_float32_could_not_have_told() -> None:
    """The duplicates above make the walk go through images again; else they would test nothing."""
    images = images_of(near_duplicates(200))
    table = products_of(near_duplicates(200))
    last = np.sort(table, axis=1)[:, -12]
    close = (np.abs(table - last[:, None]) < images.product_error()).sum(1)
    assert np.median(close) > 100


def test_lists_longer_than_there_are_images_are_cut() -> None:
    features = near_duplicates(9)
    lists = find_neighbours(images_of(features), 21, walk=WALK)
    assert lists.index.shape == (9, 9)
    assert (np.sort(lists.index, axis=1) == np.arange(9)).all()


class StoppedError(Exception):
    pass


def stopped_search(images: ImageSet, folder: Path, after: int) -> list[int]:
    """Searches until so many tiles are done; returns the progress that was told."""
    told: list[int] = []

    def progress(done: int, total: int) -> None:
        assert 0 < done <= total == images.count
        told.append(done)
        if len(told) == after:
            raise StoppedError

    keeper = Keeper(folder, images, 5, World())
    with pytest.raises(StoppedError):
        find_neighbours(images, 5, walk=WALK, keeper=keeper, progress=progress)
    return told


def assert_same(found: Lists, wanted: Lists) -> None:
    for name in ("index", "product", "farthest"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_a_stopped_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_SECONDS_BETWEEN", 0.0)
    rng = np.random.Generator(np.random.Philox(key=2))
    images = images_of(features_of("clustered", 300, rng))
    wanted = find_neighbours(images, 5, walk=WALK)
    first = stopped_search(images, tmp_path, 29)
    assert first == sorted(first)
    second = stopped_search(images, tmp_path, 3)
    assert second[0] > first[0]
    told: list[int] = []
    for _ in range(2):  # the second time everything is there
        told.clear()
        keeper = Keeper(tmp_path, images, 5, World())
        found = find_neighbours(
            images, 5, walk=WALK, keeper=keeper, progress=lambda done, _: told.append(done)
        )
        assert_same(found, wanted)
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == ["neighbours-0-of-1.safetensors"]


def test_the_state_is_written_once_a_minute_and_at_the_end(tmp_path: Path) -> None:
    images = images_of(near_duplicates(200))
    stopped_search(images, tmp_path, 20)
    assert not list(tmp_path.iterdir())
    find_neighbours(images, 5, walk=WALK, keeper=Keeper(tmp_path, images, 5, World()))
    assert list(tmp_path.iterdir())


def test_what_is_kept_of_other_features_or_damaged_is_refused(tmp_path: Path) -> None:
    features = near_duplicates(60)
    images = images_of(features)
    find_neighbours(images, 5, walk=WALK, keeper=Keeper(tmp_path, images, 5, World()))
    turned = images_of(features[::-1].copy())
    fewer = images_of(features, np.array([3]))
    for other, length in ((turned, 5), (fewer, 5), (images, 6)):
        keeper = Keeper(tmp_path, other, length, World())
        with pytest.raises(BagreidError, match=r"neighbours of other features.*another folder"):
            find_neighbours(other, length, walk=WALK, keeper=keeper)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BagreidError, match=re.escape(str(path)) + ".*is no kept search"):
        find_neighbours(images, 5, walk=WALK, keeper=Keeper(tmp_path, images, 5, World()))


@pytest.mark.parametrize(
    ("row", "value", "words"),
    [
        (3, 2.0, r"row 3: a query feature has norm .* L2-normalise"),
        (12, 0.0, r"row 5: a gallery feature has norm 0, .* listed as broken"),
        (12, np.nan, r"row 5: a gallery feature holds NaN or infinity"),
        (0, np.inf, r"row 0: a query feature holds NaN or infinity"),
    ],
)
def test_features_that_are_not_normalised_are_refused(row: int, value: float, words: str) -> None:
    features = near_duplicates(30)
    features[row] *= value
    with pytest.raises(BagreidError, match=words):
        images_of(features).check()


def test_rows_are_those_of_the_callers_arrays() -> None:
    features = near_duplicates(30)
    features[[8, 9]] = 0
    features[12] *= 3
    images = images_of(features, np.array([1, 2]))
    with pytest.raises(BagreidError, match="row 5: a gallery feature has norm 3"):
        images.check()
    query, gallery = images.numbers(np.array([0, 6]), np.array([0, 1, 3]))
    assert (query.tolist(), gallery.tolist()) == ([0, 6], [7, -1, 8])


def test_sides_of_other_dimensions_are_refused() -> None:
    sides = [as_source(np.ones((3, dim), np.float32)) for dim in (4, 5)]
    with pytest.raises(BagreidError, match="4 dimensions, the gallery's 5"):
        ImageSet(*sides, NONE, NONE, torch.device("cpu"))
