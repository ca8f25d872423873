"""The broken images of an archive as one run knows them: from the list first, then its own finds.

Known-broken images are never read. What a run finds broken is decoded once more and, if that
fails again, added to the list, so that no later run stumbles over it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bagreid.catalog import Catalog
from bagreid.catalog.quarantine import add, chosen_path, load
from bagreid.contracts import BagreidError, QuarantineChoice
from bagreid.data.decode import BrokenImage, decode_jpeg

MOST_BROKEN = 0.01
"""Share of broken images beyond which an archive is taken for rotten rather than scratched."""

FEW = 10
"""So many broken images say nothing of an archive, however small it is."""


class BrokenImages:
    """Rows not to be read, and where the list of them is kept.

    Args:
        catalog: The archive.
        path: The list; None keeps what is found to this run.
        found_by: The verb that runs.
        known: Rows that the list names.
        stale: Entries of the list whose images are not there any more, or are others by now.
    """

    def __init__(
        self,
        catalog: Catalog,
        path: Path | None,
        found_by: str,
        known: frozenset[int] = frozenset(),
        stale: int = 0,
    ) -> None:
        self.catalog, self.path, self.found_by, self.stale = catalog, path, found_by, stale
        self.listed = known
        self.found: dict[int, str] = {}
        self._unwritten: dict[int, str] = {}
        self._trouble: BagreidError | None = None

    @classmethod
    def open(cls, catalog: Catalog, choice: QuarantineChoice, found_by: str) -> BrokenImages:
        """Reads the list.

        Args:
            catalog: The archive.
            choice: ``auto`` for the archive's own list, ``off`` for none, or a file.
            found_by: The verb that runs.

        Returns:
            What it names.

        Raises:
            BagreidError: If the list is damaged.
        """
        path = chosen_path(catalog, choice)
        if path is None:
            return cls(catalog, None, found_by)
        quarantine = load(path)
        rows = quarantine.rows(catalog).tolist()
        stale = len(quarantine) - len(rows)
        return cls(catalog, quarantine.path, found_by, frozenset(rows), stale)

    @property
    def known(self) -> frozenset[int]:
        """All rows known to be broken by now; they need not be read."""
        return self.listed | self.found.keys()

    def add(self, rows: Iterable[int]) -> dict[int, str]:
        """Takes in images that did not decode.

        Each is decoded once more, for its reason, and to keep a passing fault of memory or disk
        out of the list. A list that cannot be written does not stop the run: see `closing`.

        Args:
            rows: Their rows; those that are known already are passed over.

        Returns:
            Row → reason of those that are new and broken indeed.
        """
        new = {row: why for row in sorted(set(rows) - self.known) if (why := self._fault(row))}
        self.found |= new
        self._unwritten |= new
        if self._unwritten and self.path is not None:
            try:
                add(self.catalog, self._unwritten, found_by=self.found_by, path=self.path)
            except BagreidError as error:
                self._trouble = error
            else:
                self._unwritten.clear()
        return new

    def _fault(self, row: int) -> str | None:
        try:
            decode_jpeg(self.catalog.read(row))
        except BrokenImage as error:
            return error.message
        return None

    def opening(self) -> str | None:
        """What to tell people before the run; None where there is nothing to tell."""
        told = []
        if self.listed:
            are = "is" if len(self.listed) == 1 else "are"
            told = [f"{_images(len(self.listed))} known to be broken {are} not read"]
        if self.stale:
            of = "1 entry is" if self.stale == 1 else f"{self.stale:,} entries are"
            told.append(f"{of} passed over, for the image changed or is gone")
        return f"{'; '.join(told)} (list: {self.path})." if told else None

    def closing(self) -> str | None:
        """What to tell people after the run; None where nothing was found."""
        if not self.found or self.path is None:
            return None
        lost = len(self._unwritten)
        if lost:
            return f"{_images(lost)} found broken could not be added to the list: {self._trouble}"
        return f"{_images(len(self.found))} found broken: added to {self.path}."


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def too_many(broken: int, images: int, most: float) -> bool:
    """Whether an archive is rotten, rather than scratched.

    Args:
        broken: Images that are broken, known before or found by now.
        images: Images there are.
        most: The share of them that may be broken; `FEW` may be in any case.

    Returns:
        Whether there are more.
    """
    return broken > max(most * images, FEW)
