"""Which images a sample holds: some of every tar, spread over its length.

Shape letters: M images, S tars, N images of the sample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray


def choose_sample(shard: npt.NDArray[np.integer], count: int, seed: int) -> IntArray:
    """Draws images from all tars alike.

    Each tar gives its share, at least one where the sample is large enough for that. A tar is cut
    (in the order of the rows, by and large its own) into as many equal stretches as it gives
    images, and each stretch gives one: damage is mostly local, so an even spread meets more of it
    than free draws.

    Args:
        shard: `(M,)` the tar of each image.
        count: How many images, N.
        seed: The same seed draws the same images.

    Returns:
        `(N,)` int64 rows, ascending; all rows where there are no more than `count`.
    """
    if count >= len(shard):
        return np.arange(len(shard), dtype=np.int64)
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, 0], np.uint64)))
    there_S = np.bincount(shard)
    order = np.argsort(shard, kind="stable")
    end_S = np.cumsum(there_S)
    chosen = []
    for given, there, end in zip(_shares(there_S, count), there_S, end_S, strict=True):
        edge = np.linspace(0, there, given + 1).astype(np.int64)
        chosen.append(end - there + generator.integers(edge[:-1], np.maximum(edge[1:], 1)))
    return np.sort(order[np.concatenate(chosen)]).astype(np.int64)


def _shares(there_S: IntArray, count: int) -> IntArray:
    """How many of `count` each tar gives: in proportion, the largest remainders rounded up."""
    used_S = (there_S > 0).astype(np.int64)
    least_S = used_S if count >= used_S.sum() else np.zeros_like(used_S)
    rest = count - int(least_S.sum())
    free_S = there_S - least_S
    exact_S = rest * free_S / max(int(free_S.sum()), 1)
    share_S = np.floor(exact_S).astype(np.int64)
    largest = np.argsort(share_S - exact_S, kind="stable")[: rest - int(share_S.sum())]
    share_S[largest] += 1
    return share_S + least_S
