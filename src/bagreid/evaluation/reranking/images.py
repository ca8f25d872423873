"""Queries and gallery as one list of images: those that re-ranking compares with each other.

Re-ranking knows no identities: junk and images of the query's own camera take part in the
neighbourhoods, as in the released dense code. Images that could not be decoded take part in
nothing, for they have no feature.

Shape letters: N images that take part, D features, P pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagreid.contracts import BagreidError, IntArray
from bagreid.evaluation.scores import PAIRS_AT_ONCE, tree_products
from bagreid.evaluation.screening import float32_error
from bagreid.evaluation.sources import FeatureSource

NORM_SLACK = 0.01
"""How far a norm may be from one: as far as rounding to bfloat16 can bring it, and a bit."""


class ImageSet:
    """The sound queries, then the sound gallery images, numbered from 0 to N − 1.

    Args:
        query: The query features.
        gallery: The gallery features.
        query_broken: Rows of queries that could not be decoded.
        gallery_broken: Rows of gallery images that could not be decoded.
        device: Where blocks are computed on.

    Raises:
        BagreidError: When the dimensions differ, or nothing is left of one side.
    """

    def __init__(
        self,
        query: FeatureSource,
        gallery: FeatureSource,
        query_broken: IntArray,
        gallery_broken: IntArray,
        device: torch.device,
    ) -> None:
        if query.shape[1] != gallery.shape[1]:
            raise BagreidError(
                f"the query features have {query.shape[1]} dimensions, the gallery's "
                f"{gallery.shape[1]}",
                remedy="Extract both with the same network",
            )
        self.device = device
        self.dim = query.shape[1]
        self._sides = (query, gallery)
        self.query_rows = np.setdiff1d(np.arange(query.shape[0]), query_broken)
        self.gallery_rows = np.setdiff1d(np.arange(gallery.shape[0]), gallery_broken)
        self.queries = len(self.query_rows)
        self.count = self.queries + len(self.gallery_rows)

    def block(self, start: int, stop: int) -> Tensor:
        """Images ``start`` to ``stop`` as ``(stop − start, D)`` float32 on the device.

        It may be a view of a read-only map: it must not be written to.
        """
        pieces = []
        for side in (0, 1):
            rows = self._rows_between(side, start, stop)
            if len(rows):
                pieces.append(_run(self._sides[side], rows).to(self.device, torch.float32))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def check(self, block: int = 8192) -> None:
        """Reads all features once, for whoever is about to compare them for an hour.

        Args:
            block: Images at a time.

        Raises:
            BagreidError: Naming the first image whose feature is not finite or not normalised.
        """
        for start in range(0, self.count, block):
            block_bD = self.block(start, min(start + block, self.count))
            norm_b = torch.linalg.vector_norm(block_bD, dim=1)
            bad = (~((norm_b - 1.0).abs() <= NORM_SLACK)).nonzero()[:, 0]
            if len(bad):
                self._refuse(start + int(bad[0]), float(norm_b[bad[0]]))

    def _refuse(self, image: int, norm: float) -> None:
        side, row = self.place_of(image)
        finite = math.isfinite(norm)
        raise BagreidError(
            f"a {side} feature has norm {norm:.4g}, and re-ranking compares distances of "
            "normalised ones"
            if finite
            else f"a {side} feature holds NaN or infinity, or is too large",
            position=f"row {row}",
            remedy="L2-normalise the features; an image without a feature must be listed as broken"
            if finite
            else "Extract this image again",
        )

    def place_of(self, image: int) -> tuple[str, int]:
        """Side (``query`` or ``gallery``) and row there of an image of this set."""
        if image < self.queries:
            return "query", int(self.query_rows[image])
        return "gallery", int(self.gallery_rows[image - self.queries])

    def numbers(self, query: IntArray, gallery: IntArray) -> tuple[IntArray, IntArray]:
        """The images of some rows of each side; −1 for what is broken.

        Args:
            query: ``(P,)`` query rows.
            gallery: ``(R,)`` gallery rows.

        Returns:
            ``(P,)`` and ``(R,)`` int64.
        """
        return (
            _places(self.query_rows, query, 0),
            _places(self.gallery_rows, gallery, self.queries),
        )

    def _numbered(self, side: int) -> tuple[IntArray, int]:
        """The rows of a side that take part, and the number of the first."""
        return (self.gallery_rows, self.queries) if side else (self.query_rows, 0)

    def _rows_between(self, side: int, start: int, stop: int) -> IntArray:
        rows, offset = self._numbered(side)
        return rows[max(start - offset, 0) : max(stop - offset, 0)]

    def doubles(self, images: npt.NDArray[np.integer]) -> Tensor:
        """The features of ``(P,)`` images, ``(P, D)`` float64 on the device."""
        picked_PD = torch.empty(len(images), self.dim, dtype=torch.float64, device=self.device)
        is_query = images < self.queries
        for side, here in ((0, np.flatnonzero(is_query)), (1, np.flatnonzero(~is_query))):
            if len(here):
                rows, offset = self._numbered(side)
                found = self._sides[side].pick(rows[images[here] - offset])
                where = torch.from_numpy(here).to(self.device)
                picked_PD[where] = found.to(self.device, torch.float64)
        return picked_PD

    def products(
        self, left: npt.NDArray[np.integer], right: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.float64]:
        """The float64 inner products that define every distance, one a pair.

        They are the scores of the plain ranking, to the last bit.

        Args:
            left: ``(P,)`` images.
            right: ``(P,)`` images.

        Returns:
            ``(P,)`` float64.
        """
        product_P = np.empty(len(left))
        with _one_thread():
            for start in range(0, len(left), PAIRS_AT_ONCE):
                part = slice(start, start + PAIRS_AT_ONCE)
                unique, line = np.unique(left[part], return_inverse=True)
                left_PD = self.doubles(unique)[torch.from_numpy(line).to(self.device)]
                product = tree_products(left_PD, self.doubles(right[part]))
                product_P[part] = product.cpu().numpy()
        return product_P

    def product_error(self) -> float:
        """How far a float32 inner product can lie from the float64 one, for every pair."""
        norm = torch.tensor(1.0 + NORM_SLACK)
        return float(float32_error(norm, norm, self.dim))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small batches by one thread: on a busy machine several wait for each other at every step."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(source: FeatureSource, rows: IntArray) -> Tensor:
    """Ascending rows of a source: a view where nothing is left out between them."""
    first, stop = int(rows[0]), int(rows[-1]) + 1
    block = source.block(first, stop)
    if stop - first == len(rows):
        return block
    return block[torch.from_numpy(rows - first).to(block.device)]


def _places(rows: IntArray, asked: IntArray, offset: int) -> IntArray:
    """Where ascending rows hold what is asked for, from ``offset`` on; −1 for what they lack."""
    if not len(rows):
        return np.full(len(asked), -1, np.int64)
    place = np.minimum(np.searchsorted(rows, asked), len(rows) - 1)
    return np.where(rows[place] == asked, place + offset, -1)
