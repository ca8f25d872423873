"""Which process computes the features of which images: runs of whole batches.

All batches lie on one grid, whatever the number of processes: so the same images meet in a batch,
and the features are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """The images of one shard.

    Attributes:
        start: Place of its first image among all.
        stop: One past its last.
        rank: The process that computes it.
    """

    start: int
    stop: int
    rank: int


def plan_pieces(count: int, batch: int, processes: int) -> list[Piece]:
    """Deals images out, one run each.

    Args:
        count: Images.
        batch: Images of a batch.
        processes: How many share the work; the last get nothing where there are fewer batches.

    Returns:
        The pieces in order; together they are all images.
    """
    return _dealt([(0, count)], batch, processes)


def plan_again(
    pieces: Sequence[Piece], done: Mapping[int, int], batch: int, processes: int
) -> list[Piece]:
    """Deals out what is left, for another number of processes or another size of batch.

    Args:
        pieces: How it was dealt before.
        done: First place of a piece → images of it that are done.
        batch: Images of a batch from now on.
        processes: How many share the work from now on.

    Returns:
        The pieces in order; what is done is a piece of its own, for the first process to close.
    """
    kept: list[Piece] = []
    left: list[tuple[int, int]] = []
    for piece in sorted(pieces):
        until = piece.start + done.get(piece.start, 0)
        if until > piece.start:
            kept.append(Piece(piece.start, until, 0))
        if until < piece.stop:
            if left and left[-1][1] == until:
                left[-1] = left[-1][0], piece.stop
            else:
                left.append((until, piece.stop))
    return sorted([*kept, *_dealt(left, batch, processes)])


def _dealt(runs: Sequence[tuple[int, int]], batch: int, processes: int) -> list[Piece]:
    """Cuts runs at the lines of the grid so that every process gets as many batches, or one less.

    A run that begins between two lines has a grid of its own.
    """
    batches = [-(-(stop - start) // batch) for start, stop in runs]
    total = sum(batches)
    edges = [total * rank // processes for rank in range(processes + 1)]
    pieces = []
    before = 0
    for (start, stop), here in zip(runs, batches, strict=True):
        for rank in range(processes):
            low = max(edges[rank], before) - before
            high = min(edges[rank + 1], before + here) - before
            if low < high:
                first, last = start + low * batch, min(start + high * batch, stop)
                pieces.append(Piece(first, last, rank))
        before += here
    return pieces
