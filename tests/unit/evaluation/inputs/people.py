"""A few procedural people, and their features in every format that is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Arrays = dict[str, Any]


def people(seed: int = 0, queries: int = 12, gallery: int = 90, dim: int = 24) -> Arrays:
    """Arrays by the names of the ``.npz`` format, file names included."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    centre = rng.normal(size=(queries, dim))
    extra = gallery - 2 * queries
    arrays: Arrays = {
        "query_feature": centre + 0.5 * rng.normal(size=centre.shape),
        "gallery_feature": np.concatenate(
            [
                centre + 0.5 * rng.normal(size=centre.shape),
                centre + 0.9 * rng.normal(size=centre.shape),
                rng.normal(size=(extra, dim)),
            ]
        ),
        "query_pid": np.arange(1, queries + 1),
        "gallery_pid": np.concatenate(
            [
                np.arange(1, queries + 1),
                np.arange(1, queries + 1),
                rng.choice([-1, -1000, 400], extra),
            ]
        ),
        "query_camid": np.ones(queries, np.int64),
        "gallery_camid": np.concatenate(
            [np.full(queries, 2), np.full(queries, 1), rng.integers(1, 13, extra)]
        ),
    }
    for side in ("query", "gallery"):
        arrays[f"{side}_feature"] = arrays[f"{side}_feature"].astype(np.float32)
        pids = (0 if pid == -1000 else pid for pid in arrays[f"{side}_pid"].tolist())
        camids = arrays[f"{side}_camid"].tolist()
        arrays[f"{side}_name"] = np.array(
            [
                f"{side}/{'-1' if pid == -1 else f'{pid:04d}'}_c{camid}s1_{row:06d}_00.jpg"
                for row, (pid, camid) in enumerate(zip(pids, camids, strict=True))
            ]
        )
    return arrays


def table(arrays: Arrays, side: str, **changed: Any) -> pa.Table:
    """One side as an Arrow table."""
    feature = arrays[f"{side}_feature"]
    flat = pa.array(np.ascontiguousarray(feature).ravel())
    columns = {
        "feature": pa.FixedSizeListArray.from_arrays(flat, feature.shape[1]),
        "pid": arrays[f"{side}_pid"],
        "camid": arrays[f"{side}_camid"],
        "name": arrays[f"{side}_name"],
    }
    return pa.table({**columns, **changed})


def write_npz(folder: Path, arrays: Arrays) -> list[Path]:
    np.savez(folder / "mine.npz", **arrays)
    return [folder / "mine.npz"]


def write_compressed_npz(folder: Path, arrays: Arrays) -> list[Path]:
    np.savez_compressed(folder / "mine.npz", **arrays)
    return [folder / "mine.npz"]


def write_folder(folder: Path, arrays: Arrays) -> list[Path]:
    for key, values in arrays.items():
        np.save(folder / f"{key.replace('_feature', '')}.npy", values)
    return [folder]


def write_plural_pair(folder: Path, arrays: Arrays) -> list[Path]:
    for key, values in arrays.items():
        np.save(folder / f"{key}s.npy", values)
    return [folder / "query_features.npy", folder / "gallery_features.npy"]


def write_csv_beside(folder: Path, arrays: Arrays) -> list[Path]:
    for side in ("query", "gallery"):
        np.save(folder / f"{side}.npy", arrays[f"{side}_feature"])
        columns = (arrays[f"{side}_{key}"] for key in ("camid", "name", "pid"))
        lines = [f'{camid},"{name}",{pid}' for camid, name, pid in zip(*columns, strict=True)]
        text = "\ufeffcamid,name,pid\r\n" + "\r\n".join(lines) + "\r\n"
        (folder / f"{side}.csv").write_bytes(text.encode())
    return [folder / "query.npy", folder / "gallery.npy"]


def write_names_beside(folder: Path, arrays: Arrays) -> list[Path]:
    for side in ("query", "gallery"):
        np.save(folder / f"{side}.npy", arrays[f"{side}_feature"])
        (folder / f"{side}.txt").write_text("\n".join(arrays[f"{side}_name"]) + "\n\n")
    return [folder / "query.npy", folder / "gallery.npy"]


def write_sided_npz(folder: Path, arrays: Arrays) -> list[Path]:
    for side in ("query", "gallery"):
        own = {
            key.removeprefix(f"{side}_"): values
            for key, values in arrays.items()
            if key.startswith(side)
        }
        np.savez(folder / f"{side}.npz", **own)
    return [folder]


def write_joint_parquet(folder: Path, arrays: Arrays) -> list[Path]:
    sides = [
        table(arrays, side).append_column(
            "split", pa.array([side] * len(arrays[f"{side}_pid"])).dictionary_encode()
        )
        for side in ("query", "gallery")
    ]
    joint = pa.concat_tables(sides, promote_options="default").unify_dictionaries()
    order = np.random.Generator(np.random.Philox(key=1)).permutation(len(joint))
    # the sides are mixed, but each keeps its order
    place = np.empty_like(order)
    queries = len(arrays["query_pid"])
    is_query = order < queries
    place[is_query] = np.arange(queries)
    place[~is_query] = np.arange(queries, len(joint))
    pq.write_table(joint.take(place), folder / "mine.parquet", row_group_size=17)
    return [folder / "mine.parquet"]


def write_sided_parquet(folder: Path, arrays: Arrays) -> list[Path]:
    for side in ("query", "gallery"):
        lists = pa.array(arrays[f"{side}_feature"].tolist(), pa.list_(pa.float32()))
        pq.write_table(table(arrays, side, feature=lists), folder / f"{side}.parquet")
    return [folder / "query.parquet", folder / "gallery.parquet"]


WRITERS: tuple[Callable[[Path, Arrays], list[Path]], ...] = (
    write_npz,
    write_compressed_npz,
    write_folder,
    write_plural_pair,
    write_csv_beside,
    write_names_beside,
    write_sided_npz,
    write_joint_parquet,
    write_sided_parquet,
)
