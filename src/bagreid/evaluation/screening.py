"""Scores of all queries against one block in low precision, and how far they can be off.

`docs/exact_ranking.md` derives the bounds. In short, with hats for values rounded to bfloat16 and
δ for what the rounding took away,

    |q·g − q̂·ĝ| ≤ ‖δq‖‖g‖ + ‖q̂‖‖δg‖,

plus the rounding of the products' sum. The norms of δ are measured, not estimated.

Shape letters: Q queries, D features, b images of a block, E columns that the matrix is padded by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Precision = Literal["auto", "float32", "bfloat16"]
"""``auto``: bfloat16 where the processor multiplies it faster and there is enough to multiply."""

LEFT_OUT = -(2**15)
"""The key of a pair that is left out: below that of −∞."""

_EXTRA = 32
"""Columns behind the features: one holds the centre, the rest keep rows off one cache set."""

_ROWS_AT_ONCE = 256
"""Rows rounded at a time: they and what is left of them stay in the cache."""

_UNIT = {"cpu": 2.0**-23}
_UNIT_ELSEWHERE = 2.0**-22


def in_bfloat16(choice: Precision, queries: int, dim: int, device: torch.device) -> bool:
    """Whether to screen in bfloat16.

    Args:
        choice: What the caller wants.
        queries: Q; few of them leave nothing to gain.
        dim: D, likewise.
        device: Where to compute.

    Returns:
        Whether bfloat16 it is.
    """
    if choice != "auto":
        return choice == "bfloat16"
    return queries >= 128 and dim >= 128 and _fast_bfloat16(device)


def _fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in known)


@dataclass(frozen=True, slots=True, eq=False)
class Norms:
    """What a bound needs to know of some rows; float32, ``(n,)`` or single numbers.

    Attributes:
        whole: The norms of the rows.
        lost: The norms of what rounding to bfloat16 took away; 0 where nothing was rounded.
    """

    whole: Tensor
    lost: Tensor

    def largest(self) -> Norms:
        """The largest of each, which hold for every row."""
        return Norms(self.whole.amax(), self.lost.amax())


def float32_error(whole_Q: Tensor, gallery_norm: Tensor, dim: int) -> Tensor:
    """How far a float32 score can lie from the float64 one.

    For a sum of D products in any order, with or without fused multiply-add, the error is at most
    γ·Σ|qᵢgᵢ| ≤ γ·‖q‖·‖g‖ with γ = n·u / (1 − n·u), u = 2⁻²⁴ (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1). Here n = D + 8: two roundings more where stored float64
    values are first rounded to float32, the rest generous for the rounding of the float64 score
    itself. The norms are themselves float32: they are raised by their own bound, and by what
    squares below 2⁻¹²⁶ may have lost. The last term is what underflow costs, be it gradual or
    flushed to zero.

    Args:
        whole_Q: ``(Q,)`` float32 norms.
        gallery_norm: The largest norm of the gallery rows in question.
        dim: D.

    Returns:
        ``(Q,)`` float64 bounds.
    """
    q_Q, g = _raised(whole_Q, dim), _raised(gallery_norm, dim)
    return _gamma(dim + 8, 2.0**-24) * q_Q * g + _underflow(q_Q, g, dim)


def bfloat16_error(queries: Norms, gallery: Norms, centre_Q: Tensor, dim: int) -> Tensor:
    """How far a sum of bfloat16 products, less the centre, can lie from the float64 score less it.

    Args:
        queries: ``(Q,)`` norms.
        gallery: The largest norms of the gallery rows in question.
        centre_Q: ``(Q,)`` what is taken off each score in the same sum.
        dim: D.

    Returns:
        ``(Q,)`` float64 bounds, before the sum itself is rounded to bfloat16.
    """
    whole_Q, whole = _raised(queries.whole, dim), _raised(gallery.whole, dim)
    # Where stored float64 values were first rounded to float32, a little more is lost.
    lost_Q = _raised(queries.lost, dim) + 2.0**-24 * whole_Q
    lost = _raised(gallery.lost, dim) + 2.0**-24 * whole
    kept_Q, kept = whole_Q + lost_Q, whole + lost
    unit = _UNIT.get(centre_Q.device.type, _UNIT_ELSEWHERE)
    summed_Q = _gamma(dim + 8 + _EXTRA, unit) * (kept_Q * kept + centre_Q.double().abs())
    return lost_Q * whole + kept_Q * lost + summed_Q + _underflow(kept_Q, kept, dim)


def _gamma(number: int, unit: float) -> float:
    return number * unit / (1.0 - number * unit)


def _raised(norms: Tensor, dim: int) -> Tensor:
    """Float32 norms raised by what their own rounding and underflow may have cost."""
    return norms.double() * (1.0 + _gamma(dim + 8, 2.0**-24)) + math.sqrt(dim) * 2.0**-63


def _underflow(q_Q: Tensor, g: Tensor, dim: int) -> Tensor:
    return 2.0**-124 * (dim + math.sqrt(dim) * (q_Q + g))


def rounded(rows_nD: Tensor, out_nE: Tensor) -> Norms:
    """Rounds rows to bfloat16 and measures what that takes away, while they are in the cache.

    Args:
        rows_nD: ``(n, D)`` float32.
        out_nE: ``(n, D + E)`` bfloat16, whose first D columns are written.

    Returns:
        The ``(n,)`` norms.
    """
    count, dim = rows_nD.shape
    whole_n, lost_n = rows_nD.new_empty(count), rows_nD.new_empty(count)
    spare = rows_nD.new_empty(min(_ROWS_AT_ONCE, count), dim)
    for start in range(0, count, _ROWS_AT_ONCE):
        part = slice(start, min(start + _ROWS_AT_ONCE, count))
        rows, out = rows_nD[part], out_nE[part, :dim]
        left = spare[: len(rows)]
        out.copy_(rows)
        left.copy_(out)
        left.sub_(rows)  # exact: what rounding takes away has no more digits than the value
        torch.linalg.vector_norm(left, dim=1, out=lost_n[part])
        torch.linalg.vector_norm(rows, dim=1, out=whole_n[part])
    return Norms(whole_n, lost_n)


class Bfloat16Screen:
    """Scores blocks in bfloat16, each query's scores less a centre of its own.

    The result of such a product is rounded to bfloat16 on a processor: eight bits, which are
    coarse for a score of 0.9 but fine for a small difference from the centre. So the centre is
    where comparisons are close: the best match's score. It costs no pass: it is one more column.

    Args:
        features_QD: ``(Q, D)`` float32.
        centre_Q: ``(Q,)`` float64.
        size: b, gallery images a block.
    """

    def __init__(self, features_QD: Tensor, centre_Q: Tensor, size: int) -> None:
        count, self.dim = features_QD.shape
        self._query_QE = features_QD.new_zeros(count, self.dim + _EXTRA, dtype=torch.bfloat16)
        self._norms = rounded(features_QD, self._query_QE)
        self._query_QE[:, self.dim] = -centre_Q
        self.centre_Q = -self._query_QE[:, self.dim].double()
        self._block_bE = features_QD.new_zeros(size, self.dim + _EXTRA, dtype=torch.bfloat16)
        self._block_bE[:, self.dim] = 1
        self._out_Qb = features_QD.new_empty(count, size, dtype=torch.bfloat16)

    def round_block(self, block_bD: Tensor) -> Norms:
        """Takes in a block's rows; returns their norms, to be checked before `scores`."""
        return rounded(block_bD, self._block_bE)

    def scores(self, count: int) -> Tensor:
        """``(Q, count)`` int16 keys of the scores of the block taken in last.

        All blocks are multiplied in full, the last one too, so that every product is made by the
        same kernel.
        """
        torch.mm(self._query_QE, self._block_bE.T, out=self._out_Qb)
        return ordered(self._out_Qb)[:, :count]

    def error(self, gallery: Norms) -> Tensor:
        """``(Q,)`` float64 bounds for rows of at most these norms."""
        return bfloat16_error(self._norms, gallery, self.centre_Q, self.dim)

    def is_sound(self) -> bool:
        """Whether products of this shape are summed in float32 here, as the bound supposes."""
        queries, width = self._query_QE.shape
        where = self._query_QE.device
        return _sums_in_float32(queries, len(self._block_bE), width, where, torch.get_num_threads())


@cache
def _sums_in_float32(
    queries: int, size: int, width: int, device: torch.device, _threads: int
) -> bool:
    """Tries a product of bfloat16 matrices of some shape.

    Of small whole numbers every sum in float32 is exact, in whatever order; a sum that is kept in
    bfloat16 on the way is not.
    """

    def pattern(count: int, factor: int) -> Tensor:
        line = torch.arange(count, device=device, dtype=torch.float32) * factor % 63 - 31
        column = torch.arange(width, device=device, dtype=torch.float32) ** 2 % 61 - 30
        return (line[:, None] + column).bfloat16()

    query_QE, block_bE = pattern(queries, 31), pattern(size, 37)
    product = (query_QE @ block_bE.T)[:16].double()
    exact = query_QE[:16].double() @ block_bE.T.double()
    return bool(((product - exact).abs() <= exact.abs() * 2.0**-8).all())


def ordered(values: Tensor) -> Tensor:
    """bfloat16 values as int16 that compare alike, in the same memory.

    Integers are compared several times faster. A negative number's bits below its sign are
    turned over.
    """
    bits = values.view(torch.int16)
    return bits.bitwise_xor_((bits >> 15).bitwise_and_(0x7FFF))


def key_limits(value: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Limits for keys: below the first a sum is surely lower, from the second on surely not.

    Rounding to bfloat16 keeps order, so a sum that reaches ``value − error`` has a key that
    reaches the key of any bfloat16 number below that.

    Args:
        value: ``(n,)`` float64, already less the centre.
        error: ``(n,)`` float64.

    Returns:
        Two ``(n,)`` int16.
    """
    low = _key_of(value - error) - 2
    high = _key_of(value + error) + 3
    return _as_key(low), _as_key(high)


def _as_key(key: Tensor) -> Tensor:
    return key.clamp_(LEFT_OUT + 1, 2**15 - 1).to(torch.int16)


def _key_of(value: Tensor) -> Tensor:
    """The key of a bfloat16 number next to the value, as int32: one off at most."""
    bits = value.float().view(torch.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)) >> 16


def float_limits(value: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """The same limits for float32 scores, ``(n,)`` float32 each."""
    infinity = torch.full_like(value, torch.inf, dtype=torch.float32)
    low = torch.nextafter((value - error).float(), -infinity)
    high = torch.nextafter((value + error).float(), infinity)
    return low, high


def reaches(key_nb: Tensor, limit_n: Tensor) -> Tensor:
    """``(n, b)`` bool: which keys or scores reach their line's limit."""
    if key_nb.device.type == "cpu":  # several times faster in NumPy, as of torch 2.15
        return torch.from_numpy(np.greater_equal(key_nb.numpy(), limit_n.numpy()[:, None]))
    return key_nb >= limit_n[:, None]


def where(mask_nb: Tensor) -> tuple[Tensor, Tensor]:
    """Line and column of what is true, line by line, ``(P,)`` int64 each."""
    if mask_nb.device.type == "cpu":
        flat = torch.from_numpy(np.flatnonzero(mask_nb.numpy()))
        line = flat // mask_nb.shape[1]
        return line, flat - line * mask_nb.shape[1]
    line, column = mask_nb.nonzero(as_tuple=True)
    return line, column
