"""Inner products of stored features: in float32 blocks, singly in float64, and the two's distance.

The ranking is defined by the float64 inner product of the stored values. Blocks are computed in
float32 because that is several times faster; `score_error` bounds what this costs, so that only
the few pairs within the bound of a match's score need the float64 product.

Shape letters: Q queries, G gallery images, D features, P pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bagreid.contracts import BagreidError, IntArray
from bagreid.evaluation.sources import Features, FeatureSource, as_source

PAIRS_AT_ONCE = 128
"""Pairs of one float64 batch: small enough for the cache, large enough for all cores."""


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

    def doubles(self, rows: Tensor) -> Tensor:
        """The rows of the ``(P,)`` indices as a ``(P, D)`` float64 tensor on the device."""
        return self._source.pick(rows.cpu().numpy()).to(self.device, torch.float64)

    def norms(self, block: Tensor, start: int) -> Tensor:
        """The float32 norms of a block's rows, ``(b,)``, after a check that they are finite.

        Raises:
            BagreidError: When a row holds NaN or infinity (naming the images), or numbers whose
                inner products leave the range of float32.
        """
        norms: Tensor = torch.linalg.vector_norm(block, dim=1)
        good = norms < 1e18
        if not bool(good.all()):
            self._refuse(block, (~good).nonzero()[:, 0], start + self._first)
        return norms

    def _refuse(self, block: Tensor, rows: Tensor, start: int) -> None:
        shown = ", ".join(str(start + int(row)) for row in rows[:10])
        more = f" and {len(rows) - 10} more of this block" if len(rows) > 10 else ""
        finite = bool(torch.isfinite(block[rows]).all())
        raise BagreidError(
            f"the {self.name} features of {len(rows)} images "
            + ("are too large to rank" if finite else "hold NaN or infinity"),
            position=f"row {shown}{more}",
            remedy="L2-normalise the features"
            if finite
            else "Extract these images again; bagreid extract scores broken ones last by itself",
        )


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Float32 products are float32 inside, whatever TF32, bfloat16 or autocast rule outside.

    `score_error` holds only for IEEE float32 arithmetic.
    """
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, _onednn_matmul())
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def _onednn_matmul() -> Any:
    backend: Any = torch.backends.mkldnn
    return backend.matmul  # not in torch's type stubs


def pair_scores(queries: FeatureTable, gallery: FeatureTable, q_P: Tensor, g_P: Tensor) -> Tensor:
    """The float64 inner products that define the ranking, one a pair.

    Every pair is computed in a batch of the same shape, so a score never depends on which other
    pairs are asked for: equal features give equal scores to the last bit.

    Args:
        queries: The query features.
        gallery: The gallery features.
        q_P: ``(P,)`` int64, query rows.
        g_P: ``(P,)`` int64, gallery rows.

    Returns:
        ``(P,)`` float64.
    """
    total = len(q_P)
    short = -total % PAIRS_AT_ONCE
    q_P = torch.nn.functional.pad(q_P, (0, short))
    g_P = torch.nn.functional.pad(g_P, (0, short))
    score_P = torch.zeros(len(q_P), dtype=torch.float64, device=queries.device)
    for start in range(0, len(q_P), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        score_P[part] = _row_products(queries.doubles(q_P[part]), gallery.doubles(g_P[part]))
    return score_P[:total]


def _row_products(left_PD: Tensor, right_PD: Tensor) -> Tensor:
    """Inner products of corresponding rows; on the CPU by one thread, which suits small batches."""
    if left_PD.device.type == "cpu":
        return torch.from_numpy(np.einsum("pd,pd->p", left_PD.numpy(), right_PD.numpy()))
    return (left_PD * right_PD).sum(1)


def score_error(query_norms: Tensor, gallery_norm: float, dim: int) -> Tensor:
    """How far a float32 score can lie from the float64 one.

    For a sum of D products in any order, with or without fused multiply-add, the error is at most
    γ·Σ|qᵢgᵢ| ≤ γ·‖q‖·‖g‖ with γ = n·u / (1 − n·u), u = 2⁻²⁴ (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1). Here n = D + 8: two roundings more where stored float64
    values are first rounded to float32, the rest generous for the rounding of the float64 score
    itself. The norms are themselves float32: they are raised by their own bound, and by what
    squares below 2⁻¹²⁶ may have lost. The last term is what underflow costs, be it gradual or
    flushed to zero.

    Args:
        query_norms: ``(Q,)`` float32 norms.
        gallery_norm: The largest norm of the gallery rows in question.
        dim: D.

    Returns:
        ``(Q,)`` float64 bounds.
    """
    unit = (dim + 8) * 2.0**-24
    gamma = unit / (1.0 - unit)
    lost = math.sqrt(dim) * 2.0**-63
    q_Q = query_norms.double() * (1.0 + gamma) + lost
    g = gallery_norm * (1.0 + gamma) + lost
    underflow = 2.0**-125 * (dim + math.sqrt(dim) * (q_Q + g))
    return gamma * q_Q * g + underflow


def as_rows(values: IntArray, device: torch.device) -> Tensor:
    """A NumPy index array as an int64 tensor on the device."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(device)
