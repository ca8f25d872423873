"""The catalog on disk: one directory, written whole or not at all.

Images take eight bytes each in `places.npy` (see `places`), all else lies in small Arrow tables;
names are not stored for tars, for the header in front of the data holds them. Chosen by
measurement (`benchmarks/catalog_layout.py`, 29.6 million images): eight bytes read where they are
wanted leave nothing in a worker, where mapped columns, Arrow's or NumPy's, leave 240 to 300 MB;
a batch takes a fraction of a millisecond, where Parquet and SQLite take tens; and from a cold
disk a tenth of what the mapped ones take.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from bagreid.catalog.hold import PARTIAL, remove
from bagreid.catalog.layouts import Layout
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.places import Places, write_places
from bagreid.catalog.trees import directories_below
from bagreid.contracts import BagreidError
from bagreid.shards import header_probe, open_source
from bagreid.shards.pointer import is_pointer, without_secrets

SCHEMA = "bagreid.catalog/3"
"""Changes whenever older catalogs must be built anew."""

_CATALOG = re.compile(r"[0-9a-f]{16}(?P<bags>-[0-9]+x[0-9]+-[0-9]+)?(\.\d+)?")
"""Names of catalogs; other things that belong to the archive may lie beside them."""

MIRROR = "mirror"
"""Folder of lists and pointers of a remote archive, in its cache folder."""

MIRROR_FACTS = "mirror.json"
"""The URL behind a mirror, and the states of its files."""

_ASKED_AT_ONCE = 8
"""Remote tars asked for their state side by side."""

MANIFEST = "catalog.json"
"""The small facts beside the tables; it is written last."""


def cache_directory(root: Path, cache: Path | None) -> Path:
    """Where all that is kept of one archive lies.

    Args:
        root: The archive.
        cache: A folder for catalogs; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.

    Returns:
        `<cache>/<name>-<hash of the resolved root>`, which may not exist yet; for the mirror of
        a remote archive the folder around it.
    """
    if root.name == MIRROR and (root.parent / MIRROR_FACTS).is_file():
        return root.parent
    resolved = root.resolve()
    return _directory(resolved.name or "root", os.fsencode(resolved), cache)


def url_directory(url: str, cache: Path | None) -> Path:
    """Where all that is kept of a remote archive lies, its mirror included.

    Args:
        url: The archive.
        cache: A folder for catalogs; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.

    Returns:
        `<cache>/<name>-<hash of the URL>`, which may not exist yet.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", without_secrets(url).rpartition("/")[2])
    return _directory(name or "root", url.encode(), cache)


def cache_root(cache: Path | None) -> Path:
    """The folder for all that can be made again.

    Args:
        cache: The one asked for; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.

    Returns:
        Its absolute path; it may not exist yet.
    """
    if cache is None:
        named = os.environ.get("BAGREID_CACHE")
        cache = Path(named) if named else Path.home() / ".cache" / "bagreid"
    return cache.absolute()


def _directory(name: str, identity: bytes, cache: Path | None) -> Path:
    return cache_root(cache) / f"{name}-{hashlib.sha256(identity).hexdigest()[:12]}"


def fingerprint(layout: Layout) -> str:
    """Identifies the state of all that a catalog is made from.

    Args:
        layout: Where it lies.

    Returns:
        A short hash: for every tar its path, size, time of change (of a remote one the ETag) and
        header probe; for every list, bag and truth file path, size and time of change; and the
        time of change of every folder of extracted images. Of a strongly labelled set how its
        bags are made stands behind it, such as `-2x4-0`.

    Raises:
        BagreidError: If one of them cannot be read.
    """
    lists = [source.path for source in layout.lists.values()]
    lists += layout.labelled.lists if layout.labelled else ()
    extra = [path for path in (layout.bag_file, layout.truth_file) if path is not None]
    state: list[object] = [SCHEMA]
    tars = [tar.path for tar in layout.tars]
    far = [path for path in tars if is_pointer(path)]
    with ThreadPoolExecutor(min(len(far), _ASKED_AT_ONCE) or 1) as pool:
        answers = dict(zip(far, pool.map(_tar_state, far), strict=True))
    state += [
        (relative(path, layout.root), *(answers.get(path) or _tar_state(path))) for path in tars
    ]
    state += [(relative(path, layout.root), *_stat(path)) for path in [*lists, *extra]]
    for tree in layout.trees:
        for path in directories_below(tree):
            state.append((relative(path, layout.root), path.stat().st_mtime_ns))
    found = hashlib.sha256(orjson.dumps(state)).hexdigest()[:16]
    made = layout.simulation
    return f"{found}-{made.people}x{made.images}-{made.seed}" if layout.labelled else found


def _tar_state(path: Path) -> tuple[int | str, ...]:
    with closing(open_source(path)) as source:
        if is_pointer(path) and source.state[1]:
            return source.state  # its server says whether it changed, and a probe takes seconds
        return (*source.state, header_probe(source))


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise BagreidError(
            f"cannot be read ({error.strerror})", path=path, remedy="Put the file back"
        ) from error
    return found.st_size, found.st_mtime_ns


def write_store(
    directory: Path,
    tables: Mapping[str, Mapping[str, Any]],
    manifest: Mapping[str, Any],
    *,
    replace: bool = False,
) -> None:
    """Writes a catalog beside its place and renames it there when it is complete.

    Args:
        directory: Where the catalog shall be.
        tables: For each table its columns (NumPy or Arrow arrays); that of `images` has `shard`,
            `block`, `size`, `group` and `camera`.
        manifest: Facts for `MANIFEST`; its `rows` count the images of each split.
        replace: Take the place of a catalog that is there already; without it, nothing happens if
            another process was faster.

    Raises:
        BagreidError: If the place cannot be written.
    """
    partial = new_folder(directory)
    try:
        others = {name: columns for name, columns in tables.items() if name != "images"}
        others |= write_places(partial, tables["images"], manifest["rows"][0])
        for name, columns in others.items():
            _write_table(partial / f"{name}.arrow", columns)
        (partial / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        partial.chmod(0o755)
        for path in [*partial.iterdir(), partial]:
            _flush(path)
        if directory.exists() and (replace or not (directory / MANIFEST).is_file()):
            aside = directory.with_name(f"{directory.name}.{os.getpid()}")
            remove(aside)
            directory.rename(aside)
        try:
            partial.rename(directory)
        except OSError:
            if not (directory / MANIFEST).is_file():
                raise
    except OSError as error:
        raise _unwritable(directory, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def new_folder(directory: Path) -> Path:
    """Makes an unfinished folder beside where a catalog shall be.

    Args:
        directory: Where the catalog shall be.

    Returns:
        The new folder.

    Raises:
        BagreidError: If the place cannot be written.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(suffix=PARTIAL, dir=directory.parent))
    except OSError as error:
        raise _unwritable(directory, error) from error


def _flush(path: Path) -> None:
    """Waits until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def drop_others(directory: Path) -> None:
    """Removes the catalogs of earlier states of the same archive, with bags made alike.

    Args:
        directory: The one to keep.
    """
    kept = _CATALOG.fullmatch(directory.name)
    assert kept is not None, "a catalog is called by its fingerprint"
    for path in directory.parent.iterdir():
        found = _CATALOG.fullmatch(path.name)
        if path != directory and found is not None and found["bags"] == kept["bags"]:
            remove(path)


def _unwritable(directory: Path, error: OSError) -> BagreidError:
    return BagreidError(
        f"the catalog cannot be written ({error.strerror})",
        path=directory,
        remedy="Name another place with --cache or the environment variable BAGREID_CACHE",
    )


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    batch = pa.record_batch({name: _array(column) for name, column in columns.items()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _array(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        chunks = column.chunks or [pa.array([], column.type)]
        return pa.concat_arrays(chunks)
    return pa.array(column)


def read_manifest(directory: Path) -> dict[str, Any]:
    """The small facts of a catalog.

    Args:
        directory: A complete catalog.

    Returns:
        What `write_store` was given.

    Raises:
        BagreidError: If the file is damaged.
    """
    try:
        manifest = orjson.loads((directory / MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise damaged(directory) from error
    if not isinstance(manifest, dict):
        raise damaged(directory)
    return manifest


def open_places(directory: Path) -> Places:
    """Where the images of a catalog lie.

    Args:
        directory: A complete catalog.

    Returns:
        The open file.

    Raises:
        BagreidError: If it is gone or damaged.
    """
    try:
        return Places(directory)
    except (OSError, ValueError) as error:
        raise damaged(directory) from error


def read_table(directory: Path, name: str) -> pa.RecordBatch:
    """One table of a catalog, memory-mapped.

    Args:
        directory: A complete catalog.
        name: The table's name.

    Returns:
        Its columns, whose buffers lie in the map and are shared by all processes.

    Raises:
        BagreidError: If the file is gone or damaged.
    """
    try:
        source = pa.memory_map(str(directory / f"{name}.arrow"))
        return pa.ipc.open_file(source).get_batch(0)
    except (OSError, pa.ArrowException) as error:
        raise damaged(directory) from error


def numpy_column(batch: pa.RecordBatch, name: str) -> npt.NDArray[Any]:
    """A column as NumPy array, not copied.

    Args:
        batch: A memory-mapped table.
        name: A column of numbers without nulls.

    Returns:
        A read-only view.
    """
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=True))


def damaged(directory: Path) -> BagreidError:
    """The error for a catalog that cannot be read back.

    Args:
        directory: The catalog.

    Returns:
        The error.
    """
    return BagreidError(
        "the catalog is damaged", path=directory, remedy="Delete this folder; it is built anew"
    )
