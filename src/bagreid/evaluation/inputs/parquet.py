"""Features in Parquet: a row an image, copied once into an array, page by page.

Parquet is compressed and cannot be read at any row, so the features are copied into an array
first (in memory while small, else on disk); of the file no more than a few pages and one batch
of rows are held at a time, however large its row groups are.

Shape letters: N images, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bagreid.contracts import BagreidError, printable
from bagreid.evaluation.inputs.columns import (
    Column,
    Side,
    Table,
    features_of,
    known_keys,
    labels_of,
)
from bagreid.evaluation.inputs.copies import Copy

_BATCH = 1024
"""Rows at a time: 8 MiB of 2,048 float32 numbers."""


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # a small buffer instead of whole column chunks: a file is often one single row group
        with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BagreidError(
            f"cannot be read as Parquet ({text})",
            path=path,
            remedy="Write it with pyarrow.parquet.write_table or pandas.DataFrame.to_parquet",
        ) from error


def read_parquet(path: Path, cache: Path | None, side: Side | None = None) -> list[Table]:
    """Reads the columns ``feature``, ``pid``, ``camid``, ``name``, and ``split`` in a joint file.

    Args:
        path: The file.
        cache: A folder for large copies.
        side: Whose file it is; None where its column ``split`` says so for every row.

    Returns:
        The side, or query and gallery.

    Raises:
        BagreidError: When it is damaged, lacks the features or the split, or holds empty cells.
    """
    with _open(path) as file:
        names = file.schema_arrow.names
        meaning = known_keys(names, path)
        wanted = ["feature"] if side is not None else ["feature", "split"]
        absent = [key for key in wanted if key not in meaning and key not in names]
        if absent:
            found = ", ".join(map(printable, names[:8])) or "nothing"
            raise BagreidError(
                f"lacks the column {' and '.join(absent)}",
                path=path,
                remedy=f"It holds {found}; needed are feature, pid, camid, and split (query or "
                "gallery) unless there is one file a side",
            )
        unread = tuple(sorted(set(names) - set(meaning.values()) - set(wanted)))
        members: Members = {side: None} if side is not None else _split(file, path)
        if side is not None and "split" in names:
            _demand_split(side, _labels(file, "split", path))
            unread = tuple(name for name in unread if name != "split")
        columns = {
            key: _labels(file, name, path) for key, name in meaning.items() if key != "feature"
        }
        copies = _copy_features(file, meaning["feature"], path, members, cache)
    return [
        Table(
            side=which,
            path=path,
            features=copies[which].array(),
            columns={key: _taken(column, rows) for key, column in columns.items()},
            unread=unread,
            copied=copies[which].on_disk,
        )
        for which, rows in members.items()
    ]


Members = dict[Side, npt.NDArray[np.bool_] | None]
"""Which rows of the file are of which side; None: all."""


def _split(file: pq.ParquetFile, path: Path) -> Members:
    values = np.array(_labels(file, "split", path).values)
    query, gallery = values == "query", values == "gallery"
    odd = np.flatnonzero(~(query | gallery))
    if odd.size:
        raise BagreidError(
            f"{odd.size:,} rows are of the split {str(values[odd[0]])!r}",
            path=path,
            position=f"split, row {odd[0]}",
            remedy="Only query and gallery are evaluated; leave other rows out",
        )
    for side, rows in (("query", query), ("gallery", gallery)):
        if not rows.any():
            raise BagreidError(
                f"holds no row of the split {side}", path=path, remedy="There must be at least one"
            )
    return {"query": query, "gallery": gallery}


def _demand_split(side: Side, split: Column) -> None:
    others = [row for row, value in enumerate(split.values) if value != side]
    if others:
        raise BagreidError(
            f"{len(others):,} rows of the {side} file are of the split "
            f"{str(split.values[others[0]])!r}",
            path=split.path,
            position=split.place(others[0]),
            remedy=f"Leave out what is not {side}, or give one file of both sides",
        )


def _taken(column: Column, rows: npt.NDArray[np.bool_] | None) -> Column:
    if rows is None:
        return column
    values = column.values
    if isinstance(values, tuple):
        taken = tuple(values[row] for row in np.flatnonzero(rows).tolist())
        return Column(taken, column.path, column.key)
    return Column(values[rows], column.path, column.key)


def _labels(file: pq.ParquetFile, name: str, path: Path) -> Column:
    values = file.read(columns=[name]).column(name).combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # of no rows
        values = pa.concat_arrays(values.chunks) if values.chunks else pa.array([], values.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    _demand_filled(values, name, 0, path)
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return Column(tuple(values.to_pylist()), path, name)
    if not pa.types.is_integer(kind):
        raise BagreidError(
            f"has type {kind}; needed are whole numbers or text",
            path=path,
            position=f"column {name}",
            remedy="Convert the column, for instance with .astype('int64')",
        )
    return labels_of(values.to_numpy(zero_copy_only=False), path, name)


def _demand_filled(values: pa.Array, name: str, start: int, path: Path) -> None:
    if values.null_count:
        row = start + int(pc.index(values.is_null(), True).as_py())
        raise BagreidError(
            f"{values.null_count:,} cells of column {name} are empty",
            path=path,
            position=f"{name}, row {row}",
            remedy="Fill them or leave the rows out",
        )


def _copy_features(
    file: pq.ParquetFile, name: str, path: Path, members: Members, cache: Path | None
) -> dict[Side, Copy]:
    copies: dict[Side, Copy] = {}
    total, start = file.metadata.num_rows, 0
    if not total:
        raise BagreidError(
            "holds no rows",
            path=path,
            remedy="An evaluation needs at least one query and one gallery image",
        )
    for batch in file.iter_batches(_BATCH, columns=[name], use_threads=False):
        if not len(batch):
            continue
        values_nD = features_of(_matrix(batch.column(0), name, start, path), path, name)
        for side, rows in members.items():
            if side not in copies:
                count = total if rows is None else int(rows.sum())
                copies[side] = Copy((count, values_nD.shape[1]), values_nD.dtype, cache)
                dim = values_nD.shape[1]
            of_side = slice(None) if rows is None else rows[start : start + len(batch)]
            if values_nD.shape[1] != dim:
                raise _uneven(name, start, path, dim, values_nD.shape[1])
            copies[side].append(values_nD[of_side])
        start += len(batch)
    return copies


def _matrix(values: Any, name: str, start: int, path: Path) -> npt.NDArray[Any]:
    """The lists of a batch as ``(n, D)``."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    kind = values.type
    fixed = pa.types.is_fixed_size_list(kind)
    if not (fixed or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise BagreidError(
            f"has type {kind}, not lists of float16, float32 or float64",
            path=path,
            position=f"column {name}",
            remedy="Store one list of D numbers a row",
        )
    _demand_filled(values, name, start, path)
    if not fixed:
        lengths = values.value_lengths().to_numpy(zero_copy_only=False)
        odd = np.flatnonzero(lengths != lengths[0])
        if odd.size:
            raise _uneven(name, start + int(odd[0]), path, int(lengths[0]), int(lengths[odd[0]]))
    flat = values.flatten()
    if flat.null_count:
        row = start + int(pc.index(flat.is_null(), True).as_py()) // (len(flat) // len(values))
        raise BagreidError(
            f"features with empty cells: {flat.null_count:,} in rows {start} to "
            f"{start + len(values) - 1}",
            path=path,
            position=f"{name}, row {row}",
            remedy="Every row needs all its numbers",
        )
    plain: npt.NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    return plain.reshape(len(values), -1)


def _uneven(name: str, row: int, path: Path, wanted: int, found: int) -> BagreidError:
    return BagreidError(
        f"has {found} numbers, where the first row has {wanted}",
        path=path,
        position=f"{name}, row {row}",
        remedy="All features need the same dimension",
    )
