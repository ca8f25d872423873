"""Evaluations made up from ranks, as bagreid evaluate writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def record(
    ranks: Sequence[int],
    *,
    wrong: int = 500,
    method: str = "A",
    convention: str = "sysu30k",
    names: Sequence[str] | None = None,
    rows: Sequence[int] | None = None,
    pids: Sequence[int] | None = None,
) -> dict[str, Any]:
    """An ``evaluation.json`` of queries with one match each, at ranks from 0, −1 for none."""
    found = np.array(ranks, np.int64)
    have = found >= 0
    precision = np.where(have, 1 / (1.0 + np.maximum(found, 0)), 0.0)
    counted = len(found) if convention == "sysu30k" else max(int(have.sum()), 1)
    queries = [
        {
            "row": None if rows is None else rows[place],
            "name": f"query {place}" if names is None else names[place],
            "pid": place if pids is None else pids[place],
            "camid": 2,
            "first_match_rank": int(rank),
            "wrong_answers": wrong,
            "average_precision": float(precision[place]),
            "match": None,
            "top": [],
        }
        for place, rank in enumerate(found)
    ]
    return {
        "schema": "bagreid.evaluation/1",
        "method": method,
        "root": None,
        "convention": convention,
        "ties": "pessimistic",
        "counts": {
            "queries": len(found),
            "gallery": wrong + 1,
            "matches": int(have.sum()),
            "distractors": wrong,
            "junk": 0,
            "same_camera": 0,
            "queries_without_match": int((~have).sum()),
            "ties": 0,
            "broken": 0,
        },
        "cmc": [float((have & (found < k)).sum() / counted) for k in range(1, 51)],
        "mean_ap": float(precision.sum() / counted),
        "mean_inp": float(precision.sum() / counted),
        "queries": queries,
    }


def written(path: Path, content: dict[str, Any]) -> Path:
    """Writes a record to a file."""
    path.write_text(json.dumps(content))
    return path


def hard_and_easy(queries: int, seed: int, *, worse: float = 0, wrong: int = 479_729) -> list[int]:
    """Ranks whose difficulty two methods share, from first places to the end of the gallery."""
    shared = np.random.default_rng(0).normal(size=queries)
    own = np.random.default_rng(seed).normal(size=queries)
    height = 10 ** (1.6 * (shared + 0.6 * own + worse + 0.4)) - 1
    return np.clip(np.floor(height), 0, wrong).astype(int).tolist()
