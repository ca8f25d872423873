from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.plan.randomness import Purpose, generator
from bagreid.plan.tiling import count_windows, tile, window_images

sizes_of_folders = st.lists(st.integers(0, 60), min_size=1, max_size=30)


@given(sizes_of_folders, st.integers(1, 6))
def test_images_of_every_window_are_counted(sizes: list[int], width: int) -> None:
    slow = [sum(sizes[i : i + width]) for i in range(len(sizes) - width + 1)]
    assert window_images(np.array(sizes), width).tolist() == slow


@given(st.integers(1, 26), st.integers(1, 40), st.integers(1, 20))
def test_the_counts_are_the_best_of_all_that_cover_the_line(
    folders: int, size: int, images_per_group: int
) -> None:
    widths = (1, 3, 5)
    groups = [-(-size * width // images_per_group) for width in widths]
    each = folders / sum(width / g for width, g in zip(widths, groups, strict=True))

    def miss(counts: tuple[int, ...]) -> float:
        return sum(abs(n * g - each) for n, g in zip(counts, groups, strict=True))

    covers = [
        counts
        for counts in product(*(range(folders // width + 1) for width in widths))
        if sum(n * width for n, width in zip(counts, widths, strict=True)) == folders
    ]
    chosen = count_windows(np.full(folders, size), widths, images_per_group)
    assert tuple(chosen.tolist()) in covers
    assert miss(tuple(chosen.tolist())) == pytest.approx(min(map(miss, covers)))


@given(sizes_of_folders, st.integers(0, 5))
def test_windows_follow_one_another_along_the_whole_line(sizes: list[int], epoch: int) -> None:
    widths = (1, 3, 5)
    counts = count_windows(np.array(sizes), widths, 15)
    first, kind = tile(widths, counts, generator(Purpose.TILING, 0, epoch))
    at = 0
    for start, which in zip(first.tolist(), kind.tolist(), strict=True):
        assert start == at
        at += widths[which]
    assert at == len(sizes)
    assert np.bincount(kind, minlength=3).tolist() == counts.tolist()


def test_every_place_of_the_line_can_begin_a_window_of_every_width() -> None:
    widths, counts = (1, 3, 5), np.array([6, 2, 2])
    seen = set()
    for epoch in range(600):
        first, kind = tile(widths, counts, generator(Purpose.TILING, 0, epoch))
        seen |= set(zip(first.tolist(), kind.tolist(), strict=True))
    possible = {(start, which) for which in range(3) for start in range(22 - widths[which] + 1)}
    # A window of 5 can begin at any place that windows of 1, 3 and 5 can fill before and behind.
    assert seen == possible


def test_a_line_that_cannot_be_covered_is_refused() -> None:
    with pytest.raises(BagreidError, match="7 folders cannot be covered by windows"):
        count_windows(np.full(7, 10), (3, 5), 15)
    assert count_windows(np.full(8, 10), (3, 5), 15).tolist() == [1, 1]
