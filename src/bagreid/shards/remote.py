"""A tar behind a URL, read by ranges with patience: connections drop, servers are busy."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
from fsspec.asyn import reset_lock  # type: ignore[import-untyped]

from bagreid.contracts import BagreidError
from bagreid.shards.pointer import read_pointer, without_secrets
from bagreid.shards.ranges import FileRanges, Ranges, RefusedError, Status, said
from bagreid.shards.source import AHEAD, IN_A_ROW, NEAR, State

PAUSES = (0.2, 1.0, 3.0)
"""Seconds to wait before the second, third and fourth try."""

AT_ONCE = 16
"""Requests under way at the same time, where many images are about to be read."""

_PROGRESS = 1 << 20
"""For each so many bytes of a long read one more dropped connection is forgiven."""

_NOTHING = memoryview(b"")

_INHERITED: list[Ranges] = []
"""Connections of a parent process: letting them go would close them over there."""

# A forked process has fsspec's event loop but not the thread that runs it, nor, if another thread
# held it just then, any hope for its lock; not every version of fsspec sees to both.
os.register_at_fork(after_in_child=reset_lock)


class RemoteSource:
    """A tar that a pointer file names, behind fsspec.

    Each process has its own connection: a source that finds itself in a forked process opens one.

    Args:
        pointer: A file that holds the URL.

    Raises:
        BagreidError: If the pointer is none, or the tar is not there, or it cannot be read in
            parts.
    """

    def __init__(self, pointer: Path) -> None:
        self.path = pointer
        self._url = read_pointer(pointer)
        self.name = without_secrets(self._url)
        self._process = os.getpid()
        self._ranges: Ranges | None = None
        self._status: Status | None = None
        self._end = self._row = 0
        self._kept = (0, _NOTHING)
        self._due: list[tuple[int, int]] = []
        self._found: list[tuple[int, memoryview]] = []
        self._status = self._ask_status()
        self.size = self._status.size
        self.state: State = (self._status.size, self._status.tag)

    def read(self, offset: int, size: int) -> memoryview:
        """Some of the bytes, by one request if all goes well.

        Small reads in a row, as those of images in the order of the archive, are served from
        larger and larger stretches: else a far server would be waited for once an image.

        Args:
            offset: The first of them.
            size: How many.

        Returns:
            A read-only view, shorter than asked for only at the end of the source.

        Raises:
            BagreidError: If the tar is gone or changed, or the connection drops again and again.
        """
        if self._due:
            self._fetch_expected()
        for start, found in self._found:
            if start <= offset and offset + size <= start + len(found):
                return found[offset - start : offset - start + size]
        start, kept = self._kept
        gap, self._end = offset - self._end, offset + size
        if start <= offset and offset + size <= start + len(kept):
            return kept[offset - start : offset - start + size]
        self._row = self._row + 1 if size < NEAR and 0 <= gap <= NEAR else 0
        ahead = min(NEAR << max(self._row - IN_A_ROW, 0), AHEAD) if self._row >= IN_A_ROW else 0
        view = self._fetch(offset, max(size, ahead))
        self._kept = (offset, view if ahead else _NOTHING)
        return view[:size]

    def expect(self, offset: int, size: int) -> None:
        """Notes what will be read: with the first of it, all is fetched at the same time."""
        self._due.append((offset, min(offset + size, self.size)))

    def _fetch_expected(self) -> None:
        """Fetches what is expected, unless it lies in a row, which is fetched ahead anyway."""
        due, self._due, self._found = sorted(self._due), [], []
        spans: list[tuple[int, int]] = []
        for start, stop in due:
            if spans and start <= spans[-1][1] + NEAR and stop <= spans[-1][0] + AHEAD:
                spans[-1] = spans[-1][0], max(stop, spans[-1][1])
            else:
                spans.append((start, stop))
        if len(spans) > 1:
            self._connected()  # once, and not once a thread
            with ThreadPoolExecutor(min(len(spans), AT_ONCE)) as threads:
                views = threads.map(lambda span: self._fetch(span[0], span[1] - span[0]), spans)
                self._found = [(start, view) for (start, _), view in zip(spans, views, strict=True)]

    def _fetch(self, offset: int, size: int) -> memoryview:
        view = memoryview(bytearray(max(min(size, self.size - offset), 0)))
        done = failures = 0
        while done < len(view):
            try:
                got, trouble = self._connected().fetch(offset + done, view[done:])
            except RefusedError as error:
                raise self._error(error.why, error.remedy) from error
            done += got
            if done < len(view):
                failures += 1
                if failures > len(PAUSES) + len(view) // _PROGRESS:
                    raise self._gave_up(failures, trouble, offset + done)
                time.sleep(0 if got else PAUSES[min(failures, len(PAUSES)) - 1])
        return view.toreadonly()

    def close(self) -> None:
        """Lets the connection go; reading on opens a new one."""
        self._ranges = None
        self._kept = (0, _NOTHING)
        self._due, self._found = [], []

    def _connected(self) -> Ranges:
        if self._process != os.getpid() and self._ranges is not None:
            _INHERITED.append(self._ranges)
            self._ranges = None
        if self._ranges is None:
            self._process = os.getpid()
            self._ranges = open_ranges(self._url, self._status)
        return self._ranges

    def _ask_status(self) -> Status:
        failures = 0
        while True:
            try:
                return self._connected().status()
            except RefusedError as error:
                raise self._error(error.why, error.remedy) from error
            except Exception as error:  # every file system has errors of its own
                failures += 1
                if failures > len(PAUSES):
                    raise self._gave_up(failures, error, 0) from error
                time.sleep(PAUSES[failures - 1])

    def _gave_up(self, tries: int, trouble: Exception | None, byte: int) -> BagreidError:
        why = "the server sends less than it should" if trouble is None else said(trouble)
        return self._error(
            f"reading failed {tries} times, at last at byte {byte} ({why})",
            "See that the server can be reached, then run the command again",
        )

    def _error(self, why: str, remedy: str) -> BagreidError:
        why = why.replace(self._url, self.name)
        return BagreidError(f"{self.name}: {why}", path=self.path, remedy=remedy)


def open_ranges(url: str, known: Status | None) -> Ranges:
    """Connects to the file system of a URL; no connection is shared with another process.

    Args:
        url: A URL of any scheme that fsspec knows.
        known: What an earlier connection found; any other answer is then a change.

    Returns:
        What reads parts of the file.

    Raises:
        RefusedError: If the scheme is unknown, or its package is not installed.
    """
    scheme = url.partition("://")[0].lower()
    try:
        system, path = fsspec.core.url_to_fs(url, skip_instance_cache=True)
        if scheme not in {"http", "https"}:
            return FileRanges(system, path, known)
        from bagreid.shards.web import WebRanges

        return WebRanges(system, path, known)
    except ImportError as error:
        package = "bagreid[remote]" if scheme in {"http", "https"} else "that package"
        why = f"'{scheme}' needs a package that is not installed ({error})"
        raise RefusedError(why, f"Install {package}") from error
    except Exception as error:  # every file system has errors of its own
        raise RefusedError(f"the URL cannot be opened ({said(error)})", "Mend the URL") from error
