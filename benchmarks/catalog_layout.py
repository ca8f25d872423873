"""Ways to keep where 29,126,188 + 480,730 images lie, on disk, side by side.

Each layout is asked for shard, offset and size of random batches of 180 images, in a process of
its own. Measured: bytes an image; time to open; time for a batch, from the page cache (median) and
the first one with the file dropped from it; and the memory that is the process's alone (USS) after
many batches.

Shape letters: M images, N images of a batch.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from abc import ABC, abstractmethod
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from machine import write_result
from typing_extensions import override

TRAIN, TEST, FOLDERS, PARTS, BATCH = 29_126_188, 480_730, 28_310, 10, 180

Columns = dict[str, npt.NDArray[Any]]
Ints = npt.NDArray[np.int64]


def make_columns(train: int, test: int) -> Columns:
    """An archive of the release's shape: images of 2.8 kB on average, in ten tars and one."""
    rng = np.random.default_rng(0)
    rows = train + test
    size = rng.gamma(12, 2822 / 12, rows).astype(np.uint32) + 200
    part = np.minimum(np.arange(rows) * PARTS // train, PARTS).astype(np.uint16)
    starts = np.searchsorted(part, np.arange(PARTS + 2))
    step = 1 + (size + 511) // 512
    end = np.cumsum(step, dtype=np.int64)
    first = np.concatenate([[0], end])[starts[part]]
    folder = np.arange(train) * FOLDERS // train
    return {
        "shard": part,
        "block": (end - step - first + 1).astype(np.uint32),
        "size": size,
        "group": np.concatenate([folder, rng.integers(28_311, 30_508, test)]).astype(np.int32),
        "camera": np.concatenate([np.zeros(train), np.ones(test)]).astype(np.int16),
    }


class Layout(ABC):
    """One way to keep the columns."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "images"

    @abstractmethod
    def write(self, columns: Columns) -> None:
        """Writes all of them."""

    @abstractmethod
    def open(self) -> None:
        """Makes ready for `fetch`."""

    @abstractmethod
    def fetch(self, rows: Ints) -> Ints:
        """`(N, 3)` shard, offset and size of some rows."""


class ArrowColumns(Layout):
    """Arrow IPC, memory-mapped: what catalogs were until now."""

    kept: tuple[str, ...] = ("shard", "block", "size", "group", "camera")

    @override
    def write(self, columns: Columns) -> None:
        batch = pa.record_batch({name: pa.array(columns[name]) for name in self.kept})
        with pa.OSFile(str(self.path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as out:
            out.write_batch(batch)

    @override
    def open(self) -> None:
        batch = pa.ipc.open_file(pa.memory_map(str(self.path))).get_batch(0)
        self.columns = [batch.column(name).to_numpy() for name in ("shard", "block", "size")]

    @override
    def fetch(self, rows: Ints) -> Ints:
        shard, block, size = (column[rows].astype(np.int64) for column in self.columns)
        return np.stack([shard, 512 * block, size], axis=1)


class FewArrowColumns(ArrowColumns):
    """The same without group and camera, which folders and test names give."""

    kept = ("shard", "block", "size")


class Runs:
    """Shards as runs of rows: a tar's images of one folder stand together."""

    def write(self, path: Path, shard: npt.NDArray[np.uint16]) -> None:
        """Keeps where each run begins, and its shard."""
        start = np.flatnonzero(np.diff(shard, prepend=-1))
        np.save(path, np.stack([start, shard[start]], axis=1))

    def open(self, path: Path) -> None:
        """Reads both."""
        self.start, self.shard = np.load(path).T

    def fetch(self, rows: Ints) -> Ints:
        """`(N,)` shards of some rows."""
        found: Ints = self.shard[np.searchsorted(self.start, rows, "right") - 1]
        return found


class MappedPairs(Layout):
    """One (M, 2) array of block and size, memory-mapped; shards as runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "images.npy"
        self.runs = Runs()

    @override
    def write(self, columns: Columns) -> None:
        np.save(self.path, np.stack([columns["block"], columns["size"]], axis=1))
        self.runs.write(self.path.with_name("runs.npy"), columns["shard"])

    @override
    def open(self) -> None:
        self.pairs = np.load(self.path, mmap_mode="r")
        self.runs.open(self.path.with_name("runs.npy"))

    @override
    def fetch(self, rows: Ints) -> Ints:
        block, size = self.pairs[rows].astype(np.int64).T
        return np.stack([self.runs.fetch(rows), 512 * block, size], axis=1)


class ReadPairs(MappedPairs):
    """The same file, of which each image's eight bytes are read where they are wanted."""

    @override
    def open(self) -> None:
        self.file = os.open(self.path, os.O_RDONLY)
        os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_RANDOM)
        self.runs.open(self.path.with_name("runs.npy"))

    @override
    def fetch(self, rows: Ints) -> Ints:
        raw = b"".join(os.pread(self.file, 8, 128 + 8 * row) for row in rows.tolist())
        block, size = np.frombuffer(raw, np.uint32).reshape(-1, 2).astype(np.int64).T
        return np.stack([self.runs.fetch(rows), 512 * block, size], axis=1)


class MappedRecords(Layout):
    """One structured array of shard, block and size, ten bytes an image, memory-mapped."""

    @override
    def write(self, columns: Columns) -> None:
        names = ("shard", "block", "size")
        kind = np.dtype([(name, columns[name].dtype) for name in names])
        records = np.empty(len(columns["size"]), kind)
        for name in names:
            records[name] = columns[name]
        with self.path.open("wb") as file:
            np.save(file, records)

    @override
    def open(self) -> None:
        self.records = np.load(self.path, mmap_mode="r")

    @override
    def fetch(self, rows: Ints) -> Ints:
        found = self.records[rows]
        block = found["block"].astype(np.int64)
        return np.stack([found["shard"], 512 * block, found["size"]], axis=1)


class Parquet(Layout):
    """Parquet with zstd, in row groups of 65,536."""

    GROUP = 65_536

    @override
    def write(self, columns: Columns) -> None:
        table = pa.table({name: columns[name] for name in ("shard", "block", "size")})
        pq.write_table(table, self.path, compression="zstd", row_group_size=self.GROUP)

    @override
    def open(self) -> None:
        self.file = pq.ParquetFile(self.path, memory_map=True)

    @override
    def fetch(self, rows: Ints) -> Ints:
        found = np.empty((len(rows), 3), np.int64)
        for group in np.unique(rows // self.GROUP).tolist():
            here = rows // self.GROUP == group
            table = self.file.read_row_group(group)
            for place, name in enumerate(("shard", "block", "size")):
                found[here, place] = table[name].to_numpy()[rows[here] % self.GROUP]
        found[:, 1] *= 512
        return found


class Sqlite(Layout):
    """SQLite: a table by row number."""

    @override
    def write(self, columns: Columns) -> None:
        with sqlite3.connect(self.path) as base:
            base.execute("PRAGMA journal_mode=OFF")
            base.execute("CREATE TABLE images (row INTEGER PRIMARY KEY, shard, block, size)")
            for start in range(0, len(columns["size"]), 1 << 20):
                some = [columns[n][start : start + (1 << 20)].tolist() for n in _PLACE]
                rows = zip(range(start, start + len(some[0])), *some, strict=True)
                base.executemany("INSERT INTO images VALUES (?, ?, ?, ?)", rows)
        base.close()

    @override
    def open(self) -> None:
        self.base = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        self.base.execute("SELECT 1 FROM images WHERE row = 0").fetchone()

    @override
    def fetch(self, rows: Ints) -> Ints:
        ask = "SELECT shard, block * 512, size FROM images WHERE row = ?"
        return np.array([self.base.execute(ask, (row,)).fetchone() for row in rows.tolist()])


_PLACE = ("shard", "block", "size")

LAYOUTS: dict[str, type[Layout]] = {
    "Arrow columns, mapped": ArrowColumns,
    "fewer Arrow columns, mapped": FewArrowColumns,
    "structured .npy, mapped": MappedRecords,
    "(M, 2) .npy and runs, mapped": MappedPairs,
    "(M, 2) .npy and runs, read": ReadPairs,
    "Parquet": Parquet,
    "SQLite": Sqlite,
}


def own_megabytes() -> float:
    """Memory of this process that no other shares (USS)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(kilobytes) * 1024 / 1e6


def drop_from_page_cache(path: Path) -> None:
    for file in path.iterdir():
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def measure(
    name: str, folder: Path, rows: int, batches: int, some: Ints
) -> tuple[dict[str, float], Ints]:
    """Opens one layout in this fresh process and fetches batches; then what it says of `some`."""
    rng = np.random.default_rng(1)
    bare = own_megabytes()
    drop_from_page_cache(folder)
    begun = time.perf_counter()
    layout = LAYOUTS[name](folder)
    layout.open()
    cold_open = time.perf_counter() - begun
    begun = time.perf_counter()
    layout.fetch(rng.integers(0, rows, BATCH))
    cold_batch = time.perf_counter() - begun
    for file in folder.iterdir():
        file.read_bytes()
    opened, spent = [], []
    for _ in range(5):
        begun = time.perf_counter()
        layout = LAYOUTS[name](folder)
        layout.open()
        opened.append(time.perf_counter() - begun)
    stop = time.perf_counter() + 20
    for _ in range(batches):
        wanted = rng.integers(0, rows, BATCH)
        begun = time.perf_counter()
        layout.fetch(wanted)
        spent.append(time.perf_counter() - begun)
        if begun > stop:
            break
    result = {
        "bytes_per_image": sum(file.stat().st_size for file in folder.iterdir()) / rows,
        "open_ms": float(np.median(opened)) * 1e3,
        "cold_open_ms": cold_open * 1e3,
        "batch_ms": float(np.median(spent)) * 1e3,
        "cold_batch_ms": cold_batch * 1e3,
        "uss_mb": own_megabytes() - bare,
        "batches": len(spent),
    }
    return result, layout.fetch(some)


def compare(train: int, test: int, batches: int, place: Path) -> dict[str, dict[str, float]]:
    """Writes and measures every layout, and makes sure that all say the same."""
    columns = make_columns(train, test)
    rows = train + test
    some = np.random.default_rng(2).integers(0, rows, 2000)
    right = np.stack([columns[name][some].astype(np.int64) for name in _PLACE], axis=1)
    right[:, 1] *= 512
    results = {}
    for name, kind in LAYOUTS.items():
        with tempfile.TemporaryDirectory(dir=place) as folder:
            layout = kind(Path(folder))
            layout.write(columns)
            # What two processes map is nobody's own, so this one must not open it.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                task = pool.submit(measure, name, Path(folder), rows, batches, some)
                results[name], found = task.result()
            assert np.array_equal(found, right), name
        print(f"{name:<30}" + "".join(f"{n} {v:10.3f}  " for n, v in results[name].items()))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=TRAIN, help="train images")
    parser.add_argument("--batches", type=int, default=1000, help="batches of each layout")
    parser.add_argument("--place", type=Path, default=Path(tempfile.gettempdir()))
    args = parser.parse_args()
    results = compare(args.train, TEST, args.batches, args.place)
    write_result(
        "catalog_layout",
        {"images": args.train + TEST, "batch": BATCH, "layouts": results},
    )


if __name__ == "__main__":
    main()
