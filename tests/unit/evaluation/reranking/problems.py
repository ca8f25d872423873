"""Small problems with whatever makes re-ranking hard."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["random", "clustered", "tied", "equal"]


def features_of(kind: Kind, number: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Normalised features; those of ``tied`` and ``equal`` have norm 1 to the last bit."""
    if kind == "equal":
        return np.tile(np.array([0.5, -0.5, 0.5, 0.5], np.float32), (number, 1))
    if kind == "tied":  # four of the eight numbers are ±1/2: few products, and all of them exact
        values = np.zeros((number, 8), np.float32)
        for row in values:
            row[rng.choice(8, 4, replace=False)] = rng.choice([-0.5, 0.5, 0.5, 0.5], 4)
        return values
    values = rng.standard_normal((number, 24))
    if kind == "clustered":
        centres = rng.standard_normal((max(1, number // 6), 24))
        values = centres[rng.integers(0, len(centres), number)] + 0.4 * values
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values.astype(np.float32)


def draw_problem(seed: int, queries: int, gallery: int, kind: Kind) -> dict[str, Any]:
    """Few identities and cameras: several matches a query, junk, distractors, filtered pairs."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    features = features_of(kind, queries + gallery, rng)
    problem: dict[str, Any] = {
        "query_feature": features[:queries],
        "query_pid": rng.choice([0, 1, 2, 3, 9, -1, -1000], queries),
        "query_camid": rng.choice([1, 2, 12], queries),
        "gallery_feature": features[queries:],
        "gallery_pid": rng.choice([0, 1, 2, 3, 4, -1, -1000, -1000], gallery),
        "gallery_camid": rng.choice([1, 2, 12], gallery),
    }
    problem["query_pid"][0], problem["query_camid"][0] = 0, 1
    problem["gallery_pid"][-1], problem["gallery_camid"][-1] = 0, 2
    return problem


def draw_broken(problem: dict[str, Any], seed: int, share: float) -> None:
    """Adds rows that nobody could decode; their features are zeros, as extraction leaves them."""
    rng = np.random.Generator(np.random.Philox(key=seed + 1))
    for side in ("query", "gallery"):
        features = problem[f"{side}_feature"].copy()
        broken = np.flatnonzero(rng.random(len(features)) < share)
        features[broken] = 0
        problem[f"{side}_feature"], problem[f"{side}_broken"] = features, broken
