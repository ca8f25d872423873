"""A result as ``evaluation.json``: totals, and for every query its ranked list."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bagreid.catalog import Catalog
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.ranking import RankingResult
from bagreid.files import write_json

SCHEMA = "bagreid.evaluation/1"
"""The format written here; `bagreid.report` reads it."""

Namer = Callable[[int], str]


def namer(images: ImageFeatures, side: str, catalog: Catalog | None) -> Namer:
    """How the images of one side are called: by the catalog, their own names, else by number.

    Args:
        images: The side's images.
        side: ``query`` or ``gallery``.
        catalog: The archive, where there is one.

    Returns:
        Position → name.
    """
    rows, names = images.rows, images.names
    if names is not None:
        return lambda position: names[position]
    if catalog is None or rows is None:
        return lambda position: f"{side} {position}"
    return lambda position: catalog.name(int(rows[position]))


def evaluation_record(
    result: RankingResult,
    query: ImageFeatures,
    gallery: ImageFeatures,
    *,
    method: str,
    catalog: Catalog | None = None,
) -> dict[str, Any]:
    """All of a result as plain values.

    Args:
        result: The ranking.
        query: The queries it ranks for.
        gallery: The images it ranks.
        method: What to call the method.
        catalog: The archive, for the names of its images.

    Returns:
        The content of ``evaluation.json``; shares are fractions.
    """
    name_query, name_gallery = namer(query, "query", catalog), namer(gallery, "gallery", catalog)
    return {
        "schema": SCHEMA,
        "method": method,
        "root": None if query.root is None else str(query.root),
        "convention": result.convention,
        "ties": result.ties,
        "counts": _counts(result, len(query.broken) + len(gallery.broken)),
        "broken": [
            *_broken_names(query, catalog),
            *_broken_names(gallery, catalog),
        ],
        "cmc": result.cmc.tolist(),
        "mean_ap": result.mean_ap,
        "mean_inp": result.mean_inp,
        "rank1_interval": list(result.rank1_interval),
        "cmc_interval": result.cmc_interval.tolist(),
        "gallery_digest": _digest(gallery),
        "queries": [
            {
                "row": _row(query, position),
                "name": name_query(position),
                "pid": int(query.pids[position]),
                "camid": int(query.camids[position]),
                "first_match_rank": int(result.first_match_rank[position]),
                "wrong_answers": int(result.wrong_answers[position]),
                "average_precision": float(result.average_precision[position]),
                "match": _match(result, position, gallery, name_gallery),
                "top": _top(result, position, int(query.pids[position]), gallery, name_gallery),
            }
            for position in range(result.counts.queries)
        ],
    }


def _counts(result: RankingResult, broken: int) -> dict[str, int]:
    """What was ranked; how often float32 could not decide is no property of the result."""
    counts = asdict(result.counts)
    del counts["undecided"]
    return {**counts, "broken": broken}


def _digest(gallery: ImageFeatures) -> str:
    """Tells galleries apart by their images' identities and cameras, in whatever order."""
    ids = np.stack([gallery.pids, gallery.camids], axis=1).astype("<i8")
    ordered = np.ascontiguousarray(ids[np.lexsort(ids.T)])
    return hashlib.blake2b(ordered.tobytes(), digest_size=16).hexdigest()


def _broken_names(images: ImageFeatures, catalog: Catalog | None) -> list[str]:
    return [] if catalog is None else [catalog.name(row) for row in images.broken]


def _row(images: ImageFeatures, position: int) -> int | None:
    return None if images.rows is None else int(images.rows[position])


def _image(
    images: ImageFeatures, position: int, name: Namer, score: float | None
) -> dict[str, Any]:
    return {
        "row": _row(images, position),
        "name": name(position),
        "pid": int(images.pids[position]),
        "camid": int(images.camids[position]),
        "score": score,
    }


def _match(
    result: RankingResult, position: int, gallery: ImageFeatures, name: Namer
) -> dict[str, Any] | None:
    where, score = int(result.match_index[position]), float(result.match_score[position])
    seen = np.isfinite(score)  # a broken match, or that of a broken query, has no score
    return None if where < 0 else _image(gallery, where, name, score if seen else None)


def _top(
    result: RankingResult, position: int, pid: int, gallery: ImageFeatures, name: Namer
) -> list[dict[str, Any]]:
    """Whatever is in the list with the query's identity is a match: the rest was left out."""
    places = np.flatnonzero(result.top_index[position] >= 0)
    hits = [
        (int(result.top_index[position, place]), float(result.top_score[position, place]))
        for place in places
    ]
    return [
        {
            **_image(gallery, where, name, score),
            "match": pid >= 0 and int(gallery.pids[where]) == pid,
        }
        for where, score in hits
    ]


def write_evaluation(record: dict[str, Any], path: Path) -> None:
    """Writes ``evaluation.json``, complete or not at all.

    Args:
        record: What `evaluation_record` gave.
        path: The file; its folder is made.

    Raises:
        BagreidError: When it cannot be written.
    """
    write_json(path, record)
