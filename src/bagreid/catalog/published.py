"""SYSU-30k's counts as published (arXiv 1904.03845 and the release's README), beside an archive's.

The published bags are three a train folder, the identities one a train folder and 2,198 in the
test set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bagreid.catalog.catalog import Catalog

PUBLISHED: dict[str, int] = {
    "images": 29_606_918,
    "train images": 29_126_188,
    "query images": 1_000,
    "gallery images": 479_730,
    "identities": 30_508,
    "train folders": 28_310,
    "bag identities": 28_310,
    "bags": 84_930,
    "train tars": 10,
    "test tars": 1,
    "query identities": 1_000,
    "matches": 1_000,
}
"""The published number of each thing counted."""

_FULL = 0.5
"""An archive with at least this share of the train folders or test images is meant to be whole."""


@dataclass(frozen=True, slots=True)
class Count:
    """One thing counted.

    Attributes:
        name: What.
        here: How many in this archive.
        published: How many there should be in SYSU-30k; None where nothing is published.
    """

    name: str
    here: int
    published: int | None


def is_full_set(catalog: Catalog) -> bool:
    """Whether an archive is meant to be the whole of SYSU-30k, so that differences mean something.

    Args:
        catalog: Any catalog.

    Returns:
        True from half of the published train folders or gallery images on.
    """
    folders = len(catalog.folder_names) / PUBLISHED["train folders"]
    gallery = len(catalog.split("gallery")) / PUBLISHED["gallery images"]
    return max(folders, gallery) >= _FULL


def count_all(catalog: Catalog) -> list[Count]:
    """Counts an archive.

    Args:
        catalog: Any catalog.

    Returns:
        One entry for each published number, in the order of `PUBLISHED`.
    """
    protocol = catalog.test_protocol()
    sides = catalog.sides
    tested = catalog.group[len(catalog.split("train")) :]
    people = np.union1d(catalog.identities, tested[tested >= 0])
    here = {
        "images": len(catalog),
        "train images": len(catalog.split("train")),
        "query images": protocol.queries,
        "gallery images": protocol.gallery,
        "identities": len(people),
        "train folders": len(catalog.folder_names),
        "bag identities": len(catalog.identities),
        "bags": len(catalog.bags),
        "train tars": sides.count("train"),
        "test tars": sides.count("test"),
        "query identities": protocol.query_identities,
        "matches": protocol.matches,
    }
    tars = bool(sides)
    return [
        Count(name, here[name], number if tars or not name.endswith("tars") else None)
        for name, number in PUBLISHED.items()
    ]
