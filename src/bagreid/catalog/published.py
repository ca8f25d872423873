"""SYSU-30k's counts as published (arXiv 1904.03845 and the release's README), beside an archive's.

The published bags are three a train folder, the identities one a train folder and 2,198 in the
test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.catalog.catalog import Catalog
from bagreid.catalog.protocol import TestProtocol

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
    return count_parts(
        train=len(catalog.split("train")),
        protocol=catalog.test_protocol(),
        tested=catalog.group[len(catalog.split("train")) :],
        folders=len(catalog.folder_names),
        labels=catalog.identities,
        bags=len(catalog.bags),
        sides=catalog.sides,
    )


def count_parts(
    *,
    train: int,
    protocol: TestProtocol,
    tested: npt.NDArray[np.integer],
    folders: int,
    labels: npt.NDArray[np.integer],
    bags: int,
    sides: Sequence[str],
) -> list[Count]:
    """Puts an archive's numbers beside the published ones.

    Args:
        train: Train images.
        protocol: Counts of the test set.
        tested: Identities of the test images, repeated, negative for nobody.
        folders: Train folders.
        labels: Distinct identities of the bags.
        bags: Bags.
        sides: `train` or `test` for each tar.

    Returns:
        One entry for each published number, in the order of `PUBLISHED`.
    """
    here = {
        "images": train + protocol.queries + protocol.gallery,
        "train images": train,
        "query images": protocol.queries,
        "gallery images": protocol.gallery,
        "identities": len(np.union1d(labels, tested[tested >= 0])),
        "train folders": folders,
        "bag identities": len(labels),
        "bags": bags,
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
