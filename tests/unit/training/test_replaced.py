"""Counting broken train images over a run, its ranks and its restarts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bagreid.contracts import BagreidError
from bagreid.data.quarantine import BrokenImages
from bagreid.training.replaced import ReplacedImages, open_together
from bagreid.world import World


@dataclass
class Thousand:
    """An archive of a thousand train images, all of them broken, and some of a test set."""

    root: Path = Path("archive")
    rows: range = field(default_factory=lambda: range(1000))

    def split(self, name: str) -> range:
        assert name == "train"
        return self.rows

    def read(self, row: int) -> memoryview:
        return memoryview(b"no JPEG %d" % row)

    def name(self, row: int) -> str:
        return f"image {row}"


def images(known: set[int], most: float = 0.01) -> ReplacedImages:
    catalog: Any = Thousand()
    broken = BrokenImages(catalog, None, "train", frozenset(known))
    return ReplacedImages(open_together(broken, World()), World(), most)


def test_every_replacement_counts_and_every_image_is_news_once() -> None:
    replaced = images({4})
    replaced.note((4, 7))
    replaced.note((7,))
    replaced.look()
    assert replaced.counts == {4: 1, 7: 2}
    told = replaced.take_new()
    assert told == {
        "known_before": 1,
        "found": 1,
        "images": {"image 7": "the bytes are neither a JPEG nor a PNG"},
    }
    replaced.note((7,))
    replaced.look()
    assert replaced.counts == {4: 1, 7: 3}
    assert replaced.take_new() is None


def test_a_restart_goes_on_counting() -> None:
    replaced = images({1})
    replaced.restore({1: 5, 2: 3})
    replaced.note((2, 3))
    assert replaced.counts == {1: 5, 2: 4, 3: 1}


@pytest.mark.parametrize("known", [0, 4, 9])
def test_ten_may_be_broken_and_no_more(known: int) -> None:
    replaced = images({*range(known), 5000})
    replaced.note(range(10))
    replaced.check("It goes on")
    replaced.note((10,))
    with pytest.raises(BagreidError) as caught:
        replaced.check("It stops")
    assert caught.value.message == (
        "11 of 1,000 train images (1.1%) are broken, more than the 1.0% that data.most_broken "
        f"allows: {known} were known before, {11 - known} were found by this run. It stops"
    )


def test_the_share_may_be_raised() -> None:
    images(set(range(50)), most=0.05)
    with pytest.raises(BagreidError, match=r"Training has not begun\. bagreid verify"):
        images(set(range(51)), most=0.05)


def test_what_a_restart_brings_counts_as_found() -> None:
    replaced = images({1})
    replaced.restore(dict.fromkeys(range(11), 1))
    with pytest.raises(BagreidError, match="1 were known before, 10 were found"):
        replaced.check("It stops")
