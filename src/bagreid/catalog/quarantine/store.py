"""The quarantine's file: read as it is, merged under a lock, written beside and renamed."""

from __future__ import annotations

import fcntl
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bagreid.catalog.quarantine.entries import (
    FINDERS,
    QuarantineEntry,
    format_lines,
    parse_lines,
)
from bagreid.catalog.quarantine.matching import match_rows
from bagreid.contracts import BagreidError, IntArray, QuarantineChoice
from bagreid.files import write_beside

if TYPE_CHECKING:
    from bagreid.catalog.catalog import Catalog

FILE = "quarantine.jsonl"
"""Its name in the archive's cache folder."""

LOCK_SECONDS = 60.0
"""How long a writer waits for another one; to merge and write takes milliseconds."""

_REMEDY = "Name a file elsewhere as the quarantine, or 'off'"


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The images of one archive known to be broken.

    Attributes:
        path: The file they stand in, which need not exist.
        entries: They themselves, by name.
    """

    path: Path
    entries: tuple[QuarantineEntry, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def matches(self, catalog: Catalog) -> dict[int, QuarantineEntry]:
        """The images that are still there with the bytes that were judged.

        Args:
            catalog: The archive.

        Returns:
            Row → entry, rows ascending; the entries that are left out are stale.

        Raises:
            BagreidError: If the archive changed since it was indexed.
        """
        return match_rows(catalog, self.entries) if self.entries else {}

    def rows(self, catalog: Catalog) -> IntArray:
        """`(n,)` int64, the rows of `matches`, ascending; `len(self) - n` entries are stale.

        Args:
            catalog: The archive.

        Raises:
            BagreidError: If the archive changed since it was indexed.
        """
        return np.fromiter(self.matches(catalog), np.int64)


def quarantine_path(catalog: Catalog) -> Path:
    """Where an archive's list is kept unless a user names another place."""
    return catalog.directory.parent / FILE


def chosen_path(catalog: Catalog, choice: QuarantineChoice) -> Path | None:
    """The list that a user chose: the archive's own for ``auto``, None for ``off``."""
    if choice == "off":
        return None
    return quarantine_path(catalog) if choice == "auto" else Path(choice)


def load(where: Catalog | Path) -> Quarantine:
    """Reads a list.

    Args:
        where: An archive, whose own list is meant; or a list; or the folder of one.

    Returns:
        The list; an empty one where there is no file.

    Raises:
        BagreidError: If the file cannot be read, or a line of it is no entry.
    """
    path = where if isinstance(where, Path) else quarantine_path(where)
    path = path / FILE if path.is_dir() else path
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Quarantine(path)
    except OSError as error:
        raise BagreidError(
            f"the list of broken images cannot be read ({error.strerror})",
            path=path,
            remedy=_REMEDY,
        ) from error
    return Quarantine(path, parse_lines(raw, path))


def add(
    catalog: Catalog, found: Mapping[int, str], *, found_by: str, path: Path | None = None
) -> Quarantine:
    """Adds images to the list; what others write meanwhile is kept.

    An image that is on the list with these very bytes keeps the entry it has.

    Args:
        catalog: The archive.
        found: Row → what is wrong with the image, in one line.
        found_by: The verb that found them.
        path: The list; None takes the archive's own.

    Returns:
        The list as it is now.

    Raises:
        BagreidError: If the list is damaged or cannot be written.
    """
    path = path or quarantine_path(catalog)
    if not found:
        return load(path)
    new = _entries(catalog, found, found_by)
    with _locked(path):
        listed = load(path)
        return _write(listed, {entry.image: entry for entry in listed.entries}, new)


def replace(
    catalog: Catalog, found: Mapping[int, str], *, found_by: str, path: Path | None = None
) -> Quarantine:
    """Makes the list what a look at every single image of the archive found.

    Images that bagreid quarantined and that were found whole now are used again, and stale
    entries go. Entries found by someone else (see `FINDERS`) stay.

    Args:
        catalog: The archive.
        found: Row → what is wrong with the image, of all broken ones.
        found_by: The verb that found them.
        path: The list; None takes the archive's own.

    Returns:
        The list as it is now.

    Raises:
        BagreidError: If the list is damaged or cannot be written.
    """
    path = path or quarantine_path(catalog)
    if not found and not path.exists():
        return Quarantine(path)
    new = _entries(catalog, found, found_by)
    judged = {entry.image for entry in new}
    with _locked(path):
        listed = load(path)
        kept = [e for e in listed.entries if e.image in judged or e.found_by not in FINDERS]
        return _write(listed, {entry.image: entry for entry in kept}, new)


def _entries(catalog: Catalog, found: Mapping[int, str], found_by: str) -> list[QuarantineEntry]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entries = []
    for row, reason in found.items():
        ref, data = catalog.ref(row), catalog.read(row)
        crc32 = zlib.crc32(data)
        offset = ref.offset or None  # a file of its own has none
        entries.append(QuarantineEntry(ref.name, len(data), crc32, reason, found_by, now, offset))
    return entries


def _write(
    listed: Quarantine, entries: dict[str, QuarantineEntry], new: list[QuarantineEntry]
) -> Quarantine:
    """Merges what is new into what stays, and writes if that changes anything."""
    for entry in new:
        known = entries.get(entry.image)
        if known is None or not known.same_bytes(entry):
            entries[entry.image] = entry
    merged = Quarantine(listed.path, tuple(entries[image] for image in sorted(entries)))
    if merged != listed:
        # a link to a list that is shared stays a link
        with write_beside(listed.path.resolve(), flush=True, remedy=_REMEDY) as file:
            file.write(format_lines(merged.entries))
    return merged


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets one writer in at a time; the lock of a process that dies is free again."""
    path = path.resolve()
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("ab") as file:
            _wait_for(file.fileno(), lock)
            yield
    except OSError as error:
        raise BagreidError(
            f"the list of broken images cannot be locked ({error.strerror})",
            path=lock,
            remedy=_REMEDY,
        ) from error


def _wait_for(file: int, lock: Path) -> None:
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise BagreidError(
                    f"another process has held the list of broken images for {LOCK_SECONDS:.0f} s",
                    path=lock,
                    remedy="Look for a bagreid that hangs (fuser names it), and end it",
                ) from error
            time.sleep(0.01)
        else:
            return
