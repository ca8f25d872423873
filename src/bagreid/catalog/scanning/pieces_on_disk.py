"""Finished scans on disk: one compressed Arrow file a tar, about ten bytes an image.

Offsets are kept as the gap behind where the member before would end if nothing lay between them,
which is nearly always 0; the hashes of the names, eight bytes each, are what takes the room.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from bagreid.catalog.hold import PARTIAL
from bagreid.catalog.pieces import Oddities, Piece
from bagreid.contracts import BagreidError
from bagreid.shards import ByteSource, TarDamage, header_probe
from bagreid.shards.header import BLOCK

SCHEMA = "bagreid.scan/1"
"""Changes whenever older scans mean something else."""

_FACTS = b"bagreid"
_DAMAGE = ("message", "kind", "byte", "members", "last_good", "missing_bytes", "position", "remedy")


def piece_name(name: str, side: str, source: ByteSource) -> str:
    """The name under which the scan of a tar is kept.

    Args:
        name: The tar, relative to the archive.
        side: What it should hold by its place.
        source: The tar, opened.

    Returns:
        A file name that changes with the tar's place, size, time of change (or ETag), and with
        what its beginning, end and some blocks in between hold.
    """
    place = hashlib.sha256(orjson.dumps([name, side])).hexdigest()[:16]
    state = [SCHEMA, *source.state, header_probe(source)]
    return f"{place}-{hashlib.sha256(orjson.dumps(state)).hexdigest()[:16]}.arrow"


def write_piece(path: Path, piece: Piece, token: str) -> None:
    """Writes a scan beside its place and renames it.

    Args:
        path: Where it shall be, complete or not at all.
        piece: The scan.
        token: Goes into the name of the unfinished file, for whoever must remove it.

    Raises:
        BagreidError: If it cannot be written.
    """
    long = np.full(len(piece), -1, np.int32)
    long[np.searchsorted(piece.block, piece.long_block)] = np.arange(len(piece.long_block))
    columns: dict[str, Any] = {
        "gap": piece.block - _following(piece.block, piece.size),
        "size": piece.size,
        "split": piece.split,
        "group": piece.group,
        "camera": piece.camera,
        "key": piece.key,
        "long_name": piece.long_name.take(pa.array(long, mask=long < 0)),
    }
    batch = pa.record_batch({name: pa.array(column) for name, column in columns.items()})
    facts = _facts(piece) | {"checksum": _checksum(columns)}
    schema = batch.schema.with_metadata({_FACTS: orjson.dumps(facts)})
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    partial = None
    try:
        handle, partial = tempfile.mkstemp(f".{token}{PARTIAL}", dir=path.parent)
        os.fchmod(handle, 0o644)  # a cache may be shared
        # Not flushed to the disk, for 65,535 tars would take an hour: the checksum tells.
        with (
            os.fdopen(handle, "wb") as file,
            pa.ipc.new_file(file, schema, options=options) as writer,
        ):
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        Path(partial).replace(path)
    except OSError as error:
        raise BagreidError(
            f"a finished scan cannot be written ({error.strerror})",
            path=path,
            remedy="Name another place with --cache or the environment variable BAGREID_CACHE",
        ) from error
    finally:
        if partial is not None:
            with suppress(OSError):  # it is gone where all went well
                Path(partial).unlink()


def read_piece(path: Path, tar: Path) -> Piece | None:
    """Reads a finished scan.

    Args:
        path: Where it would be.
        tar: The tar it is about.

    Returns:
        The scan; None where there is none, or none that can be read.
    """
    try:
        options = pa.ipc.IpcReadOptions(use_threads=False)
        with pa.ipc.open_file(pa.py_buffer(path.read_bytes()), options=options) as reader:
            facts = orjson.loads(reader.schema.metadata[_FACTS])
            batch = reader.get_batch(0)
    except (OSError, pa.ArrowException, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    column = {name: batch.column(name) for name in batch.schema.names}
    if facts["checksum"] != _checksum(column):
        return None
    size = _numbers(column["size"])
    block = _blocks(_numbers(column["gap"]), size)
    long = np.flatnonzero(np.asarray(column["long_name"].is_valid()))
    return Piece(
        block=block,
        size=size,
        split=_numbers(column["split"]),
        group=_numbers(column["group"]),
        camera=_numbers(column["camera"]),
        key=_numbers(column["key"]),
        folders=tuple(facts["folders"]),
        long_block=block[long],
        long_name=column["long_name"].take(pa.array(long)),
        odd=_oddities(facts["odd"]),
        damage=TarDamage(path=tar, **facts["damage"]) if facts["damage"] else None,
        bytes=facts["bytes"],
        state=tuple(facts["state"]) if facts["state"] else None,
    )


def _checksum(columns: Mapping[str, Any]) -> int:
    """CRC-32 of the numbers of all columns."""
    value = 0
    for name, column in columns.items():
        if name != "long_name":
            numbers = column if isinstance(column, np.ndarray) else _numbers(column)
            value = zlib.crc32(np.ascontiguousarray(numbers).data, value)
    return value


def _following(
    block: npt.NDArray[np.uint32], size: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """Where the data of each image begins if its header follows the image before at once."""
    after = np.ones(len(block), np.uint32)
    after[1:] += block[:-1] + _length(size[:-1])
    return after


def _blocks(gap: npt.NDArray[np.uint32], size: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Undoes the subtraction of `_following`; all of it is arithmetic modulo 2³²."""
    step = gap + np.uint32(1)
    step[1:] += _length(size[:-1])
    return np.cumsum(step, dtype=np.uint32)


def _length(size: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    blocks: npt.NDArray[np.uint32] = size // np.uint32(BLOCK)
    blocks += size % np.uint32(BLOCK) != 0
    return blocks


def _facts(piece: Piece) -> dict[str, Any]:
    damage = piece.damage
    assert damage is None or isinstance(damage, TarDamage), "what cannot be read is no scan"
    return {
        "folders": piece.folders,
        "odd": asdict(piece.odd),
        "damage": damage and {name: getattr(damage, name) for name in _DAMAGE},
        "bytes": piece.bytes,
        "state": piece.state,
    }


def _oddities(facts: dict[str, Any]) -> Oddities:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
    }
    return Oddities(**values)


def _numbers(column: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=True))
