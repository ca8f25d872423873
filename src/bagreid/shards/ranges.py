"""Parts of a file behind fsspec, one request each; `remote` adds the patience."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

NO_RANGES = (
    "the server sends whole files only, and a tar is read in parts",
    "Put the tar on a server that honours Range requests (nginx, Apache, S3; not Python's "
    "http.server), or fetch it and put it in place of the pointer",
)
GONE = ("there is no such file", "Mend the URL, or put the tar there again")
CHANGED = (
    "it changed while it was being read",
    "Wait until it is written whole, then run the command again",
)

_TAGS = ("ETag", "etag", "LastModified", "mtime", "created")
"""What file systems call the thing that changes whenever a file does."""


class RefusedError(Exception):
    """What another try would not change.

    Args:
        why: What is wrong.
        remedy: What the user can do about it.
    """

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy


class Status(NamedTuple):
    """What is known of a file before anything in it is read.

    Attributes:
        size: Its bytes.
        tag: Its ETag, or the time of its last change; empty where neither is told.
    """

    size: int
    tag: str


class Ranges(Protocol):
    """Reads parts of one remote file."""

    def status(self) -> Status:
        """Size and tag of the file."""

    def fetch(self, start: int, into: memoryview) -> tuple[int, Exception | None]:
        """One try at filling `into` with the bytes from `start` on.

        Args:
            start: The first byte.
            into: Where the bytes go.

        Returns:
            How many bytes came, and what went wrong where they are not all.

        Raises:
            RefusedError: If no further try would help.
        """


class FileRanges:
    """Parts of a file by the `cat_file` of its file system.

    Args:
        system: An fsspec file system.
        path: The file as that system calls it.
        known: What an earlier connection found; any other answer is then a change.
    """

    def __init__(self, system: Any, path: str, known: Status | None) -> None:
        self._system = system
        self._path = path
        self._known = known

    def status(self) -> Status:
        """Size and tag of the file, as its file system tells them."""
        try:
            info = self._system.info(self._path)
        except FileNotFoundError as error:
            raise RefusedError(*GONE) from error
        if info.get("type") == "directory" or not isinstance(info.get("size"), int):
            raise RefusedError("this is no file of a known size", "Mend the URL")
        told = (info.get(key) for key in _TAGS)
        now = Status(info["size"], str(next((value for value in told if value), "")))
        self._known = self._known or now
        if now != self._known:
            raise RefusedError(*CHANGED)
        return now

    def fetch(self, start: int, into: memoryview) -> tuple[int, Exception | None]:
        """One try at filling `into` with the bytes from `start` on."""
        try:
            data = self._system.cat_file(self._path, start=start, end=start + len(into))
            if len(data) < len(into):
                self.status()
        except RefusedError:
            raise
        except FileNotFoundError as error:
            raise RefusedError(*GONE) from error
        except Exception as error:  # every file system has errors of its own
            return 0, error
        if len(data) > len(into):
            raise RefusedError(*NO_RANGES)
        into[: len(data)] = data
        return len(data), None


def said(error: Exception) -> str:
    """What an error of a stranger's library says, in one short line.

    Args:
        error: The error.

    Returns:
        Its kind and its text.
    """
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= 200 else text[:197] + "..."
