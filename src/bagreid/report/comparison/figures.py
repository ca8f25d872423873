"""Which figures evaluations get: CMC, needle curves, first-match ranks, query against query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bagreid.contracts import printable
from bagreid.evaluation.needle import PLACES, NeedleCurve
from bagreid.report.comparison.entries import first_ranks, needle_of, needle_trouble
from bagreid.report.comparison.lines import TONES, LineWords, ShareLine, share_lines
from bagreid.report.comparison.ranks import column_counts, rank_columns, rank_limits
from bagreid.report.results import Evaluation
from bagreid.report.statistics.marks import Figure
from bagreid.report.wording import count


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """A method in the figures.

    Attributes:
        name: What to call it.
        number: Of its colour.
        evaluation: Its result.
        curve: Its needle curve for rank-1, 5 and 10; None where it has none.
    """

    name: str
    number: int
    evaluation: Evaluation
    curve: NeedleCurve | None


def drawn(name: str, number: int, evaluation: Evaluation) -> Drawn:
    """A method ready for the figures, its needle curve computed once for all of them.

    Args:
        name: What to call it; what cannot be printed is spelled out.
        number: Of its colour.
        evaluation: Its result.

    Returns:
        The method.
    """
    curve = None if needle_trouble(evaluation) else needle_of(evaluation, PLACES)
    return Drawn(name=printable(name), number=number, evaluation=evaluation, curve=curve)


_CMC_TICKS = (1, 5, 10, 20, 30, 40, 50)


def cmc_figure(methods: Sequence[Drawn]) -> Figure | None:
    """The CMC of every method in the band of its intervals; None where there is none to draw."""
    lines = []
    for method in methods:
        evaluation = method.evaluation
        bands = [evaluation.interval(k) for k in range(1, len(evaluation.cmc) + 1)]
        # A file without single queries has an interval for rank-1 at most: a line without a band.
        ends = [b or (s, s) for b, s in zip(bands, evaluation.cmc, strict=True)]
        lines.append(
            ShareLine(
                name=method.name,
                number=method.number,
                x=np.arange(1, len(ends) + 1, dtype=np.int64),
                share=np.array(evaluation.cmc),
                band=np.array(ends),
            )
        )
    lines = [line for line in lines if len(line.x) > 1]
    if not lines:
        return None
    words = LineWords(
        name="cmc",
        title="CMC",
        note="Share of queries whose person is among the first images; bands: 95 % intervals.",
        x="rank",
        at="rank-{}",
    )
    return share_lines(words, lines, ticks=_CMC_TICKS)


def needle_figures(methods: Sequence[Drawn]) -> list[Figure]:
    """Expected rank-1, 5 and 10 over sizes of the gallery.

    Args:
        methods: Any methods; those without a needle curve are left out.

    Returns:
        One figure a rank-k with all methods; for a single method one figure with all rank-k.
    """
    having = [(method, method.curve) for method in methods if method.curve is not None]
    if not having:
        return []
    if len(methods) == 1:
        [(method, curve)] = having
        lines = [_line(f"rank-{k}", n, curve, n) for n, k in enumerate(curve.places)]
        return [_needle("needle", f"Needle curve of {method.name}", lines)]
    return [
        _needle(
            f"needle-rank{k}",
            f"Needle curve: rank-{k} by size of the gallery",
            [_line(method.name, method.number, curve, column) for method, curve in having],
        )
        for column, k in enumerate(PLACES)
    ]


def _line(name: str, number: int, curve: NeedleCurve, column: int) -> ShareLine:
    return ShareLine(
        name=name,
        number=number,
        x=curve.sizes,
        share=curve.share[:, column],
        band=curve.interval[:, column],
    )


def _needle(name: str, title: str, lines: Sequence[ShareLine]) -> Figure:
    most = max(int(line.x[-1]) for line in lines)
    words = LineWords(
        name=name,
        title=title,
        note=(
            "What the same queries would give, on average, among fewer wrong answers drawn at "
            f"random, with 95 % intervals. The right end is the test: {count(most)} wrong answers."
        ),
        x="wrong answers in the gallery",
        at="{} wrong answers",
    )
    return share_lines(words, lines, logarithmic=True)


def rank_figures(methods: Sequence[Drawn]) -> list[Figure]:
    """The first-match ranks of every method in columns, all on the same axes."""
    found = [(method, first_ranks(method.evaluation) + 1) for method in methods]
    limits = rank_limits(max((int(ranks.max(initial=1)) for _, ranks in found), default=1))
    tallest = max((column_counts(ranks, limits).max() for _, ranks in found), default=1)
    return [
        rank_columns(
            f"first-ranks-{place}" if len(methods) > 1 else "first-ranks",
            method.name,
            ranks,
            TONES[method.number % len(TONES)],
            limits,
            int(tallest),
        )
        for place, (method, ranks) in enumerate(found, 1)
        if len(ranks)
    ]
