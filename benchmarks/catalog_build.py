"""Time and memory from finished scans to the catalog of 29,126,188 + 480,730 images.

Tars of the release's size that are all holes, with the scans that they would have had: what is
measured is all that a build does after the last header was read, with lists and bag file, in a
process of its own.

Shape letters: M images of a tar, W bytes of a name.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
from machine import write_result

from bagreid.catalog import open_catalog
from bagreid.catalog.pieces import tar_piece
from bagreid.catalog.scanning.pieces_on_disk import piece_name, write_piece
from bagreid.catalog.scanning.scan import SCANS
from bagreid.catalog.store import cache_directory
from bagreid.contracts import IntArray
from bagreid.shards import TarIndex, open_source

TRAIN, QUERIES, GALLERY, FOLDERS, PARTS = 29_126_188, 1_000, 479_730, 28_310, 10


def spelled(template: str, *numbers: IntArray) -> npt.NDArray[np.uint8]:
    """`(M, W)` names: each run of `#` in the template stands for the digits of a number."""
    letters_MW = np.tile(np.frombuffer(template.encode(), np.uint8), (len(numbers[0]), 1))
    hashes = np.flatnonzero(letters_MW[0] == ord("#")) if len(letters_MW) else np.zeros(0, int)
    fields = np.split(hashes, np.flatnonzero(np.diff(hashes) > 1) + 1)
    for field, number in zip(fields, numbers, strict=True):
        for power, place in enumerate(field[::-1].tolist()):
            letters_MW[:, place] = ord("0") + number // 10**power % 10
    return letters_MW


def write_tar(root: Path, place: Path, name: str, letters: npt.NDArray[np.uint8], seed: int) -> int:
    """A hole of a tar's size, and its scan; returns the bytes of the scan on disk."""
    images, width = int(letters.shape[0]), letters.shape[1]
    size = np.random.default_rng(seed).gamma(12, 2822 / 12, images).astype(np.int64) + 200
    end = np.cumsum(512 + (size + 511) // 512 * 512)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(int(end[-1]) + 1024)
    offset = np.arange(images + 1, dtype=np.int64) * width
    source = open_source(path)
    index = TarIndex(
        path=path,
        names=pa.LargeStringArray.from_buffers(
            images, pa.py_buffer(offset), pa.py_buffer(np.ascontiguousarray(letters))
        ),
        offset=end - (size + 511) // 512 * 512,
        size=size,
        named_by_header=np.ones(images, np.bool_),
        skipped={},
        unsafe=0,
        first_unsafe=(),
        bytes_after_end=0,
        damage=None,
        bytes=source.size,
        state=source.state,
    )
    side = "test" if name.startswith("test") else "train"
    target = place / SCANS / piece_name(name, side, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_piece(target, tar_piece(index, side), "benchmark")
    return target.stat().st_size


def write_list(path: Path, letters: npt.NDArray[np.uint8]) -> None:
    """Appends names to a list file."""
    with path.open("ab") as file:
        for start in range(0, len(letters), 1 << 20):
            piece = letters[start : start + (1 << 20)]
            file.write(np.pad(piece, ((0, 0), (0, 1)), constant_values=ord("\n")).tobytes())


def fabricate(root: Path, cache: Path, train: int) -> int:
    """The whole archive; returns the bytes of all scans."""
    place = cache_directory(root, cache)
    folder = np.arange(train) * FOLDERS // train
    number = np.arange(train) - np.searchsorted(folder, folder)
    scans = 0
    for part in range(PARTS):
        rows = slice(part * train // PARTS, (part + 1) * train // PARTS)
        template = "sysu_train_set_all/##########/######_01.jpg"
        letters = spelled(template, folder[rows] + 1, number[rows])
        scans += write_tar(
            root, place, f"train/sysu_train_set_all_part{part + 1}.tar", letters, part
        )
        write_list(root / "train.txt", letters)
    pid = np.arange(28_311, 28_311 + QUERIES)
    query = spelled(
        "sysu_test_set_all/query/#########/#########_c2_######.jpg", pid, pid, pid * 0 + 2
    )
    other = np.arange(GALLERY)
    gallery = spelled("sysu_test_set_all/gallery/0000others/0000others_c1_######.jpg", other)
    write_list(root / "query.txt", query)
    write_list(root / "gallery.txt", gallery)
    scans += write_tar(root, place, "test/sysu_test_set_all.tar", gallery, PARTS)
    scans += write_tar(root, place, "test/sysu_test_set_all_query.tar", query, PARTS + 1)
    bags = [
        {
            "BagLabel": around,
            "BagID": f"bag{3 * folder + width:010d}",
            "BagImages": [f"{n:010d}/*" for n in around],
        }
        for folder in range(1, FOLDERS + 1)
        for width in range(3)
        for around in [[min(max(n, 1), FOLDERS) for n in range(folder - width, folder + width + 1)]]
    ]
    (root / "bag_level_label.json").write_bytes(orjson.dumps(bags))
    return scans


def peak_megabytes() -> float:
    """The most memory that this process ever had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def build(root: Path, cache: Path) -> dict[str, Any]:
    """Builds the catalog in this fresh process, then opens it."""
    before = peak_megabytes()
    begun, worked = time.perf_counter(), time.process_time()
    catalog = open_catalog(root, cache=cache)
    built, worked = time.perf_counter() - begun, time.process_time() - worked
    peak = peak_megabytes()
    opened = []
    for _ in range(7):
        begun = time.perf_counter()
        open_catalog(root, cache=cache)
        opened.append(time.perf_counter() - begun)
    size = sum(path.stat().st_size for path in catalog.directory.iterdir())
    return {
        "images": len(catalog),
        "duplicates": catalog.findings.duplicate_images,
        "listed": [entry.lines - entry.absent for entry in catalog.findings.lists],
        "build_seconds": built,
        "build_cpu_seconds": worked,
        "peak_mb": peak - before,
        "catalog_bytes_per_image": size / len(catalog),
        "open_ms": min(opened) * 1e3,
    }


def measure(root: Path, cache: Path) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(build, root, cache).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=TRAIN, help="train images")
    parser.add_argument("--place", type=Path, default=Path(tempfile.gettempdir()))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.place) as place:
        root, cache = Path(place) / "root", Path(place) / "cache"
        root.mkdir()
        scans = fabricate(root, cache, args.train)
        with_lists = measure(root, cache)
        for name in ("train.txt", "query.txt", "gallery.txt"):
            (root / name).unlink()
        result = {"with lists": with_lists, "without lists": measure(root, cache)}
    print(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    write_result(
        "catalog_build",
        {"scan_bytes_per_image": scans / with_lists["images"], "builds": result},
    )


if __name__ == "__main__":
    main()
