"""Extraction against a literal loop; folders of features, whole, cut and incomplete."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError
from bagreid.data import AugmentConfig
from bagreid.data.augment import normalise
from bagreid.data.decode import decode_jpeg
from bagreid.data.loader import test_loader as load_test_images
from bagreid.evaluation import extract_features, open_features
from bagreid.evaluation.extraction import flip_summed

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
