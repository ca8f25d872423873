"""Several builds of one archive at once: none takes another's unfinished files for leftovers."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = "lock"
"""File in an archive's cache folder that its builders hold; its content means nothing."""

PARTIAL = ".partial"
"""Ending of files and folders that are not complete yet."""

_OURS = (f"tmp*{PARTIAL}", f"scans/*{PARTIAL}", f"mirror/**/tmp*{PARTIAL}")
"""What builders leave unfinished: catalogs, scans, copies of remote lists."""


class Hold:
    """A builder's share in the cache folder of an archive; the system ends it with the process.

    Args:
        lock: The open lock file; None where there can be none (a read-only cache, a file system
            without locks): then nothing is ever cleared away.
    """

    def __init__(self, lock: int | None) -> None:
        self._lock = lock

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no other builder is at work, which stays so until the context ends.

        Yields:
            True if what looks left over is left over.
        """
        if self._lock is None:
            yield False
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_SH)


@contextmanager
def hold_archive(directory: Path) -> Iterator[Hold]:
    """Announces a builder, and clears away what killed builders left.

    Args:
        directory: The archive's cache folder; it need not exist, and is made where it can be.

    Yields:
        The builder's share.
    """
    lock = _open_lock(directory)
    hold = Hold(lock)
    try:
        with hold.alone() as alone:
            if alone:
                for path in [path for kind in _OURS for path in directory.glob(kind)]:
                    remove(path)
        yield hold
    finally:
        if lock is not None:
            os.close(lock)


def remove(path: Path) -> None:
    """Removes a file or a whole folder; it is no matter if it is gone already.

    Args:
        path: What nobody needs any more.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _open_lock(directory: Path) -> int | None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError:
        os.close(lock)
        return None
    return lock
