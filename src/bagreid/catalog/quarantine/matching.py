"""From the images of the quarantine to rows of a catalog.

A catalog stores no names: the folder (or the split) in an image's name gives a range of rows, in
that range few images have its size, and of these the header in front of the data gives the name.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from bagreid.catalog.quarantine.entries import QuarantineEntry

if TYPE_CHECKING:
    from bagreid.catalog.catalog import Catalog


def match_rows(catalog: Catalog, entries: Iterable[QuarantineEntry]) -> dict[int, QuarantineEntry]:
    """Finds the images that are still there with the bytes that were judged.

    Args:
        catalog: The archive as it is now.
        entries: The images.

    Returns:
        Row → entry, rows ascending; an entry that is stale has none.
    """
    folders = {name: number for number, name in enumerate(catalog.folder_names)}
    found: dict[int, QuarantineEntry] = {}
    for entry in entries:
        row = next(_rows_of_name(catalog, entry, _range(catalog, folders, entry.image)), None)
        if row is not None and zlib.crc32(catalog.read(row)) == entry.crc32:
            found[row] = entry
    return dict(sorted(found.items()))


def _range(catalog: Catalog, folders: dict[str, int], image: str) -> range:
    """The rows among which an image must be; a labelled set is small enough to look at whole."""
    if catalog.labelled is not None:
        return range(len(catalog))
    parts = image.split("/")
    if parts[0] == "sysu_train_set_all" and len(parts) == 3 and parts[1] in folders:
        folder = folders[parts[1]]
        return range(int(catalog.folder_start[folder]), int(catalog.folder_stop[folder]))
    if parts[0] == "sysu_test_set_all" and len(parts) == 4:
        if parts[1] == "query":
            return catalog.split("query")
        if parts[1] == "gallery":
            return catalog.split("gallery")
    return range(0)


def _rows_of_name(catalog: Catalog, entry: QuarantineEntry, rows: range) -> Iterator[int]:
    """The rows of that name and size; where the image lay before is looked at first."""
    there = slice(rows.start, rows.stop)
    same_size = np.flatnonzero(catalog.size[there] == entry.size) + rows.start
    if entry.offset is not None:
        moved = catalog.offset[same_size] != entry.offset
        same_size = same_size[np.argsort(moved, kind="stable")]
    for row in same_size.tolist():
        if catalog.name(row) == entry.image:
            yield row
