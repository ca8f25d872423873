"""What is done to archives and checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from bagreid.catalog import open_catalog
from bagreid.data.synthetic import SyntheticConfig, write_archive


def copy_archive(small_archive: Path, folder: Path) -> Path:
    """An archive that may be spoilt."""
    return Path(shutil.copytree(small_archive, folder))


def larger_archive(folder: Path) -> Path:
    """An archive of 400 train images, so that one in a hundred is four."""
    config = SyntheticConfig(
        people=8, images_per_folder=50, queries=4, distractors=8, shortest_edge=32, seed=5
    )
    write_archive(folder, config)
    return folder


def break_images(archive: Path, share: float) -> list[str]:
    """Overwrites the second half of so many train images with zeros, in place; their names."""
    catalog = open_catalog(archive)
    train = catalog.split("train")
    random = np.random.Generator(np.random.Philox(key=7))
    rows = random.choice(np.array(train), round(share * len(train)), replace=False)
    for row in rows.tolist():
        ref = catalog.ref(row)
        with ref.path.open("r+b") as tar:
            tar.seek(ref.offset + ref.size // 2)
            tar.write(bytes(ref.size - ref.size // 2))
    return [catalog.name(row) for row in sorted(rows.tolist())]


def flip_byte(path: Path) -> None:
    """Damages a file as a bad disk does: in its middle, its size and time as they were."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x40]))
