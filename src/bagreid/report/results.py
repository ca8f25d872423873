"""The result files of a run as frozen values: the evaluation and the pseudo labels.

Shape letters: N images, C identities.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bagreid.contracts import DISTRACTOR_PID, PADDING, BagreidError, FloatArray, IntArray
from bagreid.report.fields import Fields, read_json

EVALUATION_SCHEMA = "bagreid.evaluation/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One gallery image in a ranked list.

    Attributes:
        row: Its row in the catalog, ``None`` where features came without an archive.
        name: Its path as the list files spell it.
        score: Its similarity to the query; ``None`` where one of the two images is broken.
        person: Who it shows, in words.
        match: Whether that is the person asked for.
    """

    row: int | None
    name: str
    score: float | None
    person: str
    match: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """What one query was answered with.

    Attributes:
        row: Row of the query image in the catalog, ``None`` without an archive.
        name: Path of the query image.
        pid: The person asked for.
        camid: The camera of the query.
        rank: 1 for a match in the first place, ``None`` when the gallery holds no match.
        average_precision: Of this query alone.
        match: The first right image, wherever it stands.
        top: The first images of the ranking, best first.
    """

    row: int | None
    name: str
    pid: int
    camid: int
    rank: int | None
    average_precision: float
    match: Hit | None
    top: tuple[Hit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What ``evaluation.json`` holds; all shares are fractions.

    Attributes:
        method: Name of the method.
        root: The archive, ``None`` where features came without one.
        convention: ``sysu30k`` or ``standard``.
        counts: Queries, gallery images, distractors and so on.
        cmc: Rank-1 first.
        mean_ap: Mean average precision.
        mean_inp: Mean inverse negative penalty, where it was computed.
        rank1_interval: The 95 % interval of rank-1.
        queries: One result a query.
    """

    method: str
    root: str | None
    convention: str
    counts: dict[str, int]
    cmc: tuple[float, ...]
    mean_ap: float
    mean_inp: float | None
    rank1_interval: tuple[float, float] | None
    queries: tuple[QueryResult, ...]

    def rank(self, k: int) -> float | None:
        """The CMC at rank ``k``, ``None`` when the curve ends before."""
        return self.cmc[k - 1] if len(self.cmc) >= k else None


def read_evaluation(path: Path) -> Evaluation | None:
    """Reads an ``evaluation.json``.

    Args:
        path: The file.

    Returns:
        The evaluation, ``None`` when there is no such file yet.

    Raises:
        BagreidError: When it is broken or of another schema.
    """
    if not path.is_file():
        return None
    fields = read_json(path)
    fields.expect_schema(EVALUATION_SCHEMA)
    counts = fields.child("counts")
    cmc = fields.numbers("cmc")
    interval = fields.numbers("rank1_interval") if "rank1_interval" in fields else []
    if not cmc or len(interval) not in {0, 2}:
        raise BagreidError(
            "an empty 'cmc', or a 'rank1_interval' of other than two ends", path=path
        )
    return Evaluation(
        method=fields.text("method"),
        root=fields.text("root") if "root" in fields else None,
        convention=fields.text("convention"),
        counts={key: counts.integer(key) for key in counts.data},
        cmc=tuple(cmc),
        mean_ap=fields.number("mean_ap"),
        mean_inp=fields.number("mean_inp") if "mean_inp" in fields else None,
        rank1_interval=(interval[0], interval[1]) if interval else None,
        queries=tuple(_query(query) for query in fields.children("queries")),
    )


def _query(fields: Fields) -> QueryResult:
    rank = fields.integer("first_match_rank")
    match = None
    if "match" in fields:
        found = fields.child("match")
        match = Hit(
            row=_row(found),
            name=found.text("name"),
            score=found.number("score") if "score" in found else None,
            person=person(fields.integer("pid")),
            match=True,
        )
    return QueryResult(
        row=_row(fields),
        name=fields.text("name"),
        pid=fields.integer("pid"),
        camid=fields.integer("camid"),
        rank=None if rank < 0 else rank + 1,
        average_precision=fields.number("average_precision"),
        match=match,
        top=tuple(_hit(hit) for hit in fields.children("top")),
    )


def _hit(fields: Fields) -> Hit:
    return Hit(
        row=_row(fields),
        name=fields.text("name"),
        score=fields.number("score"),
        person=person(fields.integer("pid")),
        match=fields.truth("match"),
    )


def _row(fields: Fields) -> int | None:
    return fields.integer("row") if "row" in fields else None


def person(pid: int) -> str:
    """Who an identity number stands for, in words."""
    return "a distractor" if pid == DISTRACTOR_PID else f"person {pid}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PseudoLabels:
    """What ``pseudo_labels.npz`` holds.

    Attributes:
        rows: ``(N,)`` int64, catalog rows, ascending.
        label: ``(N,)`` class index the run gave each image.
        confidence: ``(N,)`` how sure it was.
        truth: ``(N,)`` class index, −1 where unknown.
        identities: ``(C,)`` identity number of each class index.
        unlabelled: How many images the file lists without a label: training has not met them.
        root: The archive, ``None`` where the file does not say.
    """

    rows: IntArray
    label: IntArray
    confidence: FloatArray
    truth: IntArray
    identities: IntArray
    unlabelled: int
    root: str | None

    @property
    def accuracy(self) -> float | None:
        """Share of right pseudo labels among the images whose truth is known, ``None`` if none."""
        known = self.truth >= 0
        if not known.any():
            return None
        return float((self.label[known] == self.truth[known]).mean())


def read_pseudo_labels(path: Path) -> PseudoLabels | None:
    """Reads a ``pseudo_labels.npz``.

    Args:
        path: The file.

    Returns:
        The pseudo labels, ``None`` when there is no such file yet.

    Raises:
        BagreidError: When it is no such file, lacks an array, or lengths differ.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            columns = [arrays[key] for key in ("rows", "pseudo_label", "confidence", "truth")]
            identities = arrays["identities"].astype(np.int64)
            root = str(arrays["root"]) if "root" in arrays.files else None
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BagreidError(
            f"holds no pseudo labels ({error})", path=path, remedy="Train again to write it anew"
        ) from error
    if len({column.shape for column in columns}) > 1:
        raise BagreidError("holds arrays of unequal length", path=path)
    kept = np.flatnonzero(columns[1] != PADDING)
    kept = kept[np.argsort(columns[0][kept], kind="stable")]
    rows, label, confidence, truth = (column[kept] for column in columns)
    if label.size and max(label.max(), truth.max()) >= identities.size:
        raise BagreidError("names a class beyond its list of identities", path=path)
    return PseudoLabels(
        rows=rows.astype(np.int64),
        label=label.astype(np.int64),
        confidence=confidence,
        truth=truth.astype(np.int64),
        identities=identities,
        unlabelled=columns[0].size - kept.size,
        root=root,
    )
