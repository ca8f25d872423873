"""Scores of the pairs of a block that a lower precision leaves undecided.

Shape letters: Q queries, D features, b images of a block, l lines (some of the queries), P pairs.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from bagreid.contracts import IntArray
from bagreid.evaluation.scores import FeatureTable, pair_scores

_PAIR_COST = 12
"""Cost of a single pair's product beside that of the same pair within a matrix product."""

_BULK = 2048
"""Pairs from which on equal images are looked for before pairs are scored in float64."""

_PAIRS_AT_ONCE = 1024
"""Pairs gathered at a time where no kernel spares the gathering."""


def fine_scores(
    features_QD: Tensor, rows_bD: Tensor, line_P: Tensor, column_P: Tensor
) -> tuple[Tensor, float]:
    """Scores pairs, whole lines at once where a line has many of them.

    Args:
        features_QD: ``(Q, D)`` float32 queries.
        rows_bD: ``(b, D)`` float32 gallery images.
        line_P: ``(P,)`` int64 queries, ascending.
        column_P: ``(P,)`` int64 images, ascending within a query.

    Returns:
        ``(P,)`` float32 scores, and what they cost beside the block's whole matrix product.
    """
    width = len(rows_bD)
    count_Q = torch.bincount(line_P, minlength=len(features_QD))
    dense_Q = count_Q * _PAIR_COST > width
    many = dense_Q.nonzero()[:, 0]
    score_P = torch.empty(len(line_P), dtype=torch.float32, device=line_P.device)
    many_P = dense_Q[line_P]
    few_P = ~many_P
    if len(many):
        score_lb = features_QD[many] @ rows_bD.T
        number_Q = torch.cumsum(dense_Q, 0) - 1
        score_P[many_P] = score_lb[number_Q[line_P[many_P]], column_P[many_P]]
    score_P[few_P] = sampled_products(features_QD, rows_bD, line_P[few_P], column_P[few_P])
    cost = len(many) + _PAIR_COST * int(few_P.sum()) / width
    return score_P, cost / len(features_QD)


def sampled_products(
    features_QD: Tensor, rows_bD: Tensor, line_P: Tensor, column_P: Tensor
) -> Tensor:
    """Single float32 products; arguments and result as of `fine_scores`."""
    if features_QD.device.type == "cpu":
        return _in_place(features_QD, rows_bD, line_P, column_P)
    parts = zip(
        torch.split(line_P, _PAIRS_AT_ONCE), torch.split(column_P, _PAIRS_AT_ONCE), strict=True
    )
    scores = [(features_QD[line] * rows_bD[column]).sum(1) for line, column in parts]
    return torch.cat(scores) if scores else features_QD.new_empty(0)


def _in_place(features_QD: Tensor, rows_bD: Tensor, line_P: Tensor, column_P: Tensor) -> Tensor:
    """By the kernel of a sparse layout, which reads both rows where they lie."""
    start = torch.zeros(len(features_QD) + 1, dtype=torch.int64)
    start[1:] = torch.bincount(line_P, minlength=len(features_QD)).cumsum(0)
    shape = (len(features_QD), len(rows_bD))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)
        nothing = torch.zeros(len(line_P))
        pairs = torch.sparse_csr_tensor(start, column_P, nothing, shape, check_invariants=False)
        scores: Tensor = torch.sparse.sampled_addmm(pairs, features_QD, rows_bD.T, beta=0.0)
    return scores.values()


def exact_scores(queries: FeatureTable, gallery: FeatureTable, q_P: Tensor, g_P: Tensor) -> Tensor:
    """The scores of `pair_scores`, each pair of equal features computed once where there are many.

    That many pairs are undecided mostly because thousands of images are the same: blank frames,
    say, or zeros.

    Args:
        queries: The query features.
        gallery: The gallery features.
        q_P: ``(P,)`` int64, query rows.
        g_P: ``(P,)`` int64, gallery rows.

    Returns:
        ``(P,)`` float64.
    """
    if len(q_P) < _BULK:
        return pair_scores(queries, gallery, q_P, g_P)
    like_q, like_g = _first_alike(queries, q_P), _first_alike(gallery, g_P)
    pair_P = like_q * gallery.count + like_g
    pairs, inverse = torch.unique(pair_P, return_inverse=True)
    q_p, g_p = pairs // gallery.count, pairs % gallery.count
    return pair_scores(queries, gallery, q_p, g_p)[inverse]


def _first_alike(table: FeatureTable, rows_P: Tensor) -> Tensor:
    """For each row the first of the rows with the same bytes, ``(P,)`` int64."""
    rows, inverse = torch.unique(rows_P, return_inverse=True)
    number = rows.cpu().numpy()
    first: dict[bytes, int] = {}
    alike = [first.setdefault(text, row) for text, row in _with_bytes(table, number)]
    return torch.tensor(alike, dtype=torch.int64, device=rows_P.device)[inverse]


def _with_bytes(table: FeatureTable, rows: IntArray) -> list[tuple[bytes, int]]:
    stored_nD = table.stored(rows).view(torch.uint8).numpy()
    return [(line.tobytes(), row) for line, row in zip(stored_nD, rows.tolist(), strict=True)]
