"""The writing of a folder of features by one or many processes, from wherever it was stopped.

``plan.json`` says what the folder is to hold and which process writes which shard. It is written
first, and removed with the journals when ``meta.json`` seals the folder.

Shape letters: N images.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.cooperation import Board
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.folders import META, damage, open_features, read_meta, seal
from bagreid.evaluation.pieces import Piece, plan_again, plan_pieces
from bagreid.evaluation.shards import (
    Batch,
    ShardWriter,
    lock,
    read_standing,
    recover,
    shard_bytes,
    shard_path,
)
from bagreid.files import write_json
from bagreid.world import World, of_main

_SCHEMA = "bagreid.extraction/1"
_PLAN = "plan.json"
_LOCK = "extraction.lock"
_OURS = re.compile(r"features-\d{9}\.(npy|npy\.partial|journal)")

Produce = Callable[[int, int], Generator[Batch, None, None]]
"""First place and one past the last → the batches of these images, in order."""

Say = Callable[[str], None]
"""Takes a line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a folder is to hold.

    Attributes:
        count: N.
        job: What the features depend on, in words: they are never mixed with those of another job.
        stored: Type of the stored numbers: float32, float16, bfloat16 or float64.
        batch: Images of a batch.
        source: What makes them, for ``meta.json``.
        images: The images; features, norms and broken images are not known yet.
    """

    count: int
    job: dict[str, str]
    stored: str
    batch: int
    source: str
    images: ImageFeatures

    @property
    def mark(self) -> str:
        """The job as a short text."""
        return hashlib.sha256(orjson.dumps(self.job, option=orjson.OPT_SORT_KEYS)).hexdigest()


def write_features(
    folder: Path,
    task: Task,
    produce: Produce,
    *,
    world: World,
    say: Say | None = None,
    progress: Progress | None = None,
) -> ImageFeatures:
    """Writes a folder, or what is left of it to be written.

    Args:
        folder: The folder, which all processes must see.
        task: What it is to hold.
        produce: Computes batches; asked for whole batches only.
        world: Who computes with whom.
        say: Told where the work begins, where that is not at the beginning.
        progress: Told of the images of all processes.

    Returns:
        The features, memory-mapped; the same on every rank.

    Raises:
        BagreidError: The folder holds something else, or cannot be written, or a process failed.
    """
    with ExitStack() as held:
        begun = of_main(world, lambda: _begin(folder, task, world.size, say, held))
        if begun is not None:
            pieces, done = begun
            board = Board(world, done, task.count, progress)
            with board.work():
                for piece in pieces:
                    if piece.rank == world.rank:
                        _write_piece(folder, piece, task, produce, board)
            of_main(world, lambda: _finish(folder, pieces, task))
    return open_features(folder)


def _begin(
    folder: Path, task: Task, processes: int, say: Say | None, held: ExitStack
) -> tuple[list[Piece], int] | None:
    """Finds out what is left to do; None where nothing is.

    The folder is this command's own until it is let go of.
    """
    path = folder / _LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = held.enter_context(path.open("ab"))
    except OSError as error:
        raise BagreidError(f"cannot be written ({error.strerror})", path=folder) from error
    lock(file, path)
    held.callback(path.unlink, missing_ok=True)
    if _is_finished(folder, task, say):
        return None
    plan = _read_plan(folder, task)
    if plan is None:
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name):
                path.unlink()
        pieces, done = plan_pieces(task.count, task.batch, processes), 0
        _write_plan(folder, task, pieces, processes)
        return pieces, done
    pieces = [Piece(*piece) for piece in plan["pieces"]]
    rows = {p.start: recover(folder, p, task.mark, task.stored).rows for p in pieces}
    if (plan["processes"], plan["batch"]) != (processes, task.batch):
        pieces = plan_again(pieces, rows, task.batch, processes)
        _write_plan(folder, task, pieces, processes)
    done = sum(rows.values())
    if say is not None and done:
        say(f"{folder}: going on, {done:,} of {task.count:,} images are done.")
    return pieces, done


def _is_finished(folder: Path, task: Task, say: Say | None) -> bool:
    """Whether the very features are there; damaged ones are dropped.

    Raises:
        BagreidError: Others are there.
    """
    if not (folder / META).exists():
        return False
    _refuse_others(folder, read_meta(folder).get("job"), task.job)
    trouble = damage(folder)
    if trouble is None:
        _clear(folder)
        if say is not None:
            say(f"{folder}: all {task.count:,} images are done already.")
        return True
    if say is not None:
        say(f"{trouble.path}: {trouble.message}. The features are extracted again.")
    (folder / META).unlink()
    return False


def _refuse_others(folder: Path, found: Any, job: dict[str, str]) -> None:
    if found == job:
        return
    if not isinstance(found, dict):
        differing = "those of an older bagreid, which does not say how they were made"
    else:
        differing = "; ".join(
            f"{key} {found.get(key, 'unknown')} instead of {job.get(key, 'unknown')}"
            for key in sorted(found.keys() | job.keys())
            if found.get(key) != job.get(key)
        )
    raise BagreidError(
        f"holds other features, which are not mixed with these: {differing}",
        path=folder,
        remedy="Name another folder, or remove this one",
    )


def _read_plan(folder: Path, task: Task) -> Any:
    """The plan of an unfinished folder; None where there is none.

    Raises:
        BagreidError: It is for something else.
    """
    try:
        plan = orjson.loads((folder / _PLAN).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    if not isinstance(plan, dict) or plan.get("schema") != _SCHEMA:
        return None
    _refuse_others(folder, plan["job"], task.job)
    return plan


def _write_plan(folder: Path, task: Task, pieces: list[Piece], processes: int) -> None:
    plan = {
        "schema": _SCHEMA,
        "job": task.job,
        "processes": processes,
        "batch": task.batch,
        "pieces": [[piece.start, piece.stop, piece.rank] for piece in pieces],
    }
    write_json(folder / _PLAN, plan, flush=True)


def _write_piece(folder: Path, piece: Piece, task: Task, produce: Produce, board: Board) -> None:
    """Writes a shard from where it stands to its end."""
    if shard_path(folder, piece).exists():
        return
    standing = read_standing(folder, piece)
    with ShardWriter(folder, piece, task.mark, task.stored, standing) as writer:
        if piece.start + standing.rows < piece.stop:
            with closing(produce(piece.start + standing.rows, piece.stop)) as batches:
                for batch in batches:
                    writer.append(batch)
                    board.advance(len(batch.features))
        writer.close()


def _finish(folder: Path, pieces: list[Piece], task: Task) -> None:
    """Seals a folder whose shards are all whole."""
    shards, broken, norms = [], [], []
    dim = 0
    for piece in pieces:
        standing = read_standing(folder, piece)
        dim = standing.dim
        shards.append(
            {
                "file": shard_path(folder, piece).name,
                "start": piece.start,
                "rows": standing.rows,
                "bytes": shard_bytes(standing.rows, dim, task.stored),
                "crc32": standing.crc32,
            }
        )
        broken += standing.broken
        norms += standing.norms
    images = replace(
        task.images,
        features=np.broadcast_to(np.float32(0), (task.count, dim)),  # of which the shape counts
        broken=tuple(broken),
        norms=np.array(norms, np.float64),
    )
    meta = {"source": task.source, "dtype": task.stored, "job": task.job, "shards": shards}
    seal(folder, images, meta)
    _clear(folder)


def _clear(folder: Path) -> None:
    """Removes what only an unfinished folder needs."""
    for path in sorted(folder.glob("features-*.journal")):
        path.unlink()
    (folder / _PLAN).unlink(missing_ok=True)


def collect_features(
    task: Task, produce: Produce, *, world: World, progress: Progress | None = None
) -> ImageFeatures:
    """Keeps features in memory instead.

    Args:
        task: What they are.
        produce: Computes batches.
        world: Who computes with whom: nobody.
        progress: Told of the images done.

    Returns:
        The features, as they would be in a folder.

    Raises:
        ValueError: Many processes have no memory in common.
    """
    if world.size > 1:
        raise ValueError("many processes need a folder for their features")
    features: Tensor | None = None
    norms = np.zeros(task.count)
    broken: list[int] = []
    done = 0
    with closing(produce(0, task.count)) as batches:
        for batch in batches:
            rows = slice(done, done + len(batch.features))
            if features is None:
                features = torch.empty(
                    task.count, batch.features.shape[1], dtype=getattr(torch, task.stored)
                )
            features[rows] = batch.features.to(features.dtype)
            norms[rows] = batch.norms
            broken += batch.broken
            done = rows.stop
            if progress is not None:
                progress(done, task.count)
    assert features is not None
    return replace(
        task.images,
        features=features if task.stored == "bfloat16" else features.numpy(),
        broken=tuple(broken),
        norms=norms,
    )
