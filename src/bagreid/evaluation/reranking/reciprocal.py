"""k-reciprocal neighbours and their expansion, as sparse sets.

Source: Zhong et al., CVPR 2017 (arXiv 1701.08398), equations 3 to 5. As in the authors' code, a
candidate's set is taken in where *more* than two thirds of it are shared (the paper: at least two
thirds), and an image stands in its own neighbour list.

Shape letters: N images, n images of a chunk, K listed neighbours, H of them in the half lists,
P pairs, E members of sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.contracts import IntArray

_CHUNK = 1024
"""Images at a time."""

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """A set of images for each image, in compressed rows.

    Attributes:
        start: ``(N + 1,)`` int64, where each image's members begin.
        member: ``(E,)`` int32, the members, ascending within a set.
    """

    start: IntArray
    member: Indices


def mutual(index_NK: Indices, length: int) -> Flags:
    """Which listed neighbours list the image in return (equation 3).

    Args:
        index_NK: ``(N, K)`` int32 lists, nearest first, the image itself among them.
        length: How many of each list count, on both sides.

    Returns:
        ``(N, length)``, or fewer columns where the lists are shorter.
    """
    lists = index_NK[:, :length]
    flags = np.empty(lists.shape, np.bool_)
    for first in range(0, len(lists), _CHUNK):
        part_nK = lists[first : first + _CHUNK]
        own_n11 = np.arange(first, first + len(part_nK), dtype=np.int32)[:, None, None]
        flags[first : first + _CHUNK] = (lists[part_nK] == own_n11).any(2)
    return flags


def expanded_sets(index_NK: Indices, k1: int, half: int) -> Sets:
    """R*(i) of every image i: its k-reciprocal neighbours, and those of them that agree with it.

    Args:
        index_NK: ``(N, K)`` int32 lists of at least k1 + 1 images, or of all there are.
        k1: How many neighbours, the image itself not counted.
        half: The same for the sets of candidates.

    Returns:
        The sets.
    """
    lists = index_NK[:, : k1 + 1]
    is_mutual = mutual(index_NK, k1 + 1)
    is_close = mutual(index_NK, half + 1)
    counts, members = [], []
    for first in range(0, len(lists), _CHUNK):
        count_n, member = _expand(lists, is_mutual, is_close, first)
        counts.append(count_n)
        members.append(member)
    start = np.concatenate([[0], np.cumsum(np.concatenate(counts), dtype=np.int64)])
    return Sets(start, np.concatenate(members))


def _expand(
    lists: Indices, is_mutual: Flags, is_close: Flags, first: int
) -> tuple[IntArray, Indices]:
    """The sets of one chunk: how many members each has, and the members."""
    total = len(lists)
    part_nK, mutual_nK = lists[first : first + _CHUNK], is_mutual[first : first + _CHUNK]
    line_P, slot_P = np.nonzero(mutual_nK)
    candidate_P = part_nK[line_P, slot_P]
    theirs_PH = lists[candidate_P, : is_close.shape[1]]
    close_PH = is_close[candidate_P]
    # an image that is not mutual is marked by a number that no image has
    ours_nK = np.where(mutual_nK, part_nK, -1)
    shared_PH = (theirs_PH[:, :, None] == ours_nK[line_P][:, None, :]).any(2) & close_PH
    agrees_P = 3 * shared_PH.sum(1) > 2 * close_PH.sum(1)
    pair, slot = np.nonzero(close_PH & agrees_P[:, None])
    key = np.concatenate(
        [line_P * total + candidate_P, line_P[pair] * total + theirs_PH[pair, slot]]
    )
    line_E, member_E = np.divmod(np.unique(key), total)
    return np.bincount(line_E, minlength=len(part_nK)), member_E.astype(np.int32)
