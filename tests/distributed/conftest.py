"""An archive with a broken image, a checkpoint that learned nothing, and its features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ranks import run

from bagreid.catalog import open_catalog
from bagreid.data.synthetic import SyntheticConfig, write_archive
from bagreid.models import ModelConfig, build_model


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 queries against 60 images, one of which is broken."""
    root = tmp_path_factory.mktemp("archives") / "test"
    config = SyntheticConfig(
        people=8, images_per_folder=1, queries=5, distractors=55, shortest_edge=24
    )
    write_archive(root, config, workers=1)
    catalog = open_catalog(root)
    ref = catalog.ref(catalog.split("gallery")[37])
    with ref.path.open("r+b") as tar:
        tar.seek(ref.offset + 40)
        tar.write(b"\0" * (ref.size - 80))
    return root


@pytest.fixture(scope="session")
def checkpoint(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "model.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model(ModelConfig(backbone="resnet10t"), 40)
    config = {
        "model": {"backbone": "resnet10t"},
        "augment": {"height": 32, "width": 16, "interpolation": "bilinear"},
        "data": {"root": str(archive)},
    }
    content = {
        "format": "bagreid.checkpoint/1", "step": 3, "config": config,
        "identities": list(range(40)), "model": network.state_dict(),
    }  # fmt: skip
    torch.save(content, path)
    return path


@pytest.fixture(scope="session")
def options(archive: Path, checkpoint: Path) -> list[str]:
    """What `extract` and `evaluate` are asked."""
    return [
        "--root", str(archive), "--checkpoint", str(checkpoint), "--device", "cpu",
        "--batch-size", "2", "--workers", "0",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def undisturbed(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process extracts if nobody disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(["extract", folder / "out", *options], 1, folder / "said")
    return folder / "out"
