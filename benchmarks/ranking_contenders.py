"""Ways to rank a gallery, each behind one call: features on disk in, rank-1 and mAP out.

Each runs in a process of its own. fast-reid and torchreid are loaded file by file from where
`ranking_rivals.py` put them: their packages pin a torch of 2022.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from bagreid.evaluation import evaluate_ranking

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is ranked.

    Attributes:
        folder: Where `query.npy` and `gallery.npy` lie, float32.
        rivals: Where the other toolboxes lie.
        queries: How many of the queries; None: all.
        gallery: How many of the gallery's images; None: all.
    """

    folder: Path
    rivals: Path
    queries: int | None = None
    gallery: int | None = None

    def features(self) -> tuple[Array, Array]:
        """Query and gallery, memory-mapped; writable, as torch wants them, but never written to."""
        query, gallery = (
            np.load(self.folder / f"{side}.npy", mmap_mode="c") for side in ("query", "gallery")
        )
        return query[: self.queries], gallery[: self.gallery]

    def identities(self) -> tuple[Array, Array, Array, Array]:
        """Identities and cameras of the queries, then of the gallery: one match a query."""
        query, gallery = self.features()
        people = np.arange(len(query))
        strangers = np.arange(len(query), len(gallery))
        return (
            people,
            np.full(len(query), 2),
            np.concatenate([people, strangers]),
            np.ones(len(gallery), np.int64),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a contender found out.

    Attributes:
        rank1: A fraction; NaN where none is computed.
        mean_ap: A fraction, by the steps of precision; NaN likewise.
        seconds: If it timed itself, because only a part counts; else None.
        more: What else is worth knowing.
    """

    rank1: float = float("nan")
    mean_ap: float = float("nan")
    seconds: float | None = None
    more: dict[str, Any] | None = None


def ours(problem: Problem, precision: Literal["auto", "float32"]) -> Outcome:
    """bagreid, from memory-mapped features."""
    (query, gallery), ids = problem.features(), problem.identities()
    result = evaluate_ranking(
        query, ids[0], ids[1], gallery, ids[2], ids[3],
        convention="standard", precision=precision,
    )  # fmt: skip
    return Outcome(result.rank(1), result.mean_ap, more={"undecided": result.counts.undecided})


def bare_product(problem: Problem, block: int) -> Outcome:
    """Only the float32 products, into one buffer that is used again: no float32 can be faster."""
    query, gallery = (torch.from_numpy(side) for side in problem.features())
    buffer = torch.empty(len(query) * block)
    for start in range(0, len(gallery), block):
        part = gallery[start : start + block]
        torch.mm(query, part.T, out=buffer[: len(query) * len(part)].view(len(query), len(part)))
    return Outcome()


def faiss_flat(problem: Problem) -> Outcome:
    """FAISS, exact inner products, the best 50; filling the index is not counted."""
    import faiss

    query, gallery = problem.features()
    index = faiss.IndexFlatIP(query.shape[1])
    for start in range(0, len(gallery), 1 << 16):
        index.add(np.ascontiguousarray(gallery[start : start + (1 << 16)]))
    queries, begun = np.ascontiguousarray(query), time.perf_counter()
    _, found = index.search(queries, 50)
    seconds = time.perf_counter() - begun
    return Outcome(float(np.mean(found[:, 0] == np.arange(len(query)))), seconds=seconds)


def fastreid(problem: Problem) -> Outcome:
    """fast-reid: the whole matrix of cosine distances, then its Cython ranking."""
    rank = _module("fastreid_rank", problem.rivals / "fastreid/evaluation/rank.py")
    if not rank.IS_CYTHON_AVAI:
        raise RuntimeError("fast-reid's Cython part is not built")
    cmc, average_precision, _ = rank.evaluate_rank(
        _distances(problem), *_in_their_order(problem), 50, False, True
    )
    return Outcome(float(cmc[0]), float(np.mean(average_precision)))


def torchreid(problem: Problem, sample: int) -> Outcome:
    """torchreid: the same matrix, ranked in Python (its Cython part is not in the release).

    Ranking takes a step of Python for every pair, a quarter of an hour in all: some queries are
    ranked, and their time is scaled.
    """
    rank = _module("torchreid_rank", problem.rivals / "torchreid/reid/metrics/rank.py")
    begun = time.perf_counter()
    distances = _distances(problem)
    made = time.perf_counter()
    query_pid, gallery_pid, query_camid, gallery_camid = _in_their_order(problem)
    some = slice(None, None, len(query_pid) // sample)
    cmc, mean_ap = rank.evaluate_rank(
        distances[some], query_pid[some], gallery_pid, query_camid[some], gallery_camid, 50
    )
    scale = len(query_pid) / len(query_pid[some])
    seconds = made - begun + (time.perf_counter() - made) * scale
    return Outcome(float(cmc[0]), float(mean_ap), seconds, {"sample": len(query_pid[some])})


def _distances(problem: Problem) -> Array:
    query, gallery = (torch.from_numpy(side) for side in problem.features())
    distances: Array = (1 - query @ gallery.T).numpy()
    return distances


def _in_their_order(problem: Problem) -> tuple[Array, Array, Array, Array]:
    query_pid, query_camid, gallery_pid, gallery_camid = problem.identities()
    return query_pid, gallery_pid, query_camid, gallery_camid


def sort_each(problem: Problem, sample: int) -> Outcome:
    """One product and one sort a query, as the released script; some queries, scaled to all."""
    query, gallery = (torch.from_numpy(side) for side in problem.features())
    query_pid, query_camid, gallery_pid, gallery_camid = problem.identities()
    hits, precisions, begun = 0, 0.0, time.perf_counter()
    chosen = np.linspace(0, len(query) - 1, sample).astype(int)
    for row in chosen.tolist():
        order = np.argsort(torch.mv(gallery, query[row]).numpy())[::-1]
        same = gallery_pid == query_pid[row]
        wrong_camera = np.flatnonzero(same & (gallery_camid == query_camid[row]))
        order = order[~np.isin(order, wrong_camera)]
        places = np.flatnonzero(np.isin(order, np.flatnonzero(same)))
        hits += int(places[0] == 0)
        precisions += float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))
    scale = len(query) / sample
    seconds = (time.perf_counter() - begun) * scale
    return Outcome(hits / sample, precisions / sample, seconds, {"sample": sample})


def _module(name: str, path: Path) -> ModuleType:
    """A file of a package, without the package: only what lies beside it can be imported by it."""
    package = ModuleType(name)
    package.__path__ = [str(path.parent)]
    sys.modules[name] = package
    spec = importlib.util.spec_from_file_location(f"{name}.rank", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"{name}.rank"] = module
    spec.loader.exec_module(module)
    return module


BLOCKS = (2048, 4096)
"""Gallery images at a time of the bare product; the faster one counts."""

OURS = "bagreid"
OURS_FLOAT32 = "bagreid, float32 only"

CONTENDERS: dict[str, Callable[[Problem], Outcome]] = {
    **{f"bare float32 product, blocks of {block}": partial(bare_product, block=block)
       for block in BLOCKS},
    OURS: partial(ours, precision="auto"),
    OURS_FLOAT32: partial(ours, precision="float32"),
    "FAISS IndexFlatIP, the best 50": faiss_flat,
    "fast-reid, Cython": fastreid,
    "torchreid, scaled from 50 queries": partial(torchreid, sample=50),
    "a sort for each query, scaled from 20": partial(sort_each, sample=20),
}  # fmt: skip
"""By the name in the table."""
