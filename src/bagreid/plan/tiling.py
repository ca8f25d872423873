"""Covering the line of folders by windows of several widths.

Shape letters: F folders, V window widths, W windows of an epoch.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from bagreid.contracts import BagreidError, IntArray


def window_images(sizes: IntArray, width: int) -> IntArray:
    """Counts the images of every window of ``width`` neighbouring folders.

    Args:
        sizes: ``(F,)`` images of each folder.
        width: Folders in a window.

    Returns:
        ``(F - width + 1,)`` images of the window that begins at each folder; empty where the line
        is shorter than a window.
    """
    line = np.concatenate(([0], np.cumsum(sizes)))
    return line[width:] - line[:-width] if width < len(line) else line[:0]


def count_windows(sizes: IntArray, widths: tuple[int, ...], images_per_group: int) -> IntArray:
    """Chooses how many windows of each width an epoch has, so that each width fills equal groups.

    With g_w groups in a mean window of width w, equal shares ask for n_w ∝ 1/g_w windows that
    together cover the F folders: Σ w·n_w = F. The whole numbers nearest to that, counted in groups,
    that cover the line exactly are taken.

    Args:
        sizes: ``(F,)`` images of each folder.
        widths: ``(V,)`` the widths, ascending.
        images_per_group: Images of one group.

    Returns:
        ``(V,)`` number of windows of each width.

    Raises:
        BagreidError: If windows of these widths cannot cover the line exactly.
    """
    folders, widths_V = len(sizes), np.asarray(widths)
    groups_V = np.array([_mean_groups(sizes, width, images_per_group) for width in widths])
    wanted_V = folders / (widths_V / groups_V).sum() / groups_V
    best: tuple[float, tuple[int, ...]] | None = None
    # The narrowest width takes up the rest of the line, so only the others are searched over.
    nearby = [
        range(max(0, int(wanted) - widths[-1]), int(wanted) + widths[-1] + 1)
        for wanted in wanted_V[1:]
    ]
    for wider in product(*nearby):
        rest = folders - int(np.dot(wider, widths_V[1:]))
        if rest < 0 or rest % widths[0]:
            continue
        counts = (rest // widths[0], *wider)
        miss = float(np.abs((np.array(counts) - wanted_V) * groups_V).sum())
        best = min(best, (miss, counts)) if best else (miss, counts)
    if best is None:
        raise BagreidError(
            f"{folders} folders cannot be covered by windows of {widths} folders",
            remedy="Let window_sizes include 1",
        )
    return np.array(best[1], dtype=np.int64)


def _mean_groups(sizes: IntArray, width: int, images_per_group: int) -> float:
    images = window_images(sizes, width)
    if not images.any():  # no such window, or nothing in any: fall back on the mean folder
        images = np.array([max(1, width * int(sizes.sum()) // max(1, len(sizes)))])
    return float(-(-images // images_per_group).mean())


def tile(
    widths: tuple[int, ...], counts: IntArray, random: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Lays the windows side by side in random order.

    Args:
        widths: ``(V,)`` the widths.
        counts: ``(V,)`` number of windows of each width.
        random: Where the order comes from.

    Returns:
        ``(W,)`` first folder of each window, ascending, and ``(W,)`` which width it has, as an
        index into ``widths``.
    """
    kind_W = random.permutation(np.repeat(np.arange(len(widths)), counts))
    stop_W = np.cumsum(np.asarray(widths, dtype=np.int64)[kind_W])
    return stop_W - np.asarray(widths, dtype=np.int64)[kind_W], kind_W
