"""The part of a remote archive that lies in the cache: lists and bag file, and pointers to tars."""

from __future__ import annotations

import filecmp
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from bagreid.catalog.hold import PARTIAL, hold_archive, remove
from bagreid.catalog.layouts import newer, older
from bagreid.catalog.layouts.downloaded import PACKED
from bagreid.catalog.members import BuildProgress
from bagreid.catalog.remote.listing import RemoteFile, RemoteFolder
from bagreid.catalog.remote.urls import url_of
from bagreid.catalog.store import MIRROR, MIRROR_FACTS, url_directory
from bagreid.contracts import BagreidError
from bagreid.shards.pointer import is_pointer, without_secrets

_COMPANIONS = {*newer.NAMES.values(), *older.NAMES.values()}
"""Names of the files that are copied."""

_TARS = (".tar", *PACKED)


def local_root(
    root: Path | str, *, cache: Path | None = None, progress: BuildProgress | None = None
) -> Path:
    """The folder in which an archive can be looked at.

    Args:
        root: The archive: a folder, or the URL of one.
        cache: Folder for catalogs; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.
        progress: Told how far the copying of lists is.

    Returns:
        The folder itself; for a URL its mirror in the cache, brought up to date.

    Raises:
        BagreidError: If the server cannot be reached or does not list what lies there, or the
            cache cannot be written.
    """
    url = url_of(root)
    if url is None:
        return Path(root)
    directory = url_directory(url, cache)
    folder = RemoteFolder(url)
    files = folder.files()
    with hold_archive(directory), _writable(directory):
        _Mirror(directory, folder, progress).refresh(files)
    return directory / MIRROR


def source_of(root: Path) -> str:
    """The archive as its user named it.

    Args:
        root: A folder that `local_root` gave.

    Returns:
        The URL without passwords, or the folder.
    """
    facts = root.parent / MIRROR_FACTS
    if root.name == MIRROR and facts.is_file():
        return without_secrets(str(_read_facts(facts)["url"]))
    return str(root)


class _Mirror:
    """A folder in the cache that looks like the archive, with pointers in place of tars."""

    def __init__(
        self, directory: Path, folder: RemoteFolder, progress: BuildProgress | None
    ) -> None:
        self.root = directory / MIRROR
        self.facts = directory / MIRROR_FACTS
        self.folder = folder
        self.progress = progress
        # A URL may hold a password; else a cache may be shared.
        self.mode = 0o644 if folder.name == folder.url else 0o600

    def refresh(self, files: list[RemoteFile]) -> None:
        """Makes the mirror hold what the server lists, and no more."""
        known = _read_facts(self.facts)["files"] if self.facts.is_file() else {}
        states: dict[str, Any] = {}
        wanted: set[Path] = set()
        self.root.mkdir(parents=True, exist_ok=True)
        for file in files:
            name = file.name.lower()
            path = self.root / file.name
            if name.endswith(_TARS):
                path = path.with_name(f"{path.name}.url")
                self._write(path, f"{file.url}\n".encode())
            elif is_pointer(path):
                self._copy(file, path)
            elif path.name in _COMPANIONS:
                states[file.name] = list(self.folder.state(file))
                unsure = not states[file.name][1]
                if unsure or states[file.name] != known.get(file.name) or not path.is_file():
                    self._copy(file, path, states[file.name][0])
            else:
                continue
            wanted.add(path)
        self._write(self.facts, orjson.dumps({"url": self.folder.url, "files": states}))
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_dir():
                with suppress(OSError):  # it holds something
                    path.rmdir()
            elif path not in wanted:
                remove(path)

    def _copy(self, file: RemoteFile, path: Path, size: int | None = None) -> None:
        with _beside(path, self.mode) as partial:
            self.folder.ask(file.name, lambda: self._fetch(file, partial, size))
            if path.is_file() and filecmp.cmp(partial, path, shallow=False):
                return  # its time of change stays, and the catalog with it
            partial.replace(path)

    def _fetch(self, file: RemoteFile, partial: Path, size: int | None) -> None:
        if self.progress is not None:
            self.progress(Path(file.name), 0, 0, size or 0)
        self.folder.system.get_file(file.path, str(partial))
        got = partial.stat().st_size
        if size is not None and got != size:
            raise OSError(f"{got:,} of {size:,} bytes came")
        if self.progress is not None:
            self.progress(Path(file.name), 0, got, got)

    def _write(self, path: Path, data: bytes) -> None:
        if not path.is_file() or path.read_bytes() != data:
            with _beside(path, self.mode) as partial:
                partial.write_bytes(data)
                partial.replace(path)


@contextmanager
def _beside(path: Path, mode: int) -> Iterator[Path]:
    """An unfinished file, removed at the end if it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(PARTIAL, dir=path.parent)
    os.fchmod(handle, mode)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _writable(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BagreidError(
            f"lists and pointers of a remote archive cannot be written here ({error.strerror})",
            path=directory,
            remedy="Name another place with --cache or the environment variable BAGREID_CACHE",
        ) from error


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = orjson.loads(path.read_bytes())
        facts["url"], facts["files"] = str(facts["url"]), dict(facts["files"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BagreidError(
            "the copy of a remote archive's lists is damaged",
            path=path,
            remedy="Delete this folder; it is made anew",
        ) from error
    return facts
