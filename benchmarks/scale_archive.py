"""An archive of SYSU-30k's size that takes no room: its catalog is real, its tars are holes.

Every tar is a sparse file of its full length. Images are put into it, with their headers, only
where a benchmark is going to look.

Shape letters: M images, F folders.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from bagreid.catalog.bags import BagTable, make_bag_table, read_bag_file
from bagreid.catalog.findings import Findings
from bagreid.catalog.layouts import find_layout
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.store import SCHEMA, cache_directory, fingerprint, write_store
from bagreid.contracts import DISTRACTOR_PID, IntArray
from bagreid.data.synthetic.layout import folder_name
from bagreid.data.synthetic.packing import write_bags
from bagreid.plan import BatchPlan, PlanConfig, make_bag_plan, make_identity_plan
from bagreid.plan.config import PlanKind

TRAIN = 29_126_188
QUERIES = 1_000
GALLERY = 479_730
FOLDERS = 28_310
PARTS = 10
"""The release's numbers."""

KINDS: tuple[PlanKind, ...] = get_args(PlanKind)

BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """What the catalog knows of images, in the order of its rows.

    Attributes:
        shard: `(M,)` which tar.
        block: `(M,)` where in it, in blocks.
        size: `(M,)` bytes of the JPEG.
        group: `(M,)` folder (train) or identity (test).
        camera: `(M,)` 0 in train.
        folder_size: `(F,)` images of each folder.
    """

    shard: IntArray
    block: IntArray
    size: IntArray
    group: IntArray
    camera: IntArray
    folder_size: IntArray


def fabricate(root: Path, cache: Path, pictures: Sequence[bytes], batches: int) -> Path:
    """Makes the archive and writes its catalog.

    Args:
        root: Where the archive goes.
        cache: Where the catalog goes.
        pictures: What its images look like.
        batches: How many batches of epochs 0 and 1 of each kind of plan can be decoded.

    Returns:
        The folder of the catalog.
    """
    images = _images(np.array([len(picture) for picture in pictures]))
    tars = [root / f"train/sysu_train_set_all_part{part + 1}.tar" for part in range(PARTS)]
    tars.append(root / "test/sysu_test_set_all.tar")
    for shard, path in enumerate(tars):
        path.parent.mkdir(parents=True, exist_ok=True)
        last = int(np.flatnonzero(images.shard == shard)[-1])
        end = int(images.block[last]) + -(-int(images.size[last]) // BLOCK) + 2
        with path.open("wb") as file:
            file.truncate(end * BLOCK)
    bag_file = root / "bag_level_label.json"
    write_bags(bag_file, FOLDERS)
    names = [folder_name(number + 1) for number in range(FOLDERS)]
    bags, identities = make_bag_table(read_bag_file(bag_file), names, bag_file)
    for kind in KINDS:
        plan = make_plan(images.folder_size, bags, kind)
        for epoch, step in np.ndindex(2, batches):
            _put_images(tars, images, plan.batch(epoch, step).rows, pictures)
    return _write_catalog(root, cache, images, names, bags, identities)


def make_plan(folder_size: IntArray, bags: BagTable, kind: PlanKind) -> BatchPlan:
    """A plan over all train images; identities are fabricated: 70 % are their folder's own.

    Args:
        folder_size: `(F,)` images of each folder.
        bags: The bag table.
        kind: Of the plan.

    Returns:
        The plan.
    """
    config = PlanConfig(kind=kind)
    if kind == "identities":
        rng = np.random.Generator(np.random.Philox(key=7))
        step = rng.choice(np.array([-1, 0, 1]), TRAIN, p=(0.15, 0.7, 0.15))
        labels = np.repeat(np.arange(FOLDERS), folder_size) + step
        return make_identity_plan(np.clip(labels, 0, FOLDERS - 1), config, 0)
    stop = np.cumsum(folder_size)
    return make_bag_plan(stop - folder_size, stop, (bags.folder_offset, bags.folder), config, 0)


def picture_of(rows: IntArray, pictures: int) -> IntArray:
    """Which picture each row shows; `(N,)` → `(N,)`, scattered by Fibonacci hashing."""
    scattered = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
    return (scattered % np.uint64(pictures)).astype(np.int64)


def _put_images(
    tars: Sequence[Path], images: Images, rows: IntArray, pictures: Sequence[bytes]
) -> None:
    """Writes headers and JPEGs of some rows into the holes."""
    for row, picture in zip(rows.tolist(), picture_of(rows, len(pictures)).tolist(), strict=True):
        folder = folder_name(int(images.group[row]) + 1)
        info = tarfile.TarInfo(f"sysu_train_set_all/{folder}/{folder}_{row:08d}.jpg")
        info.size = len(pictures[picture])
        with tars[int(images.shard[row])].open("r+b") as file:
            file.seek((int(images.block[row]) - 1) * BLOCK)
            file.write(info.tobuf(tarfile.USTAR_FORMAT) + pictures[picture])


def _images(picture_size: IntArray) -> Images:
    rng = np.random.Generator(np.random.Philox(key=30))
    # A long tail, as the release's histogram of bags has; about 1,000 images a folder.
    share = rng.gamma(2.0, size=FOLDERS)
    cut = np.round(np.cumsum(share) / share.sum() * (TRAIN - FOLDERS)).astype(np.int64)
    folder_size = np.diff(cut, prepend=0) + 1
    folder = np.repeat(np.arange(FOLDERS), folder_size)
    shard = np.concatenate([folder * PARTS // FOLDERS, np.full(QUERIES + GALLERY, PARTS)])
    size = picture_size[picture_of(np.arange(len(shard)), len(picture_size))]
    taken = 1 + -(-size // BLOCK)
    block = np.cumsum(taken) - taken
    first = np.searchsorted(shard, np.arange(PARTS + 1))
    pid = np.arange(FOLDERS + 1, FOLDERS + 1 + QUERIES)
    others = np.full(GALLERY - QUERIES, DISTRACTOR_PID)
    return Images(
        shard=shard,
        block=block - block[first][shard] + 1,
        size=size,
        group=np.concatenate([folder, pid, pid, others]),
        camera=np.repeat([0, 2, 1], [TRAIN, QUERIES, GALLERY]),
        folder_size=folder_size,
    )


def _write_catalog(
    root: Path, cache: Path, images: Images, names: list[str], bags: BagTable, identities: IntArray
) -> Path:
    layout = find_layout(root)
    assert layout.bag_file is not None
    directory = cache_directory(layout.root, cache) / fingerprint(layout)
    stop = np.cumsum(images.folder_size)
    empty = pa.array([], pa.large_string())
    tables: dict[str, dict[str, Any]] = {
        "images": {
            "shard": images.shard.astype(np.uint16),
            "block": images.block.astype(np.uint32),
            "size": images.size.astype(np.uint32),
            "group": images.group.astype(np.int32),
            "camera": images.camera.astype(np.int16),
        },
        "folders": {
            "name": pa.array(names, pa.large_string()),
            "start": stop - images.folder_size,
            "stop": stop,
        },
        "bags": {
            "bag_id": pa.array(bags.bag_id, pa.large_string()),
            "folder": pa.LargeListArray.from_arrays(bags.folder_offset, bags.folder),
            "label": pa.LargeListArray.from_arrays(bags.label_offset, bags.label),
        },
        "identities": {"identity": identities},
        "truth": {"class_index": np.zeros(0, np.int16)},
        "long_names": {"row": np.zeros(0, np.int64), "name": empty},
        "loose": {"name": empty},
    }
    manifest = {
        "schema": SCHEMA,
        "layout": layout.name,
        "shards": [relative(tar.path, layout.root) for tar in layout.tars],
        "sides": [tar.side for tar in layout.tars],
        "loose": False,
        "rows": [TRAIN, QUERIES, GALLERY],
        "files": {"bags": relative(layout.bag_file, layout.root)},
        "findings": Findings().to_json(),
    }
    write_store(directory, tables, manifest)
    return directory
