"""k-reciprocal re-ranking as toolboxes do it: whole tables of all images against all.

Written from Zhong et al., CVPR 2017 (arXiv 1701.08398), and from what the tables of the known
implementations hold: distances, their order, the encodings before and after averaging, each of
N × N numbers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.floating]


def dense_distance(
    features_ND: Table, queries: int, k1: int, k2: int, weight: float, dtype: type
) -> Table:
    """The final distances of queries (the first images) and gallery, ``(Q, G)``.

    Args:
        features_ND: ``(N, D)`` normalised features.
        queries: Q.
        k1: Neighbours that may be k-reciprocal ones.
        k2: Neighbours that an encoding is averaged over.
        weight: The share of the original distance.
        dtype: What everything is computed in.
    """
    values: Table = features_ND.astype(dtype, copy=False)
    distance = values @ values.T
    np.subtract(1, distance, out=distance)
    distance /= distance.max(axis=1, keepdims=True)
    order = np.argsort(distance, axis=1)
    encoding = np.zeros_like(distance)
    for image in range(len(distance)):
        members = _members(order, image, k1)
        share = np.exp(-distance[image, members])
        encoding[image, members] = share / share.sum()
    original = distance[:queries].copy()
    del distance
    if k2 > 1:
        mean = np.empty_like(encoding)
        for image in range(len(encoding)):
            mean[image] = encoding[order[image, :k2]].mean(axis=0)
        encoding = mean
    del order
    jaccard = 1 - _shared(encoding, queries)
    final: Table = jaccard[:, queries:] * (1 - weight) + original[:, queries:] * weight
    return final


def _mutual(order: npt.NDArray[np.int64], image: int, length: int) -> npt.NDArray[np.int64]:
    nearest = order[image, : length + 1]
    mutual: npt.NDArray[np.int64] = nearest[(order[nearest, : length + 1] == image).any(axis=1)]
    return mutual


def _members(order: npt.NDArray[np.int64], image: int, k1: int) -> npt.NDArray[np.int64]:
    own = _mutual(order, image, k1)
    sets = [own]
    for candidate in own:
        theirs = _mutual(order, int(candidate), round(k1 / 2))
        if 3 * len(np.intersect1d(theirs, own)) > 2 * len(theirs):
            sets.append(theirs)
    return np.unique(np.concatenate(sets))


def _shared(encoding: Table, queries: int) -> Table:
    """Jaccard similarities of the queries and all images, through inverted lists."""
    holders = [np.flatnonzero(column) for column in encoding.T]
    similarity = np.empty((queries, len(encoding)), encoding.dtype)
    for query in range(queries):
        lesser = np.zeros(len(encoding), encoding.dtype)
        for column in np.flatnonzero(encoding[query]):
            there = holders[column]
            lesser[there] += np.minimum(encoding[query, column], encoding[there, column])
        similarity[query] = lesser / (2 - lesser)
    return similarity
