"""A slow, literal evaluation to compare with: exact arithmetic, every list sorted."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]


@dataclass
class Literal:
    first: list[int]
    ap: list[float]
    inp: list[float]
    top: list[list[int]]

    def mean(self, values: list[float], convention: str) -> float:
        if convention == "sysu30k":
            return sum(values) / len(values)
        return sum(values) / sum(rank >= 0 for rank in self.first)

    def cmc(self, convention: str, length: int = 50) -> list[float]:
        hits = [[float(0 <= rank <= k) for rank in self.first] for k in range(length)]
        return [self.mean(row, convention) for row in hits]


def inner(left: Array, right: Array) -> Fraction:
    return sum(
        (Fraction(float(a)) * Fraction(float(b)) for a, b in zip(left, right, strict=True)),
        Fraction(0),
    )


def rank_literally(
    query_feature: Array,
    query_pid: Array,
    query_camid: Array,
    gallery_feature: Array,
    gallery_pid: Array,
    gallery_camid: Array,
    convention: str,
    query_broken: Sequence[int] = (),
    gallery_broken: Sequence[int] = (),
) -> Literal:
    result = Literal([], [], [], [])
    queries = zip(query_feature, query_pid, query_camid, strict=True)
    for q, (feature, pid, camid) in enumerate(queries):
        kept = []
        for g in range(len(gallery_pid)):
            if gallery_pid[g] == -1:
                continue
            same = pid >= 0 and gallery_pid[g] == pid
            if same and gallery_camid[g] == camid:
                continue
            unseen = q in query_broken or g in gallery_broken
            score = Fraction(0) if unseen else inner(feature, gallery_feature[g])
            kept.append((unseen, -score, bool(same), g))
        # the unseen last; wrong answers (False) before matches (True) of the same score
        kept.sort()
        hits = [place for place, (_, _, same, _) in enumerate(kept) if same]
        result.first.append(hits[0] if hits else -1)
        result.ap.append(average_precision(hits, convention))
        result.inp.append(len(hits) / (hits[-1] + 1) if hits else 0.0)
        result.top.append([g for unseen, _, _, g in kept[:10] if not unseen])
    return result


def average_precision(hits: list[int], convention: str) -> float:
    total = 0.0
    for found, place in enumerate(hits):
        at = (found + 1) / (place + 1)
        before = found / place if place else 1.0
        total += at if convention == "standard" else (before + at) / 2
    return total / len(hits) if hits else 0.0
