"""From float32 candidates to exact lists: float64 products settle what the bound leaves open.

Shape letters: N images, n images of a slab, C kept candidates, K length of a list, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bagreid.contracts import FloatArray, IntArray
from bagreid.evaluation.relations import earlier
from bagreid.evaluation.reranking.images import ImageSet

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """The neighbourhoods of some images, exact.

    Attributes:
        index: ``(n, K)`` int32, the K nearest images, itself among them: highest product first,
            equal ones by number.
        product: ``(n, K)`` float64, their inner products with the image.
        farthest: ``(n,)`` float64, the lowest inner product of the image with any.
    """

    index: Indices
    product: Floats
    farthest: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The candidates of a slab, on the host.

    Attributes:
        near_score: ``(n, C)`` float32, highest first.
        near_index: ``(n, C)`` int32, −1 for none.
        far_score: ``(n, F)`` float32, lowest first.
        far_index: ``(n, F)`` int32, −1 for none.
    """

    near_score: FloatArray
    near_index: Indices
    far_score: FloatArray
    far_index: Indices


def decide(images: ImageSet, start: int, kept: Kept, length: int, block: int) -> Lists:
    """The exact lists of images ``start`` … from their candidates.

    Where the candidates cannot prove that no other image belongs in a list (many near duplicates),
    that image's products with all others are gone through once more.

    Args:
        images: All images.
        start: The first image of the slab.
        kept: Its candidates.
        length: K.
        block: Images at a time, where all are gone through again.

    Returns:
        The lists.
    """
    error = images.product_error()
    near, sure = _nearest(images, start, kept, length, error)
    farthest, far_sure = _farthest(images, start, kept, error)
    result = Lists(near.index, near.product, farthest)
    doubtful = np.flatnonzero(~(sure & far_sure))
    for first in range(0, len(doubtful), _AGAIN):
        _go_through_again(images, start, doubtful[first : first + _AGAIN], result, block, error)
    return result


_AGAIN = 512
"""Images gone through again at a time: even if all pairs are in doubt they fit in memory."""


def _nearest(
    images: ImageSet, start: int, kept: Kept, length: int, error: float
) -> tuple[Lists, npt.NDArray[np.bool_]]:
    score, index = kept.near_score.astype(np.float64), kept.near_index
    least = score[:, length - 1] - 2 * error
    hopeful = (index >= 0) & (score >= least[:, None])
    product = np.full(score.shape, -np.inf)
    row, slot = np.nonzero(hopeful)
    product[row, slot] = images.products(row + start, index[row, slot])
    number = np.where(hopeful, index, np.iinfo(np.int32).max)
    order = np.lexsort((number, -product), axis=1)[:, :length]
    index = np.take_along_axis(index, order, 1)
    product = np.take_along_axis(product, order, 1)
    everything = kept.near_index.shape[1] >= images.count
    sure = np.full(len(score), everything) | (score[:, -1] + error < product[:, -1])
    return Lists(index, product, product[:, -1]), sure


def _farthest(
    images: ImageSet, start: int, kept: Kept, error: float
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    score, index = kept.far_score.astype(np.float64), kept.far_index
    row, slot = np.nonzero((index >= 0) & (score <= score[:, :1] + 2 * error))
    product = np.full(score.shape, np.inf)
    product[row, slot] = images.products(row + start, index[row, slot])
    farthest = product.min(1)
    everything = index.shape[1] >= images.count
    return farthest, np.full(len(score), everything) | (score[:, -1] - error >= farthest)


def _go_through_again(
    images: ImageSet, start: int, rows: IntArray, lists: Lists, block: int, error: float
) -> None:
    """Offers the rows of a slab every image that may be near or far enough, and mends the lists."""
    length = lists.index.shape[1]
    features_rD = images.doubles(rows + start).float()
    # the lists so far hold K images at least as near as this, and one as far
    near = _outward(lists.product[rows, -1] - error, -np.inf)
    far = _outward(lists.farthest[rows] + error, np.inf)
    near_r1 = torch.from_numpy(near).to(images.device)[:, None]
    far_r1 = torch.from_numpy(far).to(images.device)[:, None]
    found = _Found(len(rows), length)
    for first in range(0, images.count, block):
        tile_rb = features_rD @ images.block(first, min(first + block, images.count)).T
        perhaps = (tile_rb >= near_r1).logical_or_(tile_rb <= far_r1)
        line, column = (part.cpu().numpy() for part in perhaps.nonzero(as_tuple=True))
        product = images.products(rows[line] + start, column + first)
        found.add(line, column + first, product)
    lists.index[rows] = found.index.reshape(-1, length)
    lists.product[rows] = found.product.reshape(-1, length)
    lists.farthest[rows] = found.farthest


def _outward(limit: Floats, towards: float) -> npt.NDArray[np.float32]:
    """A float32 limit that lets pass whatever the float64 limit does."""
    return np.nextafter(limit.astype(np.float32), np.float32(towards))


class _Found:
    """Pairs offered one after another: of each line the best K stay, and the lowest product."""

    def __init__(self, lines: int, length: int) -> None:
        self.length = length
        self.line = np.zeros(0, np.int64)
        self.index = np.zeros(0, np.int64)
        self.product = np.zeros(0)
        self.farthest = np.full(lines, np.inf)

    def add(self, line: IntArray, index: IntArray, product: Floats) -> None:
        np.minimum.at(self.farthest, line, product)
        line = np.concatenate([self.line, line])
        index = np.concatenate([self.index, index])
        product = np.concatenate([self.product, product])
        order = np.lexsort((index, -product, line))
        order = order[earlier(line[order]) < self.length]
        self.line, self.index, self.product = line[order], index[order], product[order]
