"""SYSU-30k's counts as published (arXiv 1904.03845 and the release's README), beside an archive's.

The published bags are three a train folder, the identities one a train folder and 2,198 in the
test set. Strongly labelled sets have published counts of their own, of those things that they
have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.catalog.catalog import Catalog
from bagreid.catalog.layouts.labelled import TITLES, SetKey
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

PUBLISHED_LABELLED: dict[SetKey, dict[str, int]] = {
    "market1501": {
        "images": 36_036,
        "train images": 12_936,
        "query images": 3_368,
        "gallery images": 19_732,
        "identities": 1_501,
        "bag identities": 751,
        "query identities": 750,
    },
    "dukemtmc": {
        "images": 36_411,
        "train images": 16_522,
        "query images": 2_228,
        "gallery images": 17_661,
        "identities": 1_812,
        "bag identities": 702,
        "query identities": 702,
    },
    "msmt17": {
        "images": 126_441,
        "train images": 32_621,
        "query images": 11_659,
        "gallery images": 82_161,
        "identities": 4_101,
        "bag identities": 1_041,
        "query identities": 3_060,
    },
    "cuhk03": {"identities": 1_467, "bag identities": 767, "query identities": 700},
    "other": {},
}
"""The published numbers of the labelled sets, junk included in the gallery.

Market-1501: its images without the queries are the 32,668 that are usually told; of its gallery
2,798 are background and 3,819 junk. Those of CUHK03 depend on the boxes (labeled 7,368 + 1,400 +
5,328, detected 7,365 + 1,400 + 5,332).
"""

_FULL = 0.5
"""An archive with at least this share of the train folders or test images is meant to be whole."""


@dataclass(frozen=True, slots=True)
class Count:
    """One thing counted.

    Attributes:
        name: What.
        here: How many in this archive.
        published: How many there should be in the set; None where nothing is published.
    """

    name: str
    here: int
    published: int | None


def is_full_set(catalog: Catalog) -> bool:
    """Whether an archive is meant to be the whole of its set, so that differences mean something.

    Args:
        catalog: Any catalog.

    Returns:
        True from half of the published train folders or gallery images on; of a labelled set from
        half of its published train images or identities on.
    """
    if catalog.labelled is not None:
        return is_full_labelled(catalog.labelled, len(catalog.identities))
    folders = len(catalog.folder_names) / PUBLISHED["train folders"]
    gallery = len(catalog.split("gallery")) / PUBLISHED["gallery images"]
    return max(folders, gallery) >= _FULL


def is_full_labelled(key: SetKey, people: int) -> bool:
    """Whether a labelled set is meant to be the whole of it.

    Args:
        key: Which set.
        people: Train identities here.

    Returns:
        True from half of the published train identities on.
    """
    return people >= _FULL * PUBLISHED_LABELLED[key].get("bag identities", np.inf)


def title_of(key: SetKey | None) -> str:
    """Whose published numbers stand beside an archive's.

    Args:
        key: Which labelled set the archive is; None for SYSU-30k and its like.

    Returns:
        The set's name.
    """
    return "SYSU-30k" if key is None else TITLES[key]


def count_all(catalog: Catalog) -> list[Count]:
    """Counts an archive.

    Args:
        catalog: Any catalog.

    Returns:
        One entry for each published number of SYSU-30k, in the order of `PUBLISHED`.
    """
    return count_parts(
        train=len(catalog.split("train")),
        protocol=catalog.test_protocol(),
        tested=catalog.group[len(catalog.split("train")) :],
        folders=len(catalog.folder_names),
        labels=catalog.identities,
        bags=len(catalog.bags),
        sides=catalog.sides,
        labelled=catalog.labelled,
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
    labelled: SetKey | None = None,
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
        labelled: Which labelled set it is; None for SYSU-30k and its like.

    Returns:
        One entry for each published number of SYSU-30k, in the order of `PUBLISHED`.
    """
    # In labelled sets nobody is in both parts, though MSMT17 counts each part from 0.
    tested = np.unique(tested[tested >= 0])
    people = np.union1d(labels, tested) if labelled is None else [*labels, *tested]
    here = {
        "images": train + protocol.queries + protocol.gallery,
        "train images": train,
        "query images": protocol.queries,
        "gallery images": protocol.gallery,
        "identities": len(people),
        "train folders": folders,
        "bag identities": len(labels),
        "bags": bags,
        "train tars": sides.count("train"),
        "test tars": sides.count("test"),
        "query identities": protocol.query_identities,
        "matches": protocol.matches,
    }
    published = PUBLISHED if labelled is None else PUBLISHED_LABELLED[labelled]
    tars = bool(sides)
    return [
        Count(name, here[name], published.get(name) if tars or not name.endswith("tars") else None)
        for name in PUBLISHED
    ]
