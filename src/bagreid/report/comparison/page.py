"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bagreid.report.comparison.entries import Entry
from bagreid.report.comparison.pairing import Pair
from bagreid.report.comparison.verdict import (
    cautions,
    interval_text,
    p_text,
    signed_points,
    verdict,
)
from bagreid.report.environment import page_environment
from bagreid.report.statistics.marks import Figure
from bagreid.report.statistics.on_page import on_page
from bagreid.report.table import facts, result_table
from bagreid.report.wording import count, listed, percent
from bagreid.report.wording import headline as headline_of_one
from bagreid.report.work_dir import Method, WorkDir


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRow:
    """A measure of two methods as text."""

    name: str
    first: str
    second: str
    difference: str
    interval: str
    only_first: str | None
    only_second: str | None
    p_value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """A query that changed much, as text."""

    name: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCard:
    """A pair of methods as the template takes it."""

    title: str
    verdict: str
    first: str
    second: str
    rows: tuple[MeasureRow, ...]
    scatter: object
    better: tuple[ChangeRow, ...]
    worse: tuple[ChangeRow, ...]


def headline(entries: Sequence[Entry], pairs: Sequence[Pair]) -> str:
    """The outcome in a sentence.

    Args:
        entries: The methods.
        pairs: The first against each of the others; none where nothing is tested.

    Returns:
        The verdict of a single pair, what is set against what, or the result of a single method.
    """
    if len(pairs) == 1:
        return verdict(pairs[0])
    if pairs:
        others = listed([pair.second.name for pair in pairs])
        queries = count(pairs[0].queries, "query", "queries")
        return f"{pairs[0].first.name} against {others} on the same {queries}."
    if len(entries) == 1:
        return headline_of_one(_as_work(entries))
    return f"{listed([entry.name for entry in entries])}, side by side and not tested."


def render(
    entries: Sequence[Entry],
    pairs: Sequence[Pair],
    curves: Sequence[Figure],
    ranks: Sequence[Figure],
    scatters: Sequence[Figure],
) -> str:
    """Renders the page.

    Args:
        entries: The methods, the first one first.
        pairs: The first against each of the others.
        curves: CMC and needle curves.
        ranks: First-match ranks.
        scatters: Ranks against ranks, one a pair.

    Returns:
        The HTML.
    """
    work = _as_work(entries)
    table = result_table(work)
    several = len(pairs) > 1
    cards = [
        _card(pair, scatter, several=several) for pair, scatter in zip(pairs, scatters, strict=True)
    ]
    return (
        page_environment()
        .get_template("comparison.html.j2")
        .render(
            headline=headline(entries, pairs),
            names=[entry.name for entry in entries],
            facts=facts(work),
            remarks=cautions([(e.name, e.evaluation) for e in entries], pairs),
            table=replace(table, has_versus=False),
            pairs=cards,
            several=several,
            curves=[on_page(figure) for figure in curves],
            needles=any(figure.name.startswith("needle") for figure in curves),
            ranks=[on_page(figure) for figure in ranks],
            files=[str(entry.path) for entry in entries],
        )
    )


def _as_work(entries: Sequence[Entry]) -> WorkDir:
    """The evaluations as the methods of a work dir, whose tables and words serve here too."""
    methods = tuple(Method(name=e.name, evaluation=e.evaluation) for e in entries)
    return WorkDir(
        path=Path(), title="Comparison", root=None, methods=methods, compared=len(methods) > 1
    )


def measure_rows(pair: Pair) -> tuple[MeasureRow, ...]:
    """Rank-1, 5, 10 and mAP of a pair as text, in percent and points.

    Args:
        pair: Two methods.

    Returns:
        A row a measure; mAP has no queries of its own that only one answers.
    """
    rows = [
        MeasureRow(
            name=f"Rank-{found.k}",
            first=percent(found.difference.first),
            second=percent(found.difference.second),
            difference=signed_points(found.difference.value),
            interval=interval_text(found.difference),
            only_first=count(found.discordance.only_first),
            only_second=count(found.discordance.only_second),
            p_value=p_text(found.discordance.p_value).removeprefix("= "),
        )
        for found in pair.ranks
    ]
    mean = MeasureRow(
        name="mAP",
        first=percent(pair.mean_ap.first),
        second=percent(pair.mean_ap.second),
        difference=signed_points(pair.mean_ap.value),
        interval=interval_text(pair.mean_ap),
        only_first=None,
        only_second=None,
        p_value=None,
    )
    return (*rows, mean)


def _card(pair: Pair, scatter: Figure, *, several: bool) -> PairCard:
    changed = [
        ChangeRow(
            name=PurePosixPath(change.name).name,
            first=count(change.first),
            second=count(change.second),
        )
        for change in pair.changes
    ]
    better = sum(change.first < change.second for change in pair.changes)
    return PairCard(
        title=f"{pair.first.name} against {pair.second.name}",
        verdict=verdict(pair, corrected=several),
        first=pair.first.name,
        second=pair.second.name,
        rows=measure_rows(pair),
        scatter=on_page(scatter),
        better=tuple(changed[:better]),
        worse=tuple(changed[better:]),
    )
