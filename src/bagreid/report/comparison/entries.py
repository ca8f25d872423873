"""Evaluations as they are set side by side: read, named apart, and turned into arrays.

Shape letters: Q queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bagreid.contracts import BagreidError, Convention, FloatArray, IntArray, printable
from bagreid.evaluation.needle import PLACES, NeedleCurve, needle_curve
from bagreid.report.results import Evaluation, read_evaluation

FILE = "evaluation.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One evaluation: what to call it, where it was read, and what it holds."""

    name: str
    path: Path
    evaluation: Evaluation


def read_entries(paths: Sequence[Path]) -> list[Entry]:
    """Reads evaluations and tells methods of the same name apart by their files.

    Args:
        paths: Files, or folders with an ``evaluation.json``.

    Returns:
        One entry a path, in order.

    Raises:
        BagreidError: When one is absent, broken, or holds no single queries.
    """
    files = [path / FILE if path.is_dir() else path for path in paths]
    found = [_read(file) for file in files]
    methods = Counter(evaluation.method for evaluation in found)
    stems = Counter((e.method, file.stem) for e, file in zip(found, files, strict=True))
    entries = []
    for evaluation, file in zip(found, files, strict=True):
        name = evaluation.method
        if methods[name] > 1:
            told = file.stem if stems[name, file.stem] == 1 else str(file)
            name = f"{name} ({told})"
        entries.append(Entry(name=printable(name), path=file, evaluation=evaluation))
    return entries


def _read(path: Path) -> Evaluation:
    evaluation = read_evaluation(path)
    if evaluation is None:
        raise BagreidError(
            "is not there", path=path, remedy="Write it with bagreid evaluate … --json FILE"
        )
    if evaluation.convention not in {"sysu30k", "standard"}:
        raise BagreidError(f"its convention is {evaluation.convention!r}", path=path)
    if not evaluation.counted:
        raise BagreidError("holds no query to compare", path=path)
    _check_against_queries(evaluation, path)
    return evaluation


def _check_against_queries(evaluation: Evaluation, path: Path) -> None:
    """Refuses files whose totals are not those of their queries: something was cut or mixed."""
    ranks = first_ranks(evaluation)
    rank1 = float(np.sum(ranks == 0)) / evaluation.counted
    mean_ap = float(precisions(evaluation).sum()) / evaluation.counted
    for name, told, summed in (
        ("rank-1", evaluation.cmc[0], rank1),
        ("mAP", evaluation.mean_ap, mean_ap),
    ):
        # Ties that count by halves are in the totals, not in the queries' whole ranks.
        if evaluation.ties != "mean" and abs(told - summed) > 1e-6:
            raise BagreidError(
                f"says {name} {told:.4f}, its queries give {summed:.4f}",
                path=path,
                remedy="Evaluate again",
            )


def first_ranks(evaluation: Evaluation) -> IntArray:
    """``(Q,)`` int64, wrong answers ahead of each query's best match, −1 where it has none."""
    return np.array([-1 if q.rank is None else q.rank - 1 for q in evaluation.queries], np.int64)


def precisions(evaluation: Evaluation) -> FloatArray:
    """``(Q,)`` float64, each query's average precision, 0 where it has no match."""
    return np.array(
        [0.0 if q.rank is None else q.average_precision for q in evaluation.queries], np.float64
    )


def convention_of(evaluation: Evaluation) -> Convention:
    """The convention as the ranking's code spells it."""
    return "sysu30k" if evaluation.convention == "sysu30k" else "standard"


def needle_trouble(evaluation: Evaluation) -> str | None:
    """Why an evaluation has no needle curve; None where it has one."""
    matched = [query for query in evaluation.queries if query.rank is not None]
    if not matched:
        return "its file holds no single queries"
    if evaluation.reranked:
        return (
            "it is re-ranked, so its scores depend on the whole gallery, and a smaller one has to "
            "be tested itself"
        )
    wrong = [query.wrong_answers for query in matched]
    known = [number for number in wrong if number is not None]
    if len(known) < len(wrong):
        return (
            "its file does not say how many wrong answers each match competes with; evaluate "
            "again to have it"
        )
    if any(q.rank - 1 > n for q, n in zip(matched, known, strict=True) if q.rank):
        return "its file has a match behind more images than the gallery holds"
    return None if max(known) > 1 else "its gallery has less than two wrong answers"


def needle_of(
    evaluation: Evaluation, places: Sequence[int] = PLACES, sizes: IntArray | None = None
) -> NeedleCurve:
    """The needle curve of an evaluation that `needle_trouble` finds nothing wrong with.

    Args:
        evaluation: The result.
        places: The k.
        sizes: Wrong answers in the gallery; from 100 to all where left out.

    Returns:
        Expected rank-k.
    """
    wrong = [0 if q.wrong_answers is None else q.wrong_answers for q in evaluation.queries]
    return needle_curve(
        first_ranks(evaluation),
        np.array(wrong, np.int64),
        convention=convention_of(evaluation),
        places=places,
        sizes=sizes,
    )
