"""Arrays in an ``.npz``: those stored as they are get mapped, compressed ones are unpacked once.

An ``.npz`` is a zip of ``.npy`` files. A member that is not compressed lies in it byte by byte,
behind a local header of 30 bytes, its name and an extra field (APPNOTE.TXT of PKWARE, 4.3.7).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bagreid.contracts import BagreidError, FloatArray, printable
from bagreid.evaluation.inputs.columns import Side, Table, features_of, known_keys, labels_of
from bagreid.evaluation.inputs.copies import Copy, in_row_order
from bagreid.evaluation.inputs.npy import Extent, map_array, read_header

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_PIECE = 2**22


class Archive:
    """An open ``.npz``.

    Args:
        path: The file, for messages.
        zipped: The same, open as a zip.
    """

    def __init__(self, path: Path, zipped: zipfile.ZipFile) -> None:
        self.path = path
        self._zip = zipped
        arrays = [info for info in zipped.infolist() if info.filename.endswith(".npy")]
        self._members = {info.filename.removesuffix(".npy"): info for info in arrays}
        if len(self._members) < len(arrays):
            raise zipfile.BadZipFile("two arrays have the same name")

    @property
    def keys(self) -> list[str]:
        """The names of the arrays."""
        return list(self._members)

    def labels(self, key: str) -> npt.NDArray[Any]:
        """A small array, in memory."""
        info = self._members[key]
        with self._zip.open(info) as member:
            extent = Extent(self.path, 0, info.file_size, key)
            header = read_header(member, extent)  # type: ignore[arg-type]  # reads, as files do
            data = member.read()
        values = np.frombuffer(data, header.dtype)
        if header.fortran:  # the file holds the transposed array
            return np.asarray(values.reshape(header.shape[::-1]).T)
        return np.asarray(values.reshape(header.shape))

    def features(self, key: str, cache: Path | None) -> tuple[FloatArray, int]:
        """Features, mapped where they can be.

        Args:
            key: Their name.
            cache: A folder for a large copy.

        Returns:
            ``(N, D)``, and the bytes of a copy on disk.
        """
        info = self._members[key]
        if info.compress_type == zipfile.ZIP_STORED:
            extent = self._extent(info, key)
            self._check_sum(extent, info.CRC)
            return in_row_order(features_of(map_array(extent), self.path, key), cache)
        return self._unpack(info, key, cache)

    def _extent(self, info: zipfile.ZipInfo, key: str) -> Extent:
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or info.flag_bits & 1:
            raise zipfile.BadZipFile(f"array {key} is encrypted or has no local header")
        signature, name, extra = _LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"array {key} has no local header")
        start = info.header_offset + _LOCAL_HEADER.size + name + extra
        return Extent(self.path, start, info.file_size, key)

    def _check_sum(self, extent: Extent, wanted: int) -> None:
        """A map would not notice a damaged byte, so the zip's own checksum is asked first."""
        checksum = 0
        with self.path.open("rb") as file:
            file.seek(extent.start)
            left = extent.size
            while left and (piece := file.read(min(left, _PIECE))):
                checksum = zlib.crc32(piece, checksum)
                left -= len(piece)
        if left or checksum != wanted:
            raise zipfile.BadZipFile(f"the checksum of array {extent.member} does not fit")

    def _unpack(
        self, info: zipfile.ZipInfo, key: str, cache: Path | None
    ) -> tuple[FloatArray, int]:
        with self._zip.open(info) as member:
            extent = Extent(self.path, 0, info.file_size, key)
            header = read_header(member, extent)  # type: ignore[arg-type]  # reads, as files do
            # an empty array of the shape and type shows whether the values can be features
            features_of(np.broadcast_to(np.empty((), header.dtype), header.shape), self.path, key)
            count, dim = header.shape
            # in Fortran order the file holds the transposed array row by row
            shape = (dim, count) if header.fortran else (count, dim)
            copy = Copy(shape, header.dtype, cache)
            while piece := member.read(_PIECE):
                copy.append(piece)
        if not header.fortran:
            return copy.array(), copy.on_disk
        values, copied = in_row_order(copy.array().T, cache)
        return values, copied


@contextmanager
def open_npz(path: Path) -> Iterator[Archive]:
    """Opens an ``.npz``; whatever is damaged in it becomes one error.

    Args:
        path: The file.

    Yields:
        It, open.

    Raises:
        BagreidError: When it is no ``.npz``, is cut, or a checksum does not fit.
    """
    try:
        with zipfile.ZipFile(path) as zipped:
            yield Archive(path, zipped)
    except (
        *(OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError),
        *(RuntimeError, struct.error),
    ) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BagreidError(
            f"cannot be read as .npz ({text})",
            path=path,
            remedy="Write it with numpy.savez, without object arrays",
        ) from error


def read_npz(path: Path, cache: Path | None, side: Side | None = None) -> list[Table]:
    """Reads features, identities, cameras and names.

    Args:
        path: The file.
        cache: A folder for large copies.
        side: Whose file it is; None where it holds ``query_…`` and ``gallery_…`` arrays.

    Returns:
        The side, or query and gallery.

    Raises:
        BagreidError: When it is damaged, or lacks the features.
    """
    with open_npz(path) as archive:
        sides: dict[Side, str] = {"query": "query_", "gallery": "gallery_"}
        if side is not None:
            sides = {side: ""}
        meanings = {which: known_keys(archive.keys, path, prefix=p) for which, p in sides.items()}
        _demand_features(meanings, sides, archive)
        used = {name for meaning in meanings.values() for name in meaning.values()}
        unread = tuple(sorted(set(archive.keys) - used))
        return [
            _table(archive, which, meaning, unread, cache) for which, meaning in meanings.items()
        ]


def _demand_features(
    meanings: dict[Side, dict[str, str]], sides: dict[Side, str], archive: Archive
) -> None:
    absent = [sides[side] + "feature" for side, keys in meanings.items() if "feature" not in keys]
    if not absent:
        return
    found = ", ".join(map(printable, sorted(archive.keys)[:8])) or "nothing"
    prefix = "query_ and gallery_ " if len(sides) == 2 else ""
    raise BagreidError(
        f"lacks {', '.join(absent)}",
        path=archive.path,
        remedy=f"It holds {found}; needed are {prefix}feature, pid and camid",
    )


def _table(
    archive: Archive,
    side: Side,
    meaning: dict[str, str],
    unread: tuple[str, ...],
    cache: Path | None,
) -> Table:
    features, copied = archive.features(meaning["feature"], cache)
    columns = {
        key: labels_of(archive.labels(name), archive.path, name)
        for key, name in meaning.items()
        if key != "feature"
    }
    return Table(
        side=side,
        path=archive.path,
        features=features,
        columns=columns,
        unread=unread,
        copied=copied,
    )
