"""What the benchmark of re-ranking runs in processes of its own: ours, and the dense tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reranking_dense import dense_distance

from bagreid.contracts import IntArray
from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.relations import NONE
from bagreid.evaluation.reranking import Reranker, Reranking, find_neighbours
from bagreid.evaluation.reranking.images import ImageSet
from bagreid.evaluation.reranking.keeping import Keeper
from bagreid.evaluation.sources import as_source
from bagreid.world import World

CONFIG = Reranking()
_PEOPLE_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Features on disk: queries, one match of each, then people unasked for.

    Attributes:
        folder: Where they lie.
        queries: Q.
        gallery: G, the matches first.
        dim: D.
        images: Images of a person unasked for, one behind another.
        cosine: About the cosine of two images of a person.
    """

    folder: Path
    queries: int
    gallery: int
    dim: int
    images: int = 12
    cosine: float = 0.15

    @property
    def path(self) -> Path:
        """The file of all features, queries first."""
        name = f"{self.queries}+{self.gallery}x{self.dim}-{self.images}-{self.cosine:g}.npy"
        return self.folder / name

    def write(self) -> None:
        """Writes the features, unless they are there."""
        if self.path.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".partial")
        shape = (self.queries + self.gallery, self.dim)
        rows = np.lib.format.open_memmap(beside, "w+", np.float32, shape)
        rng = np.random.Generator(np.random.Philox(key=32))
        asked = np.tile(np.arange(self.queries), 2)
        self._draw(rng, rows[: len(asked)], asked)
        for start in range(len(asked), len(rows), _PEOPLE_AT_ONCE * self.images):
            part = rows[start : start + _PEOPLE_AT_ONCE * self.images]
            self._draw(rng, part, np.arange(len(part)) // self.images)
        rows.flush()
        beside.rename(self.path)

    def _draw(self, rng: np.random.Generator, rows: Any, person: IntArray) -> None:
        """Fills rows with images of people, numbered from 0."""
        centres = rng.standard_normal((int(person.max()) + 1, self.dim), dtype=np.float32)
        values = rng.standard_normal(rows.shape, dtype=np.float32)
        values *= np.float32(np.sqrt(1 - self.cosine))
        values += np.float32(np.sqrt(self.cosine)) * centres[person]
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        rows[:] = values

    def sides(self) -> tuple[Any, Any]:
        """Queries and gallery, mapped."""
        rows = np.load(self.path, mmap_mode="r")
        return rows[: self.queries], rows[self.queries :]

    def labelled(self) -> dict[str, Any]:
        """All that a ranking takes."""
        query, gallery = self.sides()
        person = np.arange(self.queries)
        return {
            "query_feature": query,
            "query_pid": person,
            "query_camid": np.full(self.queries, 2),
            "gallery_feature": gallery,
            "gallery_pid": np.append(person, np.full(self.gallery - self.queries, -1000)),
            "gallery_camid": np.ones(self.gallery, dtype=np.int64),
        }


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes:
        seconds: Of each stage.
        ranks: ``(Q,)`` places of the matches, from 0.
        rank1: Share of first places.
        mean_ap: Mean average precision.
        before: Both without re-ranking.
    """

    seconds: dict[str, float]
    ranks: IntArray
    rank1: float
    mean_ap: float
    before: tuple[float, float]


def ours(problem: Problem, keep: Path | None) -> Outcome:
    """Re-ranks as `bagreid evaluate --rerank` does.

    Args:
        problem: What to rank.
        keep: Where the state of the neighbour search is.
    """
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[Progress]:
        begun = time.perf_counter()
        yield lambda _done, _total: None
        seconds[name] = time.perf_counter() - begun

    everything = problem.labelled()
    with stage("plain ranking"):
        plain = evaluate_ranking(**everything, convention="sysu30k")
    reranker = Reranker(config=CONFIG, keep=keep, stage=stage)
    with stage("in all"):
        result = evaluate_ranking(**everything, convention="sysu30k", reranker=reranker)
    before = plain.rank(1), plain.mean_ap
    return Outcome(seconds, result.first_match_rank, result.rank(1), result.mean_ap, before)


def narrow_search(problem: Problem, narrow: Problem, keep: Path) -> float:
    """Leaves the neighbours of narrower features as those of the problem, as if they were its own.

    Args:
        problem: Whose later stages are to be run.
        narrow: As many images in fewer dimensions.
        keep: Where the state goes.

    Returns:
        Seconds of the search.
    """
    images = [_images(each) for each in (problem, narrow)]
    keeper = Keeper(keep, images[0], CONFIG.listed, World())
    begun = time.perf_counter()
    find_neighbours(images[1], CONFIG.listed, keeper=keeper)
    return time.perf_counter() - begun


def _images(problem: Problem) -> ImageSet:
    query, gallery = (as_source(side) for side in problem.sides())
    return ImageSet(query, gallery, NONE, NONE, torch.device("cpu"))


def dense(problem: Problem, dtype: type) -> Outcome:
    """Re-ranks by whole tables."""
    rows = np.concatenate(problem.sides())
    begun = time.perf_counter()
    distance = dense_distance(
        rows, problem.queries, CONFIG.k1, CONFIG.k2, CONFIG.original_weight, dtype
    )
    own = distance[np.arange(problem.queries), np.arange(problem.queries)]
    ranks = (distance <= own[:, None]).sum(1) - 1
    seconds = {"in all": time.perf_counter() - begun}
    precision = (np.where(ranks > 0, 0.0, 1.0) + 1 / (ranks + 1)) / 2
    nan = float("nan")
    return Outcome(seconds, ranks, float((ranks == 0).mean()), float(precision.mean()), (nan, nan))
