"""Broken train images: which are replaced by others of their bags, how often, and how many may be.

The loader replaces a broken image by the next whole one of its bag, whether it was known to be
broken or turned out to be: so the images that a run sees, and its weights, do not depend on when
the damage was found.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bagreid.contracts import BagreidError
from bagreid.data.quarantine import BrokenImages, too_many
from bagreid.world import World, all_objects


class ReplacedImages:
    """The broken images of a run; every rank is told of all ranks' and counts alike.

    Args:
        known: Those known before; the same on every rank.
        world: Who computes with whom; the first rank keeps the list.
        most: Share of the train images that may be broken.

    Raises:
        BagreidError: Too many are known to be broken already.
    """

    def __init__(self, known: BrokenImages, world: World, most: float) -> None:
        self.known = known
        self.counts: dict[int, int] = {}
        self._is_main, self._most = world.is_main, most
        self._train = known.catalog.split("train")
        self._met = {row for row in known.listed if row in self._train}
        self._before = len(self._met)
        self._new: dict[int, str] = {}
        self.check("Training has not begun")

    def note(self, rows: Iterable[int]) -> None:
        """Counts the images replaced in one global batch."""
        for row in rows:
            self.counts[row] = self.counts.get(row, 0) + 1
            self._met.add(row)

    def restore(self, counts: dict[int, int]) -> None:
        """Takes up the counts of a checkpoint."""
        self._met |= counts.keys()
        self.counts = dict(counts)

    def look(self) -> None:
        """Lets the first rank look at what was found since the last look, and list it."""
        if self._is_main:
            self._new |= self.known.add(self.counts)

    def take_new(self) -> dict[str, Any] | None:
        """What the log shall say of images found broken since it was asked; None if none were."""
        if not self._new:
            return None
        images = {self.known.catalog.name(row): reason for row, reason in self._new.items()}
        self._new = {}
        return {"known_before": len(self.known.listed), "found": len(images), "images": images}

    def check(self, state: str) -> None:
        """Makes sure that few enough images are broken.

        Args:
            state: What became of the run, for the message.

        Raises:
            BagreidError: There are too many.
        """
        broken, images = len(self._met), len(self._train)
        if too_many(broken, images, self._most):
            raise BagreidError(
                f"{broken:,} of {images:,} train images ({broken / images:.1%}) are broken, more "
                f"than the {self._most:.1%} that data.most_broken allows: {self._before:,} were "
                f"known before, {broken - self._before:,} were found by this run. {state}",
                path=self.known.catalog.root,
                remedy="bagreid verify with --images all says which tars are rotten: fetch them "
                "again. To train on what is whole, raise --data.most-broken",
            )


def open_together(known: BrokenImages | None, world: World) -> BrokenImages:
    """Gives every rank what the first one read, so that all leave out the same images."""
    first: BrokenImages | None = all_objects(known, world)[0]
    assert first is not None, "the first rank reads the list"
    return first
