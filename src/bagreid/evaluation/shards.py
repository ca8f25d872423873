"""One shard of features while it is written: a file of numbers, and a journal of whole batches.

A batch is first written to ``features-NNNNNNNNN.npy.partial`` and then to the journal beside it, in
one line that holds a checksum of all the shard's numbers so far. So whatever a killed process, a
full disk or a power cut left behind, the lines whose checksums hold are the batches that are done;
the rest is cut off. Both files are flushed to the disk every few seconds.

NNNNNNNNN is the place of the shard's first image among all images.

Shape letters: n images of a batch, D features.
"""

from __future__ import annotations

import fcntl
import io
import os
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import orjson
import torch
from torch import Tensor

from bagreid.contracts import BagreidError, FloatArray
from bagreid.evaluation.pieces import Piece

FLUSH_SECONDS = 5.0
"""How much work, at most, a power cut can cost beside the batch under way."""

DESCR = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "float64": "<f8"}
"""Stored type → NumPy's name of what lies in the file; NumPy knows no bfloat16."""

_SCHEMA = "bagreid.extraction-journal/1"
_HEADER = 128
"""Bytes before the numbers of an .npy file of two dimensions."""

_LOCK_SECONDS = 30.0
_CHUNK = 1 << 24


class Batch(NamedTuple):
    """Features of a run of images.

    Attributes:
        features: ``(n, D)`` float32 or float64, on the host; zeros for a broken image.
        norms: ``(n,)`` float64, the lengths they had before they were normalised.
        broken: Catalog rows of the images that could not be decoded.
    """

    features: Tensor
    norms: FloatArray
    broken: list[int]


@dataclass(slots=True)
class Standing:
    """How far a shard has come.

    Attributes:
        rows: Images done.
        dim: D; 0 where none is done.
        crc32: Checksum of their numbers.
        broken: Catalog rows of those that could not be decoded.
        norms: Lengths before normalisation, one an image.
    """

    rows: int = 0
    dim: int = 0
    crc32: int = 0
    broken: list[int] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def after(self, line: Any) -> Standing:
        """What it is after another line of the journal; the lists are extended in place."""
        self.broken.extend(line["broken"])
        self.norms.extend(line["norms"])
        return Standing(line["rows"], line["dim"], line["crc32"], self.broken, self.norms)


def shard_path(folder: Path, piece: Piece) -> Path:
    """Where a finished shard lies."""
    return folder / f"features-{piece.start:09d}.npy"


def journal_path(folder: Path, piece: Piece) -> Path:
    """Where its journal lies until all shards are finished."""
    return folder / f"features-{piece.start:09d}.journal"


def partial_path(folder: Path, piece: Piece) -> Path:
    """Where an unfinished shard lies."""
    return folder / f"features-{piece.start:09d}.npy.partial"


def encode(features: Tensor, stored: str) -> memoryview:
    """The bytes of features in a stored type, little-endian; ``(n, D)`` of any float."""
    if stored == "bfloat16":
        numbers = features.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    else:
        numbers = features.numpy()
    return np.ascontiguousarray(numbers, dtype=DESCR[stored]).data.cast("B")


def recover(folder: Path, piece: Piece, job: str, stored: str) -> Standing:
    """Finds out what of a shard is done, and cuts off what is not.

    Args:
        folder: Where the shard lies.
        piece: Its images.
        job: What it must have been begun for.
        stored: The stored type.

    Returns:
        How far it has come; every checksum was worked out again.

    Raises:
        BagreidError: Another process is writing it.
    """
    journal = journal_path(folder, piece)
    data = shard_path(folder, piece)
    if not data.exists():
        data = partial_path(folder, piece)
    standing, good = Standing(), 0
    if journal.exists() and data.exists():
        with data.open("r+b") as file:
            lock(file, data)
            standing, good = _whole_batches(journal, file, piece, job, stored)
            if good and data.suffix == ".partial":
                size = np.dtype(DESCR[stored]).itemsize
                file.truncate(_HEADER + standing.rows * standing.dim * size)
            elif standing.rows < len(range(piece.start, piece.stop)):
                good = 0  # a closed file that is not whole
    if not good:
        for path in (journal, partial_path(folder, piece), shard_path(folder, piece)):
            path.unlink(missing_ok=True)
        return Standing()
    os.truncate(journal, good)
    return standing


def _whole_batches(
    journal: Path, data: BinaryIO, piece: Piece, job: str, stored: str
) -> tuple[Standing, int]:
    """What the lines say up to the first that does not hold, and where that begins."""
    size = np.dtype(DESCR[stored]).itemsize
    standing, good = Standing(), 0
    data.seek(_HEADER)
    with journal.open("rb") as file:
        for number, raw in enumerate(file):
            line = _parsed(raw)
            if number == 0:
                if line != _first_line(piece, job):
                    break
            elif line is None or line["rows"] > piece.stop - piece.start:
                break
            else:
                length = (line["rows"] - standing.rows) * line["dim"] * size
                if _crc_of(data, length, standing.crc32) != line["crc32"]:
                    break
                standing = standing.after(line)
            good += len(raw)
    return (standing, good) if standing.rows else (Standing(), 0)


def read_standing(folder: Path, piece: Piece) -> Standing:
    """How far a shard has come, as a journal says that `recover` went over."""
    standing = Standing()
    path = journal_path(folder, piece)
    if path.exists():
        for raw in path.read_bytes().splitlines()[1:]:
            standing = standing.after(orjson.loads(raw))
    return standing


def _parsed(raw: bytes) -> Any:
    """A line's value; None for a torn one."""
    if not raw.endswith(b"\n"):
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _first_line(piece: Piece, job: str) -> dict[str, Any]:
    return {"schema": _SCHEMA, "job": job, "start": piece.start}


def _crc_of(file: BinaryIO, length: int, crc: int) -> int:
    """The checksum with so many bytes more; −1 where they are not there."""
    while length:
        part = file.read(min(length, _CHUNK))
        if not part:
            return -1
        crc = zlib.crc32(part, crc)
        length -= len(part)
    return crc


def checksum(path: Path) -> int:
    """The checksum of the numbers of a finished shard."""
    with path.open("rb") as file:
        length = max(file.seek(0, os.SEEK_END) - _HEADER, 0)
        file.seek(_HEADER)
        return _crc_of(file, length, 0)


def header(rows: int, dim: int, stored: str) -> bytes:
    """The first bytes of the .npy file of a shard."""
    text = io.BytesIO()
    form = {"descr": DESCR[stored], "fortran_order": False, "shape": (rows, dim)}
    np.lib.format.write_array_header_1_0(text, form)
    assert len(text.getvalue()) == _HEADER, "the room left for the header does not fit it"
    return text.getvalue()


def shard_bytes(rows: int, dim: int, stored: str) -> int:
    """Length of a finished shard."""
    return _HEADER + rows * dim * np.dtype(DESCR[stored]).itemsize


def lock(file: BinaryIO, path: Path) -> None:
    """Makes sure that no other process writes a file; one that was just killed may take a moment.

    The lock is this process's, not its children's, and goes with it.

    Raises:
        BagreidError: Another process does not let go of it.
    """
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise BagreidError(
                    "another process is writing these features",
                    path=path,
                    remedy="Wait for it to end, or name another folder",
                ) from error
            time.sleep(0.1)
        except OSError:  # a file system without locks
            return


class ShardWriter:
    """Appends batches to a shard, from where it stands.

    Args:
        folder: Where the shard lies.
        piece: Its images.
        job: What it is for.
        stored: The stored type.
        standing: How far it has come.
    """

    def __init__(
        self, folder: Path, piece: Piece, job: str, stored: str, standing: Standing
    ) -> None:
        self._folder, self._piece, self._stored = folder, piece, stored
        self._rows, self._dim, self._crc = standing.rows, standing.dim, standing.crc32
        self._path = partial_path(folder, piece)
        self._data: BinaryIO = self._path.open("r+b" if self._rows else "w+b", buffering=0)
        lock(self._data, self._path)
        self._data.seek(0, os.SEEK_END)
        self._journal: BinaryIO = journal_path(folder, piece).open("ab", buffering=0)
        self._flushed = time.monotonic()
        if not self._rows:
            _write_all(self._data, bytes(_HEADER))
            _write_all(self._journal, orjson.dumps(_first_line(piece, job)) + b"\n")

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._data.close()
        self._journal.close()

    def append(self, batch: Batch) -> None:
        """Writes the next batch; it is done when this returns.

        Raises:
            BagreidError: The disk is full, or the batch has another number of dimensions.
        """
        rows, dim = batch.features.shape
        assert self._dim in (0, dim), f"features of {dim} dimensions behind {self._dim}"
        data = encode(batch.features, self._stored)
        self._rows, self._dim, self._crc = self._rows + rows, dim, zlib.crc32(data, self._crc)
        line = {
            "rows": self._rows,
            "dim": dim,
            "crc32": self._crc,
            "broken": batch.broken,
            "norms": batch.norms.tolist(),
        }
        try:
            _write_all(self._data, data)
            _write_all(self._journal, orjson.dumps(line) + b"\n")
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._flush()
        except OSError as error:
            raise _unwritten(self._path, error) from error

    def _flush(self) -> None:
        """The numbers first: a line is never on the disk before what it speaks of."""
        os.fsync(self._data)
        os.fsync(self._journal)
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Gives a whole shard its header and its name.

        Raises:
            BagreidError: It cannot be written.
        """
        assert self._rows == self._piece.stop - self._piece.start, "the shard is not whole"
        try:
            self._data.seek(0)
            _write_all(self._data, header(self._rows, self._dim, self._stored))
            self._flush()
            self._path.replace(shard_path(self._folder, self._piece))
        except OSError as error:
            raise _unwritten(self._path, error) from error


def _write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _unwritten(path: Path, error: OSError) -> BagreidError:
    return BagreidError(
        f"cannot be written ({error.strerror})",
        path=path,
        remedy="Make room and start the same command again: it goes on from the last whole batch",
    )
