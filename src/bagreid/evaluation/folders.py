"""Folders of features as `bagreid extract` writes them: shards, the images' facts, and a seal.

- ``features-NNNNNNNNN.npy``: ``(n, D)``, one a process, images in the catalog's order; the number
  is the place of the first. bfloat16, which NumPy does not know, lies there as uint16.
- ``rows.npy``, ``pids.npy``, ``camids.npy``: ``(N,)`` int64; ``norms.npy``: ``(N,)`` float64, the
  lengths of the features before they were normalised.
- ``meta.json``: what made them, and length and checksum of each shard; written last of all.

A folder of the first version of bagreid has one ``features.npy`` in place of the shards.

Shape letters: N images, n images of a shard, D features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from bagreid.contracts import BagreidError
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.shards import checksum
from bagreid.evaluation.sources import (
    ArraySource,
    Features,
    FeatureSource,
    ShardedSource,
    tensor_over,
)
from bagreid.files import write_beside, write_json

SCHEMA = "bagreid.features/2"
FIRST_SCHEMA = "bagreid.features/1"

META = "meta.json"

_AGAIN = "Extract the features again"


def seal(folder: Path, images: ImageFeatures, meta: dict[str, Any]) -> None:
    """Completes a folder whose shards are there.

    Args:
        folder: The folder.
        images: What lies in it.
        meta: What else ``meta.json`` shall say: source, dtype, job and shards.

    Raises:
        BagreidError: A file cannot be written.
    """
    facts = {
        "rows": images.rows,
        "pids": images.pids,
        "camids": images.camids,
        "norms": images.norms,
    }
    for name, values in facts.items():
        if values is None:
            continue  # features that came without an archive have no rows
        with write_beside(folder / f"{name}.npy", flush=True) as file:
            np.save(file, values)
    count, dim = images.features.shape
    own = {
        "schema": SCHEMA,
        "root": None if images.root is None else str(images.root.absolute()),
        "count": int(count),
        "dim": int(dim),
        "kind": images.kind,
        "broken": list(images.broken),
    }
    write_json(folder / META, own | meta, flush=True)


def read_meta(folder: Path) -> dict[str, Any]:
    """What ``meta.json`` says.

    Args:
        folder: The folder.

    Returns:
        Its content.

    Raises:
        BagreidError: There is none, or it is none of ours.
    """
    path = folder / META
    try:
        meta = orjson.loads(path.read_bytes())
        schema = meta.get("schema") if isinstance(meta, dict) else None
    except FileNotFoundError as error:
        raise BagreidError(
            "holds no finished features: there is no meta.json",
            path=folder,
            remedy="Let bagreid extract write it; where it was stopped, the same command goes on",
        ) from error
    except orjson.JSONDecodeError as error:
        raise BagreidError(f"is not JSON ({error})", path=path) from error
    if schema not in (SCHEMA, FIRST_SCHEMA):
        raise BagreidError(f"has schema {schema!r}, not {SCHEMA!r}", path=path)
    found: dict[str, Any] = meta
    return found


def open_features(folder: Path) -> ImageFeatures:
    """Opens the features of a folder that `bagreid extract` wrote; they stay on disk.

    Args:
        folder: The folder with ``meta.json``.

    Returns:
        The features, memory-mapped.

    Raises:
        BagreidError: When the folder is incomplete, or a file is cut or does not fit the others.
    """
    meta = read_meta(folder)
    try:
        features, norms = _shards(folder, meta), None
        if meta["schema"] == SCHEMA:
            norms = _load(folder / "norms.npy")
        pids, camids = (_load(folder / f"{name}.npy") for name in ("pids", "camids"))
        rows = None if meta["root"] is None else _load(folder / "rows.npy")
        lengths = {len(facts) for facts in (pids, camids, rows, norms) if facts is not None}
        lengths.add(features.shape[0])
        if lengths != {meta["count"]}:
            raise BagreidError("holds files of different lengths", path=folder, remedy=_AGAIN)
        return ImageFeatures(
            features=features,
            pids=pids,
            camids=camids,
            rows=rows,
            broken=tuple(meta["broken"]),
            root=None if meta["root"] is None else Path(meta["root"]),
            norms=norms,
            kind=meta.get("kind"),
            path=folder,
        )
    except (KeyError, TypeError) as error:
        raise BagreidError(
            f"does not say what is needed ({error})", path=folder / META, remedy=_AGAIN
        ) from error


def damage(folder: Path) -> BagreidError | None:
    """Looks at every byte of a finished folder's features.

    Args:
        folder: The folder.

    Returns:
        What is wrong with it; None where all is well.
    """
    try:
        open_features(folder)
    except BagreidError as error:
        return error
    for shard in read_meta(folder)["shards"]:
        path = folder / shard["file"]
        if checksum(path) != shard["crc32"]:
            return BagreidError("is not what was written", path=path, remedy=_AGAIN)
    return None


def _shards(folder: Path, meta: dict[str, Any]) -> Features | FeatureSource:
    """All features: an array where there is one shard."""
    if meta["schema"] == FIRST_SCHEMA:
        single = _load(folder / "features.npy")
        if single.ndim != 2:
            raise BagreidError("holds files of different lengths", path=folder, remedy=_AGAIN)
        features: Features = single
        return features
    parts = [_shard(folder, shard, meta) for shard in meta["shards"]]
    return parts[0] if len(parts) == 1 else ShardedSource([ArraySource(part) for part in parts])


def _shard(folder: Path, shard: dict[str, Any], meta: dict[str, Any]) -> Features:
    path = folder / shard["file"]
    if path.parent != folder:
        raise BagreidError("names a shard elsewhere", path=folder / META, remedy=_AGAIN)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BagreidError(
            f"cannot be read ({error.strerror})", path=path, remedy=_AGAIN
        ) from error
    if size != shard["bytes"]:
        raise BagreidError(
            f"is cut or was changed: it has {size:,} bytes, not {shard['bytes']:,}",
            path=path,
            remedy=_AGAIN,
        )
    numbers = _load(path)
    if numbers.shape != (shard["rows"], meta["dim"]):
        raise BagreidError(
            f"has shape {numbers.shape}, not {(shard['rows'], meta['dim'])}",
            path=path,
            remedy=_AGAIN,
        )
    if meta["dtype"] != "bfloat16":
        features: Features = numbers
        return features
    return tensor_over(numbers.view(np.int16)).view(torch.bfloat16)


def _load(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BagreidError(
            f"is absent, cut or no .npy file ({error})", path=path, remedy=_AGAIN
        ) from error
