"""The result table, and the facts beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bagreid.report.results import Evaluation
from bagreid.report.wording import count, duration, percent
from bagreid.report.work_dir import Method, WorkDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Rank-1 with its 95 % interval, in percent of the bar's width."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method in the table; every number as text, ``None`` where there is none."""

    name: str
    colour: int
    supervision: str | None
    rank1: str | None
    interval: str | None
    bar: Bar | None
    rank5: str | None
    rank5_interval: str | None
    rank10: str | None
    rank10_interval: str | None
    mean_ap: str | None
    mean_inp: str | None
    pseudo_label_accuracy: str | None
    versus: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The result table.

    Attributes:
        rows: One a method.
        bar_end: The share, in percent, at the right end of the bars.
        has_mean_inp: Whether any method has mINP.
        has_versus: Whether methods are set against the main one query by query.
        unlike: Methods evaluated on other queries or by another convention than the main one.
    """

    rows: tuple[Row, ...]
    bar_end: int
    has_mean_inp: bool
    has_versus: bool
    unlike: tuple[str, ...]


def result_table(work: WorkDir) -> Table:
    """Builds the result table of a work dir.

    Args:
        work: What the page is about.

    Returns:
        The table, one row a method, the main one first.
    """
    evaluations = [method.evaluation for method in work.methods if method.evaluation]
    ends = [(e.interval(1) or e.cmc[:1])[-1] for e in evaluations]
    bar_end = min(100, max(10, 10 * math.ceil(10 * max(ends, default=1.0) - 1e-9)))
    rows = tuple(_row(work, place, bar_end) for place in range(len(work.methods)))
    main = work.main.evaluation
    unlike = [
        method.name
        for method in work.methods[1:]
        if main and method.evaluation and not _comparable(main, method.evaluation)
    ]
    return Table(
        rows=rows,
        bar_end=bar_end,
        has_mean_inp=any(e.mean_inp is not None for e in evaluations),
        has_versus=any(row.versus for row in rows),
        unlike=tuple(unlike),
    )


def _row(work: WorkDir, place: int, bar_end: int) -> Row:
    method = work.methods[place]
    result = method.evaluation
    interval = result.interval(1) if result else None
    bar = None
    if result:
        bar = Bar(
            value=_along(result.cmc[0], bar_end),
            low=_along(interval[0], bar_end) if interval else None,
            high=_along(interval[1], bar_end) if interval else None,
        )
    return Row(
        name=method.name,
        colour=place,
        supervision=method.supervision,
        rank1=_text(result.cmc[0] if result else None),
        interval=_span(interval),
        bar=bar,
        rank5=_text(result.rank(5) if result else None),
        rank5_interval=_span(result.interval(5) if result else None),
        rank10=_text(result.rank(10) if result else None),
        rank10_interval=_span(result.interval(10) if result else None),
        mean_ap=_text(result.mean_ap if result else None),
        mean_inp=_text(result.mean_inp if result else None),
        pseudo_label_accuracy=_text(method.pseudo_label_accuracy),
        versus=_versus(work.main.evaluation, result) if place else None,
    )


def _along(share: float, bar_end: int) -> float:
    return round(100 * min(100 * share / bar_end, 1.0), 2)


def _text(share: float | None) -> str | None:
    return None if share is None else percent(share)


def _span(interval: tuple[float, float] | None) -> str | None:
    return f"{percent(interval[0])}\u2013{percent(interval[1])}" if interval else None


def _comparable(main: Evaluation, other: Evaluation) -> bool:
    same_queries = {query.name for query in main.queries} == {query.name for query in other.queries}
    return same_queries and main.convention == other.convention


def _versus(main: Evaluation | None, other: Evaluation | None) -> str | None:
    """Queries only the other, and only the main method, answers first."""
    if main is None or other is None or not _comparable(main, other):
        return None
    first = {query.name for query in main.queries if query.rank == 1}
    theirs = {query.name for query in other.queries if query.rank == 1}
    return f"+{len(theirs - first)}\u2009/\u2009\u2212{len(first - theirs)}"


def facts(work: WorkDir) -> list[tuple[str, str, str]]:
    """The circumstances of the result.

    Args:
        work: What the page is about.

    Returns:
        Heading, value and remark of each fact that is known.
    """
    main = work.main
    return _test_facts(main.evaluation) + _training_facts(main)


def _test_facts(result: Evaluation | None) -> list[tuple[str, str, str]]:
    if result is None:
        return []
    counts = result.counts
    queries = counts.get("queries", len(result.queries))
    found: list[tuple[str, str, str]] = []
    without = counts.get("queries_without_match", 0)
    remark = f"{count(without)} of them without a match" if without else "images to search for"
    found.append(("Queries", count(queries), remark))
    if "gallery" in counts:
        remark = "images to search in"
        if counts.get("distractors"):
            remark = f"{count(counts['distractors'])} of them distractors"
        found.append(("Gallery", count(counts["gallery"]), remark))
    remark = "scores over all queries" if result.convention == "sysu30k" else "as in common tools"
    found.append(("Convention", result.convention, remark))
    if counts.get("broken"):
        found.append(("Broken", count(counts["broken"]), "images that could not be decoded"))
    return found


def _training_facts(method: Method) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    if method.pseudo_labels is not None:
        people = count(method.pseudo_labels.identities.size, "person", "people")
        found.append(("Training images", count(method.pseudo_labels.rows.size), f"of {people}"))
    if method.log.last_step is not None:
        epochs = f"in {count(method.log.epochs, 'epoch')}"
        found.append(("Training steps", count(method.log.last_step), epochs))
    if method.seconds is not None:
        found.append(("Time", duration(method.seconds), "to train the network"))
    return found
