"""Every format gives the same features, identities, cameras and result."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bagreid.contracts import BagreidError
from bagreid.evaluation import evaluate_features, evaluate_ranking, load_features
from bagreid.evaluation.inputs import copies

from .people import (
    WRITERS,
    Arrays,
    people,
    table,
    write_compressed_npz,
    write_folder,
    write_joint_parquet,
    write_npz,
)

Writer = Callable[[Path, Arrays], list[Path]]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGREID_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_formats_agree(
    write: Writer, on_disk: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_disk:  # as if every copy were too large for memory
        monkeypatch.setattr(copies, "IN_MEMORY", -1)
    arrays = people()
    loaded = load_features(*write(tmp_path, arrays))
    for side, images in zip(("query", "gallery"), loaded, strict=True):
        np.testing.assert_array_equal(images.features, arrays[f"{side}_feature"])
        assert images.features.dtype == np.float32
        np.testing.assert_array_equal(images.pids, arrays[f"{side}_pid"])
        np.testing.assert_array_equal(images.camids, arrays[f"{side}_camid"])
        assert images.pids.dtype == images.camids.dtype == np.int64
        assert images.names is not None
        assert list(images.names) == arrays[f"{side}_name"].tolist()
    assert loaded.identities is None
    copied = "compressed" in write.__name__ or "parquet" in write.__name__
    assert bool(loaded.facts.copied_bytes) == (on_disk and copied)
    assert loaded.facts.notes() == [] or copied
    if on_disk and copied:
        assert list((tmp_path / "cache").iterdir()) == []  # copies have no name


def test_the_result_is_that_of_the_arrays(tmp_path: Path) -> None:
    arrays = people(queries=20, gallery=300)
    query, gallery = load_features(*write_npz(tmp_path, arrays))
    record = evaluate_features(query, gallery, method="mine").record
    wanted = evaluate_ranking(
        *(arrays[f"query_{key}"] for key in ("feature", "pid", "camid")),
        *(arrays[f"gallery_{key}"] for key in ("feature", "pid", "camid")),
        convention="sysu30k",
    )
    assert [query["first_match_rank"] for query in record["queries"]] == (
        wanted.first_match_rank.tolist()
    )
    assert record["queries"][3]["name"] == arrays["query_name"][3]
    assert record["camera_filter"]


@pytest.mark.parametrize("write", [write_npz, write_compressed_npz, write_folder])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types_and_orders(write: Writer, dtype: str, order: Any, tmp_path: Path) -> None:
    arrays = people()
    for side in ("query", "gallery"):
        arrays[f"{side}_feature"] = np.array(arrays[f"{side}_feature"], dtype=dtype, order=order)
    for side, images in zip(
        ("query", "gallery"), load_features(*write(tmp_path, arrays)), strict=True
    ):
        assert isinstance(images.features, np.ndarray)
        assert images.features.dtype == np.dtype(dtype)
        assert images.features.flags.c_contiguous
        np.testing.assert_array_equal(images.features, arrays[f"{side}_feature"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_parquet_types(dtype: Any, kind: Any, tmp_path: Path) -> None:
    arrays = people(gallery=1500)  # more than one batch
    for side in ("query", "gallery"):
        arrays[f"{side}_feature"] = arrays[f"{side}_feature"].astype(dtype)
        lists = pa.array(list(arrays[f"{side}_feature"]), kind(pa.from_numpy_dtype(dtype)))
        pq.write_table(table(arrays, side, feature=lists), tmp_path / f"{side}.parquet")
    _, gallery = load_features(tmp_path)
    assert gallery.features.dtype == dtype
    np.testing.assert_array_equal(gallery.features, arrays["gallery_feature"])


@pytest.mark.parametrize("length", range(8))
def test_members_of_an_npz_are_mapped_wherever_they_lie(length: int, tmp_path: Path) -> None:
    """The archive's path is no part of it, so the keys before it move the members."""
    arrays = people()
    np.savez(tmp_path / "mine.npz", **{"x" * length: np.zeros(3, np.int8)}, **arrays)
    query, gallery = load_features(tmp_path / "mine.npz")
    assert isinstance(gallery.features, np.memmap)
    result = evaluate_features(query, gallery, method="mine").result
    straight = evaluate_ranking(
        *(np.asarray(arrays[f"query_{key}"]) for key in ("feature", "pid", "camid")),
        *(np.asarray(arrays[f"gallery_{key}"]) for key in ("feature", "pid", "camid")),
        convention="sysu30k",
    )
    np.testing.assert_array_equal(result.match_score, straight.match_score)


def test_what_means_nothing_is_left_unread_and_said(tmp_path: Path) -> None:
    arrays = people()
    np.savez(tmp_path / "mine.npz", **arrays, gallery_time=np.zeros(3), seed=1)
    facts = load_features(tmp_path / "mine.npz").facts
    assert facts.unread == ("gallery_time", "seed")
    assert facts.notes() == ["Not read: gallery_time, seed."]
    (path,) = write_joint_parquet(tmp_path, arrays)
    joint = pq.read_table(path)
    pq.write_table(joint.append_column("time", pa.array([0.0] * len(joint))), path)
    assert load_features(path).facts.unread == ("time",)


def test_own_names_files_and_own_pattern(tmp_path: Path) -> None:
    arrays = people()
    for side in ("query", "gallery"):
        np.save(tmp_path / f"{side[0]}.npy", arrays[f"{side}_feature"])
        ids = zip(arrays[f"{side}_pid"], arrays[f"{side}_camid"], strict=True)
        names = [f"cam{camid}/person{pid}/{row}.png" for row, (pid, camid) in enumerate(ids)]
        (tmp_path / f"{side}-images.txt").write_text("\r\n".join(names))
    loaded = load_features(
        tmp_path / "q.npy",
        str(tmp_path / "g.npy"),
        names=[tmp_path / "query-images.txt", tmp_path / "gallery-images.txt"],
        name_pattern=r"cam(?P<camid>\d+)/person(?P<pid>-?\d+)/",
    )
    np.testing.assert_array_equal(loaded.gallery.pids, arrays["gallery_pid"])
    np.testing.assert_array_equal(loaded.gallery.camids, arrays["gallery_camid"])


def test_folders_of_extract_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "query").mkdir()
    (tmp_path / "query" / "meta.json").write_text("{}")
    with pytest.raises(BagreidError) as caught:
        load_features(tmp_path)
    assert str(tmp_path / "query") in str(caught.value)
    with pytest.raises(BagreidError, match="--names and --name-pattern"):
        load_features(tmp_path, name_pattern="market1501")


def test_copies_need_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "IN_MEMORY", -1)
    (path,) = write_compressed_npz(tmp_path, people())
    occupied = tmp_path / "file"
    occupied.touch()
    with pytest.raises(BagreidError, match="BAGREID_CACHE"):
        load_features(path, cache=occupied)
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Full())
    with pytest.raises(BagreidError, match=r"has 0\.0 GiB left"):
        load_features(path)


class _Full:
    free = 5
