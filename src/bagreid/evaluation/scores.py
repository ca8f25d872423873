"""The score that defines the ranking, and the features it is made of.

The score of a query and a gallery image is the inner product of their stored features in float64,
summed by one fixed tree: the products, filled up with zeros to a power of two, are halved again
and again by adding the second half to the first, element by element. Each step is one rounding by
IEEE 754 and nothing is fused, so every machine, device and number of threads gives the same bits.
Scores are equal, and images tie, where these bits are.

Shape letters: Q queries, G gallery images, D features, P pairs, W a power of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bagreid.contracts import BagreidError, IntArray
from bagreid.evaluation.sources import Features, FeatureSource, as_source

PAIRS_AT_ONCE = 64
"""Pairs of one batch: small enough for the cache, many enough to hide the cost of a step."""


class UnfitFeaturesError(BagreidError):
    """Features of some images cannot be ranked.

    Attributes:
        side: ``query`` or ``gallery``; empty where another process found them.
        rows: Their rows, as far as they are known.
    """

    side: str = ""
    rows: tuple[int, ...] = ()


class FeatureTable:
    """One side's features, read block by block, never as a whole.

    Args:
        values: ``(N, D)`` features; a memory map stays on disk.
        name: ``query`` or ``gallery``, for messages.
        device: Where blocks are computed on.
        first: What to call the first row in messages, where the features are a part of more.

    Raises:
        BagreidError: When ``values`` is not two-dimensional, not floating point, or empty.
    """

    def __init__(
        self, values: Features | FeatureSource, name: str, device: torch.device, first: int = 0
    ) -> None:
        self._source = as_source(values, name)
        self.count, self.dim = self._source.shape
        if not (self.count and self.dim):
            raise BagreidError(
                f"the {name} features are empty: shape {self._source.shape}",
                remedy=f"An evaluation needs at least one {name} image",
            )
        self.name = name
        self.device = device
        self._first = first

    def block(self, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop`` as a ``(stop − start, D)`` float32 tensor on the device."""
        return self._source.block(start, stop).to(self.device, torch.float32)

    def stored(self, rows: IntArray) -> Tensor:
        """The rows of the ``(P,)`` indices as a ``(P, D)`` tensor on the host, as stored."""
        return self._source.pick(rows).cpu()

    def doubles(self, rows: Tensor) -> Tensor:
        """The rows of the ``(P,)`` indices as a ``(P, D)`` float64 tensor on the device."""
        return self._source.pick(rows.cpu().numpy()).to(self.device).double()

    def check(self, norms: Tensor, block: Tensor, start: int) -> None:
        """Checks that a block can be scored.

        Args:
            norms: ``(b,)`` float32 norms of the rows.
            block: ``(b, D)`` float32 rows.
            start: Number of the first row.

        Raises:
            BagreidError: When a row holds NaN or infinity (naming the images), or numbers whose
                inner products leave the range of float32.
        """
        good = norms < 1e18
        if not bool(good.all()):
            self._refuse(block, (~good).nonzero()[:, 0], start + self._first)

    def _refuse(self, block: Tensor, rows: Tensor, start: int) -> None:
        numbers = tuple(start + int(row) for row in rows)
        shown = ", ".join(map(str, numbers[:10]))
        more = f" and {len(rows) - 10} more of this block" if len(rows) > 10 else ""
        finite = bool(torch.isfinite(block[rows]).all())
        error = UnfitFeaturesError(
            f"the {self.name} features of {len(rows)} images "
            + ("are too large to rank" if finite else "hold NaN or infinity"),
            position=f"row {shown}{more}",
            remedy="L2-normalise the features"
            if finite
            else "Extract these images again; bagreid extract scores broken ones last by itself",
        )
        error.side, error.rows = self.name, numbers
        raise error


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Float32 products are float32 inside, whatever TF32, bfloat16 or autocast rule outside.

    `float32_error` holds only for IEEE float32 arithmetic.
    """
    with (
        all_digits(torch.backends.cuda.matmul, _onednn_matmul()),
        torch.inference_mode(),
        torch.autocast(device.type, enabled=False),
    ):
        yield


@contextmanager
def all_digits(*backends: Any) -> Iterator[None]:
    """Lets some of torch's backends compute in IEEE float32, and sets them back afterwards."""
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def _onednn_matmul() -> Any:
    backend: Any = torch.backends.mkldnn
    return backend.matmul  # not in torch's type stubs


def pair_scores(queries: FeatureTable, gallery: FeatureTable, q_P: Tensor, g_P: Tensor) -> Tensor:
    """The float64 scores that define the ranking, one a pair.

    Args:
        queries: The query features.
        gallery: The gallery features.
        q_P: ``(P,)`` int64, query rows.
        g_P: ``(P,)`` int64, gallery rows.

    Returns:
        ``(P,)`` float64.
    """
    score_P = torch.empty(len(q_P), dtype=torch.float64, device=queries.device)
    for start in range(0, len(q_P), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        score_P[part] = tree_products(queries.doubles(q_P[part]), gallery.doubles(g_P[part]))
    return score_P


def tree_products(left_PD: Tensor, right_PD: Tensor) -> Tensor:
    """Inner products of corresponding rows, summed by the fixed tree.

    Args:
        left_PD: ``(P, D)`` float64.
        right_PD: ``(P, D)`` float64.

    Returns:
        ``(P,)`` float64.
    """
    sum_PW = left_PD * right_PD
    width = 1 << (sum_PW.shape[1] - 1).bit_length()
    while width > 1:
        width //= 2
        # Where the second half is short, zeros would stand for the rest: those stay as they are.
        second = sum_PW[:, width:]
        first = sum_PW[:, : second.shape[1]] + second
        if second.shape[1] < width:
            first = torch.cat([first, sum_PW[:, second.shape[1] : width]], 1)
        sum_PW = first
    return sum_PW[:, 0]


def as_rows(values: IntArray, device: torch.device) -> Tensor:
    """A NumPy index array as an int64 tensor on the device."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(device)
