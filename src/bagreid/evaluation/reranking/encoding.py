"""Sets with weights: an image as a sparse vector over all images, and its mean over neighbours.

Source: Zhong et al., CVPR 2017 (arXiv 1701.08398), equations 7 and 11. As in the authors' code the
weights are those of distances divided by the image's farthest one, and they sum to one.

Shape letters: N images, n images of a chunk, K listed neighbours, P pairs, E entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.reranking.decide import Floats, Lists
from bagreid.evaluation.reranking.images import ImageSet
from bagreid.evaluation.reranking.reciprocal import Sets

_CHUNK = 4096
"""Images at a time."""


def distances(product: Floats, farthest: Floats) -> Floats:
    """Squared Euclidean distances of normalised features, as shares of the farthest one.

    That is (2 − 2⟨x, y⟩) / (2 − 2·min⟨x, ·⟩); all are 0 where no image is farther than the image
    itself.

    Args:
        product: ``(…)`` inner products.
        farthest: ``(…)`` the lowest inner product of the image that each is a distance from.

    Returns:
        ``(…)`` float64.
    """
    most = 1.0 - farthest
    return np.where(most > 0, (1.0 - product) / np.where(most > 0, most, 1.0), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One sparse vector an image, in compressed rows.

    Attributes:
        start: ``(n + 1,)`` int64, where each image's entries begin.
        column: ``(E,)`` int32, ascending within an image.
        value: ``(E,)`` float64, those of an image sum to one.
    """

    start: IntArray
    column: npt.NDArray[np.int32]
    value: Floats


def encode(
    sets: Sets, lists: Lists, images: ImageSet, progress: Progress | None = None
) -> Encoding:
    """Weighs the members of every set by exp(−distance).

    Args:
        sets: The sets of all images.
        lists: Their neighbourhoods; most members' products stand there already.
        images: All images, for the other products.
        progress: Told the images done and their number.

    Returns:
        The vectors of all images.
    """
    value_E = np.empty(len(sets.member))
    for first in range(0, images.count, _CHUNK):
        stop = min(first + _CHUNK, images.count)
        part = slice(sets.start[first], sets.start[stop])
        line = np.repeat(np.arange(stop - first), np.diff(sets.start[first : stop + 1]))
        product = _products(sets.member[part], line, first, stop, lists, images)
        weight = np.exp(-distances(product, lists.farthest[first + line]))
        value_E[part] = weight / np.bincount(line, weight)[line]
        if progress is not None:
            progress(stop, images.count)
    return Encoding(sets.start, sets.member, value_E)


def _products(
    member: npt.NDArray[np.int32],
    line: IntArray,
    first: int,
    stop: int,
    lists: Lists,
    images: ImageSet,
) -> Floats:
    """Products of images ``first`` … with the members of their sets, looked up or computed."""
    key = line * images.count + member
    listed = np.arange(stop - first)[:, None] * images.count + lists.index[first:stop]
    order = np.argsort(listed, axis=None, kind="stable")
    listed = listed.ravel()[order]
    place = np.minimum(np.searchsorted(listed, key), len(listed) - 1)
    known = listed[place] == key
    product = lists.product[first:stop].ravel()[order[place]]
    product[~known] = images.products(line[~known] + first, member[~known])
    return product


def expand(
    encoding: Encoding, index_nK: npt.NDArray[np.int32], wanted: npt.NDArray[np.bool_] | None = None
) -> Encoding:
    """The mean of the vectors of each image's nearest neighbours (local query expansion).

    The terms are summed in the order of the neighbours, so that the last bit is defined.

    Args:
        encoding: The vectors of all images.
        index_nK: ``(n, k2)`` int32, neighbours of the images in question.
        wanted: ``(N,)`` columns to compute; all where None.

    Returns:
        The vectors of the n images.
    """
    number, total = len(index_nK), len(encoding.start) - 1
    first = encoding.start[index_nK].ravel()
    count = encoding.start[index_nK.ravel() + 1] - first
    entry = runs(first, count)
    line = np.repeat(np.repeat(np.arange(number), index_nK.shape[1]), count)
    column = encoding.column[entry]
    if wanted is not None:
        keep = wanted[column]
        entry, line, column = entry[keep], line[keep], column[keep]
    key = line * total + column
    order = np.argsort(key, kind="stable")
    key = key[order]
    is_first = np.diff(key, prepend=-1) != 0
    value = np.bincount(np.cumsum(is_first) - 1, encoding.value[entry[order]])
    line_E, column_E = np.divmod(key[is_first], total)
    start = np.searchsorted(line_E, np.arange(number + 1))
    return Encoding(start, column_E.astype(np.int32), value / index_nK.shape[1])


def runs(first: IntArray, count: IntArray) -> IntArray:
    """The numbers first … first + count − 1 of every run, one run after another.

    Args:
        first: ``(P,)`` int64.
        count: ``(P,)`` int64.

    Returns:
        ``(sum of count,)`` int64.
    """
    offset = np.cumsum(count) - count
    return np.repeat(first - offset, count) + np.arange(int(count.sum()))
