"""Features with the images they belong to, in memory or on disk.

On disk they are a folder of memory-mapped files (`bagreid extract`) or an ``.npz`` of one's own.

Shape letters: N images, D features.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError, FloatArray, IntArray
from bagreid.files import write_beside, write_json

SCHEMA = "bagreid.features/1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFeatures:
    """Features of some images.

    Attributes:
        features: ``(N, D)``, in memory or memory-mapped.
        pids: ``(N,)`` int64 identities.
        camids: ``(N,)`` int64 cameras.
        rows: ``(N,)`` int64 catalog rows; None where the features came without an archive.
        names: N names of images that came without an archive; None where they came without names.
        broken: Catalog rows of images that could not be decoded; their features are zero.
        root: The archive; None where the features came without one.
    """

    features: FloatArray
    pids: IntArray
    camids: IntArray
    rows: IntArray | None = None
    names: Sequence[str] | None = None
    broken: tuple[int, ...] = ()
    root: Path | None = None

    def broken_places(self) -> IntArray:
        """``(n,)`` int64, where among the features those of `broken` stand."""
        if self.rows is None or not self.broken:
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.isin(self.rows, self.broken))


Append = Callable[[npt.NDArray[np.float32]], None]
"""Takes the next ``(n, D)`` rows."""


def images_of(
    catalog: Catalog, rows: IntArray, features: FloatArray, broken: Sequence[int]
) -> ImageFeatures:
    """Features of catalog rows, with the identities and cameras the catalog knows.

    Args:
        catalog: The archive.
        rows: ``(N,)`` int64 catalog rows.
        features: ``(N, D)``.
        broken: Rows of images that could not be decoded.

    Returns:
        All of it together.
    """
    return ImageFeatures(
        features=features,
        pids=catalog.group[rows].astype(np.int64),
        camids=catalog.camera[rows].astype(np.int64),
        rows=rows,
        broken=tuple(broken),
        root=catalog.root,
    )


@contextmanager
def fresh_features(folder: Path, count: int) -> Iterator[Append]:
    """Writes ``features.npy`` of a folder row by row; the file is complete or absent.

    Rows are appended rather than stored through a map: so a full disk is an error, not a signal.

    Args:
        folder: The folder; what it held before loses its seal.
        count: N, how many rows there will be.

    Yields:
        A function that appends rows.
    """
    with write_beside(folder / "features.npy") as file:
        (folder / "meta.json").unlink(missing_ok=True)

        def append(rows: npt.NDArray[np.float32]) -> None:
            if file.tell() == 0:
                shape = (count, rows.shape[1])
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(rows, dtype="<f4").data)

        yield append


def seal_features(
    folder: Path, catalog: Catalog, rows: IntArray, broken: Sequence[int], source: str
) -> ImageFeatures:
    """Completes a folder whose ``features.npy`` is there; ``meta.json`` comes last, as the seal.

    Args:
        folder: The folder.
        catalog: The archive.
        rows: ``(N,)`` int64 catalog rows.
        broken: Rows of images that could not be decoded.
        source: What made the features: a checkpoint, a method.

    Returns:
        The features, memory-mapped.
    """
    images = images_of(catalog, rows, _load(folder / "features.npy"), broken)
    for name, values in (("rows", rows), ("pids", images.pids), ("camids", images.camids)):
        with write_beside(folder / f"{name}.npy") as file:
            np.save(file, values)
    meta = {
        "schema": SCHEMA,
        "source": source,
        "root": str(catalog.root.absolute()),
        "count": len(rows),
        "dim": int(images.features.shape[1]),
        "broken": list(broken),
    }
    write_json(folder / "meta.json", meta)
    return images


def open_features(folder: Path) -> ImageFeatures:
    """Opens the features of a folder that `bagreid extract` wrote; they stay on disk.

    Args:
        folder: The folder with ``meta.json``.

    Returns:
        The features, memory-mapped.

    Raises:
        BagreidError: When the folder is incomplete, or a file is cut or does not fit the others.
    """
    path = folder / "meta.json"
    if not path.is_file():
        raise BagreidError(
            "holds no finished features: there is no meta.json",
            path=folder,
            remedy="Let bagreid extract write it",
        )
    try:
        meta = orjson.loads(path.read_bytes())
        schema = meta.get("schema") if isinstance(meta, dict) else None
    except orjson.JSONDecodeError as error:
        raise BagreidError(f"is not JSON ({error})", path=path) from error
    if schema != SCHEMA:
        raise BagreidError(f"has schema {schema!r}, not {SCHEMA!r}", path=path)
    features = _load(folder / "features.npy")
    rows, pids, camids = (_load(folder / f"{name}.npy") for name in ("rows", "pids", "camids"))
    if features.ndim != 2 or {len(features), len(rows), len(pids), len(camids)} != {meta["count"]}:
        raise BagreidError(
            "holds files of different lengths", path=folder, remedy="Extract the features again"
        )
    return ImageFeatures(
        features=features,
        pids=pids,
        camids=camids,
        rows=rows,
        broken=tuple(meta["broken"]),
        root=None if meta["root"] is None else Path(meta["root"]),
    )


def _load(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BagreidError(
            f"is absent, cut or no .npy file ({error})",
            path=path,
            remedy="Extract the features again",
        ) from error


def read_feature_file(path: Path) -> tuple[ImageFeatures, ImageFeatures]:
    """Reads an ``.npz`` of one's own features.

    Args:
        path: A file with ``query_feature`` (Q, D), ``query_pid`` and ``query_camid`` (Q,), and
            the same of ``gallery_``.

    Returns:
        Query and gallery.

    Raises:
        BagreidError: When it is no ``.npz``, is damaged, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _side(arrays, "query", path), _side(arrays, "gallery", path)
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise BagreidError(
            f"cannot be read as .npz ({str(error).splitlines()[0]})",
            path=path,
            remedy="Write it with numpy.savez, without object arrays",
        ) from error


def _side(arrays: Any, side: str, path: Path) -> ImageFeatures:
    wanted = [f"{side}_{part}" for part in ("feature", "pid", "camid")]
    absent = [key for key in wanted if key not in arrays.files]
    if absent:
        found = ", ".join(sorted(arrays.files)[:8]) or "nothing"
        raise BagreidError(
            f"lacks {', '.join(absent)}",
            path=path,
            remedy=f"It holds {found}; needed are query_ and gallery_ feature, pid and camid",
        )
    features, pids, camids = (arrays[key] for key in wanted)
    return ImageFeatures(features=features, pids=pids, camids=camids)
