"""The result files of a run as frozen values: the evaluation and the pseudo labels.

Shape letters: N images, C identities.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bagreid.contracts import DISTRACTOR_PID, PADDING, BagreidError, FloatArray, IntArray
from bagreid.evaluation.statistics import wilson_interval
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
        wrong_answers: How many gallery images its matches compete with, ``None`` in files that
            do not say and where it cannot be told from their counts.
        match: The first right image, wherever it stands.
        top: The first images of the ranking, best first.
    """

    row: int | None
    name: str
    pid: int
    camid: int
    rank: int | None
    average_precision: float
    wrong_answers: int | None = None
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
        cmc_interval: That of every rank-k, where the file has them.
        gallery_digest: Equal for galleries of the same identities and cameras, where the file says.
        ties: What became of wrong answers that score as a match does; files that do not say put
            them ahead of it.
        camera_filter: Whether images of the query's person by its own camera are left out.
        reranked: Whether the ranking was changed afterwards by who neighbours whom.
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
    cmc_interval: tuple[tuple[float, float], ...] = ()
    gallery_digest: str | None = None
    ties: str = "pessimistic"
    camera_filter: bool = True
    reranked: bool = False
    queries: tuple[QueryResult, ...]

    def rank(self, k: int) -> float | None:
        """The CMC at rank ``k``, ``None`` when the curve ends before."""
        return self.cmc[k - 1] if len(self.cmc) >= k else None

    def interval(self, k: int) -> tuple[float, float] | None:
        """The 95 % interval of rank ``k``: the file's, else computed, else ``None``."""
        if len(self.cmc_interval) >= k:
            return self.cmc_interval[k - 1]
        share = self.rank(k)
        if k == 1 and self.rank1_interval is not None:
            return self.rank1_interval
        if share is None or not self.counted:
            return None
        return wilson_interval(round(share * self.counted, 6), self.counted)

    @property
    def counted(self) -> int:
        """The number of queries that shares are of; 0 where the file holds no single queries."""
        if self.convention == "sysu30k":
            return len(self.queries)
        return sum(query.rank is not None for query in self.queries)


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
    intervals = _intervals(fields)
    only = _only_wrong(counts)
    interval = fields.numbers("rank1_interval") if "rank1_interval" in fields else []
    if not cmc or len(interval) not in {0, 2}:
        raise BagreidError(
            "an empty 'cmc', or a 'rank1_interval' of other than two ends", path=path
        )
    if not all(0 <= share <= 1 for share in cmc):
        raise BagreidError("'cmc' holds something that is no share", path=path)
    return Evaluation(
        method=fields.text("method"),
        root=fields.text("root") if "root" in fields else None,
        convention=fields.text("convention"),
        counts={key: counts.integer(key) for key in counts.data},
        cmc=tuple(cmc),
        mean_ap=fields.number("mean_ap"),
        mean_inp=fields.number("mean_inp") if "mean_inp" in fields else None,
        rank1_interval=(interval[0], interval[1]) if interval else None,
        cmc_interval=intervals,
        gallery_digest=fields.text("gallery_digest") if "gallery_digest" in fields else None,
        ties=fields.text("ties") if "ties" in fields else "pessimistic",
        camera_filter=fields.truth("camera_filter") if "camera_filter" in fields else True,
        reranked="reranking" in fields,
        queries=tuple(_query(query, only) for query in fields.children("queries")),
    )


def _intervals(fields: Fields) -> tuple[tuple[float, float], ...]:
    if "cmc_interval" not in fields:
        return ()
    return tuple((low, high) for low, high in fields.pairs("cmc_interval"))


def _only_wrong(counts: Fields) -> int | None:
    """Wrong answers of every query of an older file, where its counts leave no doubt.

    With one match a query and no pair left out, all but the junk and that match are wrong.
    """
    needed = ("gallery", "junk", "same_camera", "matches", "queries", "queries_without_match")
    if not all(key in counts for key in needed):
        return None
    gallery, junk, same, matches, queries, without = (counts.integer(key) for key in needed)
    return gallery - junk - 1 if same == 0 and matches == queries and not without else None


def _query(fields: Fields, wrong: int | None) -> QueryResult:
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
        wrong_answers=fields.integer("wrong_answers") if "wrong_answers" in fields else wrong,
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
