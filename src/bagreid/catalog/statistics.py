"""An archive in numbers: how many images lie in a folder, in a bag, in how many bags, how large.

All is counted from the memory-mapped catalog, a million rows at a time, so that 29 million images
take seconds and a few megabytes.

Shape letters: F train folders, B bags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bagreid.catalog.catalog import Catalog
from bagreid.catalog.columns import Column
from bagreid.catalog.layouts.labelled import SetKey
from bagreid.catalog.protocol import TestProtocol
from bagreid.catalog.published import Count, count_all, is_full_set
from bagreid.catalog.tally import Tally
from bagreid.contracts import IntArray, Split

_PIECE = 1 << 20
"""Rows looked at in one go."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """What an archive holds.

    `counts` and `protocol` tell of every image that is there; the rest leaves out those in
    quarantine, as a run does.

    Attributes:
        labelled: Which strongly labelled set the archive is; None for SYSU-30k and its like.
        counts: The published numbers of the set with this archive's beside them.
        full_set: Whether the archive is meant to be the whole of its set.
        protocol: What the test set asks for.
        test_identities: People in the test set, whether asked for or not.
        has_bags: Whether there is any bag.
        quarantined: Images known to be broken.
        folder_images: `(F,)` int64, images of each train folder.
        bag_images: `(B,)` int64, images of each bag.
        bag_folders: `(B,)` int64, folders of each bag.
        image_bags: Train images by the number of bags they lie in.
        image_bytes: Images by the bytes of their file.
        cameras: Test images by camera, for query and gallery.
    """

    labelled: SetKey | None
    counts: tuple[Count, ...]
    full_set: bool
    protocol: TestProtocol
    test_identities: int
    has_bags: bool
    quarantined: int
    folder_images: IntArray
    bag_images: IntArray
    bag_folders: IntArray
    image_bags: Tally
    image_bytes: Tally
    cameras: dict[Split, Tally]

    def here(self, name: str) -> int:
        """One of `counts`.

        Args:
            name: A key of `bagreid.catalog.published.PUBLISHED`.

        Returns:
            This archive's number.
        """
        return next(count.here for count in self.counts if count.name == name)

    @property
    def test_images(self) -> int:
        """Query and gallery images together."""
        return self.here("query images") + self.here("gallery images")

    @property
    def camera_numbers(self) -> list[int]:
        """The cameras of the test set, ascending."""
        return sorted({int(c) for tally in self.cameras.values() for c in tally.value})

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain dictionaries, every distribution summed up."""
        return {
            "full_set": self.full_set,
            "counts": {c.name: {"here": c.here, "published": c.published} for c in self.counts},
            "test": {
                name: getattr(self.protocol, name) for name in self.protocol.__dataclass_fields__
            }
            | {"identities": self.test_identities},
            "quarantined": self.quarantined,
            "images_per_folder": Tally.of([self.folder_images]).summary(),
            "images_per_bag": Tally.of([self.bag_images]).summary(),
            "folders_per_bag": Tally.of([self.bag_folders]).summary(),
            "bags_per_image": self.image_bags.summary(),
            "bytes_per_image": self.image_bytes.summary(),
            "images_per_camera": {
                split: {str(c): int(n) for c, n in zip(tally.value, tally.count, strict=True)}
                for split, tally in self.cameras.items()
            },
        }


def count_archive(catalog: Catalog, skipped: IntArray) -> Statistics:
    """Counts an archive.

    Args:
        catalog: Any catalog: with or without bags, with or without a test set.
        skipped: Rows of images in quarantine, ascending.

    Returns:
        The numbers.
    """
    folder_images = catalog.folder_stop - catalog.folder_start
    folder_images -= np.searchsorted(skipped, catalog.folder_stop)
    folder_images += np.searchsorted(skipped, catalog.folder_start)
    bags = catalog.bags
    upto = np.concatenate([np.zeros(1, np.int64), np.cumsum(folder_images[bags.folder])])
    test = range(catalog.split("query").start, len(catalog))
    test_pids = {int(p) for piece in _pieces(catalog.group, test) for p in np.unique(piece)}
    splits: tuple[Split, ...] = ("query", "gallery")
    return Statistics(
        labelled=catalog.labelled,
        counts=tuple(count_all(catalog)),
        full_set=is_full_set(catalog),
        protocol=catalog.test_protocol(),
        test_identities=sum(pid >= 0 for pid in test_pids),
        has_bags=len(bags) > 0,
        quarantined=len(skipped),
        folder_images=folder_images,
        bag_images=np.diff(upto[bags.folder_offset]),
        bag_folders=np.diff(bags.folder_offset),
        image_bags=_weighted(np.bincount(bags.folder, minlength=len(folder_images)), folder_images),
        image_bytes=Tally.of(_pieces(catalog.size, range(len(catalog)), skipped)),
        cameras={
            split: Tally.of(_pieces(catalog.camera, catalog.split(split), skipped))
            for split in splits
        },
    )


def _weighted(value: IntArray, weight: IntArray) -> Tally:
    """The tally of values that each stand for `weight` things."""
    distinct, place = np.unique(value[weight > 0], return_inverse=True)
    count = np.zeros(len(distinct), np.int64)
    np.add.at(count, place, weight[weight > 0])
    return Tally(distinct.astype(np.int64), count)


def _pieces(
    column: npt.NDArray[Any] | Column, rows: range, skipped: IntArray | None = None
) -> Iterator[npt.NDArray[Any]]:
    """A column in pieces, without the rows to be skipped."""
    for start in range(rows.start, rows.stop, _PIECE):
        stop = min(start + _PIECE, rows.stop)
        piece = column[start:stop]
        if skipped is not None:
            first, last = np.searchsorted(skipped, [start, stop])
            if last > first:
                piece = np.delete(piece, skipped[first:last] - start)
        yield piece
