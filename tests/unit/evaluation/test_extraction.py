"""Extraction against a literal loop; folders of features, whole, cut and incomplete."""

import dataclasses
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from torch import Tensor

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError
from bagreid.data import AugmentConfig
from bagreid.data.augment import normalise
from bagreid.data.decode import decode_jpeg
from bagreid.data.loader import test_loader as load_test_images
from bagreid.evaluation import evaluate_features, extract_features, open_features
from bagreid.evaluation.extraction import flip_summed
from bagreid.evaluation.logits import project_features

VIEW = AugmentConfig(height=32, width=16, interpolation="bilinear")


def embed(images: Tensor) -> Tensor:
    """Not symmetric under mirroring, and far from normalised."""
    return torch.nn.functional.adaptive_avg_pool2d(images, (4, 3)).flatten(1) * 7


def test_flip_summed_is_the_sum_over_both_views() -> None:
    images = torch.rand(3, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    mirrored = torch.stack([image.flip(-1) for image in images])
    total = embed(images) + embed(mirrored)
    expected = total / total.square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(flip_summed(embed, images), expected)
    torch.testing.assert_close(flip_summed(embed, mirrored), expected)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_features_do_not_depend_on_batch_size_or_place(
    catalog: Catalog, tmp_path: Path, batch_size: int
) -> None:
    rows = catalog.split("gallery")
    calls: list[tuple[int, int]] = []
    in_memory = extract_features(
        embed,
        catalog,
        rows,
        VIEW,
        batch_size=batch_size,
        progress=lambda done, total: calls.append((done, total)),
    )
    on_disk = extract_features(
        embed, catalog, rows, VIEW, batch_size=batch_size, out_dir=tmp_path / "g", source="test"
    )
    assert calls[-1] == (len(rows), len(rows))
    assert in_memory.features.dtype == np.float32
    np.testing.assert_array_equal(in_memory.features, on_disk.features)
    for batch in load_test_images(catalog, np.asarray(rows), VIEW, 1, 0):
        expected = flip_summed(embed, normalise(batch.images.float(), VIEW))[0].numpy()
        place = int(batch.rows[0]) - rows.start
        np.testing.assert_allclose(in_memory.features[place], expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(in_memory.features, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(in_memory.pids, catalog.group[rows.start : rows.stop])
    np.testing.assert_array_equal(in_memory.camids, 1)


def test_a_kept_folder_opens_memory_mapped(catalog: Catalog, tmp_path: Path) -> None:
    rows = np.asarray(catalog.split("query"))[::-1].copy()
    written = extract_features(embed, catalog, rows, VIEW, out_dir=tmp_path / "q")
    opened = open_features(tmp_path / "q")
    assert isinstance(opened.features, np.memmap)
    assert not opened.features.flags.writeable
    assert opened.root == catalog.root
    assert opened.rows is not None
    np.testing.assert_array_equal(opened.rows, rows)
    np.testing.assert_array_equal(opened.features, written.features)
    assert sorted(path.name for path in (tmp_path / "q").iterdir()) == [
        "camids.npy",
        "features-000000000.npy",
        "meta.json",
        "norms.npy",
        "pids.npy",
        "rows.npy",
    ]


def test_a_broken_image_is_listed_and_zero(damaged: Catalog, tmp_path: Path) -> None:
    rows = damaged.split("gallery")
    with pytest.raises(BagreidError):
        decode_jpeg(damaged.read(rows[7]))
    images = extract_features(embed, damaged, rows, VIEW, batch_size=4, out_dir=tmp_path / "g")
    assert images.broken == (rows[7],)
    assert open_features(tmp_path / "g").broken == (rows[7],)
    assert not images.features[7].any()
    assert np.delete(images.features, 7, axis=0).any(axis=1).all()


def test_nan_of_the_network_names_the_image_and_leaves_nothing(
    catalog: Catalog, tmp_path: Path
) -> None:
    rows = catalog.split("gallery")

    def failing(images: Tensor) -> Tensor:
        features = embed(images)
        features[2:] = torch.nan
        return features

    with pytest.raises(BagreidError, match="NaN or infinity for 2 images") as caught:
        extract_features(failing, catalog, rows, VIEW, batch_size=4, out_dir=tmp_path / "g")
    assert catalog.name(rows[2]) in str(caught.value)
    assert not (tmp_path / "g" / "meta.json").exists()


def test_damaged_folders_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    folder = tmp_path / "q"
    extract_features(embed, catalog, catalog.split("query"), VIEW, out_dir=folder)
    with (folder / "features-000000000.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(BagreidError, match="cut"):
        open_features(folder)
    extract_features(embed, catalog, catalog.split("query"), VIEW, out_dir=folder)
    np.save(folder / "pids.npy", np.arange(3))
    with pytest.raises(BagreidError, match="different lengths"):
        open_features(folder)
    (folder / "meta.json").write_text('{"schema": "other/1"}')
    with pytest.raises(BagreidError, match="schema 'other/1'"):
        open_features(folder)
    (folder / "meta.json").unlink()
    with pytest.raises(BagreidError, match="no finished features"):
        open_features(folder)


def test_no_rows(catalog: Catalog) -> None:
    with pytest.raises(BagreidError, match="no images"):
        extract_features(embed, catalog, range(0), VIEW)


def test_a_folder_of_the_first_version_still_opens(catalog: Catalog, tmp_path: Path) -> None:
    folder, rows = tmp_path / "q", np.asarray(catalog.split("query"))
    images = extract_features(embed, catalog, rows, VIEW)
    folder.mkdir()
    for name in ("features", "rows", "pids", "camids"):
        np.save(folder / f"{name}.npy", getattr(images, name))
    meta = {
        "schema": "bagreid.features/1", "source": "x", "root": str(catalog.root),
        "count": len(rows), "dim": 36, "broken": [],
    }  # fmt: skip
    (folder / "meta.json").write_bytes(orjson.dumps(meta))
    opened = open_features(folder)
    np.testing.assert_array_equal(opened.features, images.features)
    assert opened.norms is None
    assert opened.kind is None
    assert opened.root == catalog.root


def test_a_shard_that_is_named_but_absent_or_longer_is_noticed(
    catalog: Catalog, tmp_path: Path
) -> None:
    folder = tmp_path / "q"
    extract_features(embed, catalog, catalog.split("query"), VIEW, out_dir=folder)
    shard = folder / "features-000000000.npy"
    with shard.open("ab") as file:
        file.write(b"more")
    with pytest.raises(BagreidError, match="is cut or was changed: it has 852 bytes, not 848"):
        open_features(folder)
    shard.unlink()
    with pytest.raises(BagreidError, match="No such file"):
        open_features(folder)


def test_sixteen_bits_compute_nearly_the_same(catalog: Catalog) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
    )
    full, half = (
        extract_features(network, catalog, catalog.split("query"), VIEW, precision=precision)
        for precision in ("fp32", "bf16")
    )
    assert not np.array_equal(full.features, half.features)
    np.testing.assert_allclose(full.features, half.features, atol=0.02)


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float64"])
def test_other_types_rank_alike(catalog: Catalog, tmp_path: Path, stored: str) -> None:
    def rank(folder: Path, stored: str | None) -> list[int]:
        sides = [
            extract_features(
                embed, catalog, catalog.split(side), VIEW, stored=stored, out_dir=folder / side
            )
            for side in ("query", "gallery")
        ]
        tested = evaluate_features(*sides, method="x")
        return tested.result.first_match_rank.tolist()

    assert rank(tmp_path / "a", stored) == rank(tmp_path / "b", None)


def test_logits_want_embeddings_that_know_their_lengths(catalog: Catalog, tmp_path: Path) -> None:
    images = extract_features(embed, catalog, catalog.split("query"), VIEW)
    factor = torch.eye(37, 9, dtype=torch.float64)
    found = project_features(images, factor, out_dir=tmp_path / "p")
    assert found.kind == "logits"
    assert found.features.shape == (5, 9)
    with pytest.raises(BagreidError, match="compare logits already"):
        project_features(found, factor)
    with pytest.raises(BagreidError, match="do not say how long they were"):
        project_features(dataclasses.replace(images, norms=None), factor)
    with pytest.raises(BagreidError, match="36 dimensions, the checkpoint's classifier takes 7"):
        project_features(images, factor[:8])


def test_projected_embeddings_are_the_projection_of_the_network(damaged: Catalog) -> None:
    generator = torch.Generator().manual_seed(3)
    factor = torch.randn(37, 20, generator=generator, dtype=torch.float64)
    gallery = damaged.split("gallery")
    at_once = extract_features(embed, damaged, gallery, VIEW, projection=factor)
    later = project_features(extract_features(embed, damaged, gallery, VIEW), factor)
    assert at_once.features.dtype == later.features.dtype == np.float64
    np.testing.assert_allclose(at_once.features, later.features, rtol=0, atol=1e-6)
    np.testing.assert_allclose(at_once.norms, later.norms, rtol=1e-6)
    assert at_once.broken == later.broken == (gallery[7],)
    assert not later.features[7].any()
