"""A small archive of real JPEGs in the released layout, some of them broken."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from sample_pictures import smooth_image
from torchvision.io import encode_jpeg

from bagreid.catalog import Catalog, open_catalog

FOLDERS = 6
IMAGES = 5

Damage = Callable[[str, bytes], bytes]


def _write_tar(path: Path, names: Iterable[str], damage: Damage) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, name in enumerate(names):
            data = damage(name, encode_jpeg(smooth_image(number)).numpy().tobytes())
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def make_catalog(tmp_path: Path) -> Callable[[Damage], Catalog]:
    """Makes an archive whose JPEGs a function may damage, and opens its catalog."""

    def make(damage: Damage = lambda _, data: data) -> Catalog:
        root = tmp_path / "SYSU-30k-released"
        train = [
            f"sysu_train_set_all/{folder:010d}/{number:03d}.jpg"
            for folder in range(1, FOLDERS + 1)
            for number in range(IMAGES)
        ]
        query = [f"sysu_test_set_all/query/{7:09d}/{7:09d}_c2_1.jpg"]
        gallery = [f"sysu_test_set_all/gallery/{7:09d}/{7:09d}_c1_{n}.jpg" for n in range(1, 7)]
        _write_tar(root / "train" / "sysu_train_set_all_part1.tar", train, damage)
        _write_tar(root / "test" / "sysu_test_set_all.tar", [*gallery, *query], damage)
        for name, lines in (("train", train), ("query", query), ("gallery", gallery)):
            (root / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        bags = []
        for folder in range(1, FOLDERS + 1):
            for reach in (0, 1, 2):
                near = [min(max(folder + d, 1), FOLDERS) for d in range(-reach, reach + 1)]
                label = {"BagLabel": near, "BagID": f"bag{len(bags):010d}"}
                bags.append(label | {"BagImages": [f"{other:010d}/*" for other in near]})
        (root / "bag_level_label.json").write_text(json.dumps(bags))
        return open_catalog(root, cache=tmp_path / "cache")

    return make
