"""A slow, dense re-ranking to compare with: whole tables, plain loops, one tie rule.

Equal distances are ordered by image (queries first, then the gallery), sums are taken in the order
of the images, or of the neighbours where an encoding is averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]


@dataclass
class Dense:
    """Every table of the algorithm, over all N images."""

    order: npt.NDArray[np.int64]
    original: Table
    sets: list[list[int]]
    encoding: Table
    expanded: Table
    jaccard: Table
    final: Table


def products_of(features: npt.NDArray[np.floating]) -> Table:
    """All inner products, each summed by adding the second half of its terms to the first."""
    doubles = features.astype(np.float64)
    width = 1
    while width < doubles.shape[1]:
        width *= 2
    terms = np.zeros((len(doubles), width))
    terms[:, : doubles.shape[1]] = doubles
    table = []
    for row in terms:
        sums = row * terms
        while sums.shape[1] > 1:
            half = sums.shape[1] // 2
            sums = sums[:, :half] + sums[:, half:]
        table.append(sums[:, 0])
    return np.array(table).reshape(len(doubles), len(doubles))


def rerank_densely(product: Table, queries: int, k1: int, k2: int, weight: float) -> Dense:
    """From all inner products of normalised features; ``final`` is queries × gallery."""
    number = len(product)
    most = 1 - product.min(axis=1, initial=np.inf)
    original = np.zeros_like(product)
    for i in range(number):
        if most[i] > 0:
            original[i] = (1 - product[i]) / most[i]
    order = np.argsort(-product, axis=1, kind="stable")

    def reciprocal(i: int, k: int) -> list[int]:
        return [j for j in order[i, : k + 1] if i in order[j, : k + 1]]

    half = int(np.around(k1 / 2))
    sets = []
    for i in range(number):
        own = set(reciprocal(i, k1))
        whole = set(own)
        for j in own:
            theirs = set(reciprocal(j, half))
            if len(theirs & own) > Fraction(2, 3) * len(theirs):
                whole |= theirs
        sets.append(sorted(map(int, whole)))
    encoding = np.zeros_like(product)
    for i, members in enumerate(sets):
        weights = np.exp(-original[i, members])
        total = 0.0
        for value in weights:
            total += value
        encoding[i, members] = weights / total
    expanded = encoding
    if k2 > 1:
        expanded = np.zeros_like(product)
        for i in range(number):
            nearest = order[i, :k2]
            for j in nearest:
                expanded[i] += encoding[j]
            expanded[i] /= len(nearest)
    jaccard = np.zeros((queries, number - queries))
    for q in range(queries):
        for g in range(number - queries):
            lesser = 0.0
            for column in np.flatnonzero(expanded[q]):
                lesser += min(expanded[q, column], expanded[queries + g, column])
            jaccard[q, g] = 1 - lesser / (2 - lesser)
    final = jaccard * (1 - weight) + original[:queries, queries:] * weight
    return Dense(order, original, sets, encoding, expanded, jaccard, final)


@dataclass
class Ranked:
    first: list[int]
    ranks: list[list[int]]
    top: list[list[int]]


def rank_densely(
    final: Table,
    query_pid: npt.NDArray[np.int64],
    query_camid: npt.NDArray[np.int64],
    gallery_pid: npt.NDArray[np.int64],
    gallery_camid: npt.NDArray[np.int64],
    query_seen: npt.NDArray[np.int64],
    gallery_seen: npt.NDArray[np.int64],
    top: int = 10,
) -> Ranked:
    """Sorts every query's list; ``final`` is over what was seen only."""
    whole = np.full((len(query_pid), len(gallery_pid)), np.inf)
    whole[np.ix_(query_seen, gallery_seen)] = final
    result = Ranked([], [], [])
    for q in range(len(query_pid)):
        kept = []
        for g in range(len(gallery_pid)):
            same = query_pid[q] >= 0 and query_pid[q] == gallery_pid[g]
            if gallery_pid[g] == -1 or (same and query_camid[q] == gallery_camid[g]):
                continue
            kept.append((whole[q, g], bool(same), g))
        kept.sort()
        hits = [place for place, (_, same, _) in enumerate(kept) if same]
        result.first.append(hits[0] if hits else -1)
        result.ranks.append(hits)
        result.top.append([g for distance, _, g in kept[:top] if distance < np.inf])
    return result
