"""The walk shared out: every process goes over its part of the gallery, and the counts add up.

Shape letters: M matches.
"""

from __future__ import annotations

import numpy as np

from bagreid.contracts import BagreidError
from bagreid.evaluation.blocks import Progress, block_size
from bagreid.evaluation.counting import Counted, Part, count_ranks
from bagreid.evaluation.relations import Relations
from bagreid.evaluation.scores import FeatureTable
from bagreid.evaluation.screening import Precision
from bagreid.evaluation.toplist import Ties, joined
from bagreid.world import World, all_objects


def share(gallery: int, block: int, world: World) -> range:
    """The gallery rows of one process: a run of whole blocks.

    Args:
        gallery: Gallery images.
        block: Gallery images a block.
        world: Who asks.

    Returns:
        Rows; none where there are fewer blocks than processes. All processes' together are the
        gallery.
    """
    blocks = -(-gallery // block)
    edges = [
        min(blocks * rank // world.size * block, gallery) for rank in (world.rank, world.rank + 1)
    ]
    return range(*edges)


def count_together(
    queries: FeatureTable,
    gallery: FeatureTable,
    relations: Relations,
    world: World,
    *,
    top: int,
    ties: Ties = "pessimistic",
    block: int | None = None,
    precision: Precision = "auto",
    progress: Progress | None = None,
) -> Counted:
    """Counts as `count_ranks` does, on all processes together.

    Args:
        queries: ``(Q, D)`` features, the same on every process.
        gallery: ``(G, D)`` features, the same on every process, each of which reads its share.
        relations: Which pairs are matches, and which are left out.
        world: The processes.
        top: The length of the lists of best answers.
        ties: Where matches stand among wrong answers of the same score, in the lists.
        block: Gallery images at a time.
        precision: What to screen in.
        progress: Told of this process's share.

    Returns:
        Counts and lists of the whole gallery, the same on every process.

    Raises:
        BagreidError: On every process, when one of them has met a fault.
    """
    size = block or block_size(queries.count, queries.dim)
    fault: Exception | None = None
    part: Part | None = None
    try:
        part = count_ranks(
            queries,
            gallery,
            relations,
            top=top,
            ties=ties,
            block=size,
            precision=precision,
            span=share(gallery.count, size, world),
            progress=progress,
        )
    except Exception as error:  # the others wait for this process and must hear of it
        fault = error
    parts = all_objects(part if fault is None else _as_message(fault, world), world)
    if fault is not None:
        raise fault
    for answer in parts:
        if isinstance(answer, BagreidError):
            raise answer
    return _sum(parts, queries.count, gallery.count, top, ties)


def _as_message(fault: Exception, world: World) -> BagreidError:
    if isinstance(fault, BagreidError):
        return fault
    return BagreidError(f"process {world.rank} failed: {type(fault).__name__}: {fault}")


def _sum(parts: list[Part], queries: int, gallery: int, top: int, ties: Ties) -> Counted:
    """Adds the counts; the matches are the same everywhere and stand in every process's lists."""
    first, *others = parts
    relations, match_score = first.relations, first.match_score
    higher = np.sum([part.higher for part in parts], axis=0)
    # A match that nobody saw is behind all wrong answers.
    unseen = match_score == -np.inf
    higher[unseen] = relations.kept(relations.match_query[unseen], gallery)
    wrong = [part.lists.where(~part.lists.match) for part in others]
    top_index, top_score = joined([first.lists, *wrong]).table(queries, top, ties)
    return Counted(
        match_query=relations.match_query,
        match_gallery=relations.match_gallery,
        match_score=match_score,
        higher=higher,
        equal=np.sum([part.equal for part in parts], axis=0),
        top_index=top_index,
        top_score=top_score,
        undecided=sum(part.undecided for part in parts),
    )
