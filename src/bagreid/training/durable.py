"""Large files on a disk that may fill up: complete and durable, or absent with a plain reason."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from bagreid.contracts import BagreidError
from bagreid.files import write_beside

_REMEDY = (
    "Make room, or move the work dir to a larger disk; what was saved before is whole, and "
    "--resume-from auto goes on from it"
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_durably(path: Path, write: Callable[[Any], object], *, needed: int) -> None:
    """Writes beside, waits for the disk, renames, and waits for the disk again.

    Args:
        path: The file: complete and on the disk afterwards, or as it was.
        write: Writes to the open file it is given.
        needed: About how many bytes that will be.

    Raises:
        BagreidError: There is no room, or the file cannot be written.
    """
    make_folder(path.parent)
    if (free := free_bytes(path.parent)) is not None and free < needed:
        raise _no_room(path, needed, free)
    try:
        with write_beside(path, flush=True, remedy=_REMEDY) as file:
            witness = _Witness(file)
            try:
                write(witness)
            except RuntimeError:
                if witness.error is not None:  # torch does not pass on why its writer failed
                    raise witness.error from None
                raise
        flush_folder(path.parent)
    except BagreidError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _FULL:
            raise _no_room(path, needed, free_bytes(path.parent)) from cause
        raise
    except RuntimeError as error:
        raise BagreidError(f"cannot be written ({error})", path=path, remedy=_REMEDY) from error


def make_folder(folder: Path) -> None:
    """Makes a folder that outlasts a power cut.

    Raises:
        BagreidError: It cannot be made.
    """
    if folder.is_dir():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BagreidError(
            f"the folder cannot be made ({error.strerror})",
            path=folder,
            remedy="Choose a --work-dir that you may write to",
        ) from error
    flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, where its file system can say so.

    Raises:
        BagreidError: The disk fails.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):
            raise BagreidError(
                f"cannot be brought to the disk ({error.strerror})", path=folder, remedy=_REMEDY
            ) from error


def free_bytes(folder: Path) -> int | None:
    """Room for this user on a folder's disk; None where it is not known."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    # some network file systems say nothing
    blocks = disk.f_bfree if os.geteuid() == 0 else disk.f_bavail
    return blocks * disk.f_frsize if disk.f_blocks else None


def _no_room(path: Path, needed: int, free: int | None) -> BagreidError:
    left = "" if free is None else f" and {free:,} are free"
    return BagreidError(
        f"the disk is full: about {needed:,} bytes are needed{left}", path=path, remedy=_REMEDY
    )


class _Witness:
    """Passes bytes on to a file and remembers the error that this met."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()
