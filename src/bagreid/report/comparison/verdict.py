"""What a comparison says in plain words, and what it does not say."""

from __future__ import annotations

from collections.abc import Sequence

from bagreid.report.comparison.entries import needle_trouble
from bagreid.report.comparison.pairing import Difference, Pair
from bagreid.report.results import Evaluation
from bagreid.report.wording import MINUS, NO_BREAK, count, percent

LEVEL = 0.05
"""Below it a p-value is taken for more than chance."""


def verdict(pair: Pair, *, corrected: bool = False) -> str:
    """The outcome of a pair in one sentence.

    Args:
        pair: Two methods.
        corrected: Whether the p-value is corrected for several pairs.

    Returns:
        Who is ahead in rank-1, by how much, and whether chance in the choice of queries explains
        it; never that two methods are equal.
    """
    rank1 = pair.ranks[0]
    one, other = rank1.discordance.only_first, rank1.discordance.only_second
    queries = count(pair.queries, "query", "queries")
    if one == other == 0:
        return (
            f"{pair.first.name} and {pair.second.name} answer the very same queries right in the "
            f"first place, of {queries}: nothing here tells their rank-1 apart."
        )
    if one == other:
        alone = count(one, "query", "queries")
        return (
            f"{pair.first.name} and {pair.second.name} have the same rank-1 on {queries}, each "
            f"alone right on {alone}: which one is ahead cannot be told."
        )
    ahead, behind = (pair.first, pair.second) if one > other else (pair.second, pair.first)
    points = percent(abs(rank1.difference.value))
    label = "corrected p" if corrected else "p"
    how = f"exact McNemar, {label} {p_text(pair.p_value)}"
    text = (
        f"{ahead.name} is ahead of {behind.name} by {points} points of rank-1 on {queries} "
        f"({how}): "
    )
    if pair.p_value < LEVEL:
        return f"{text}more than the chance of drawing these queries explains."
    return f"{text}the chance of drawing these queries can explain that."


def cautions(methods: Sequence[tuple[str, Evaluation]], pairs: Sequence[Pair]) -> list[str]:
    """What a reader must know before quoting a comparison.

    Args:
        methods: All methods, by name.
        pairs: The pairs tested, if any.

    Returns:
        Sentences.
    """
    said = []
    if pairs:
        said.append(
            "The tests speak of other queries of the same kind against the same gallery, by the "
            "same two sets of weights: another seed of the training may turn a small difference."
        )
    if any(pair.people < pair.queries for pair in pairs):
        pair = next(pair for pair in pairs if pair.people < pair.queries)
        said.append(
            f"{count(pair.queries, 'query', 'queries')} are of "
            f"{count(pair.people, 'person', 'people')}, and queries of one person are answered "
            "alike. The intervals of differences allow for that; McNemar's test and Wilson's "
            "intervals take each query for itself, and may be too sure."
        )
    if any(pair.by != "name" for pair in pairs):
        by = next(pair.by for pair in pairs if pair.by != "name")
        said.append(f"Queries are joined by {by}, for their names do not agree.")
    for name, evaluation in methods:
        trouble = needle_trouble(evaluation)
        if trouble:
            said.append(f"{name} has no needle curve: {trouble}.")
        if evaluation.ties == "mean" and evaluation.counts.get("ties"):
            said.append(
                f"{name} counts ties on average; the tests, the needle curve and the first "
                "matches, which need whole ranks, put them ahead of the match."
            )
        broken = evaluation.counts.get("broken", 0)
        if broken:
            images = count(broken, "test image")
            said.append(f"{images} could not be decoded for {name} and count as failures.")
    return said


def p_text(p_value: float) -> str:
    """A p-value with its relation: ``= 0.031``, ``< 0.0001``."""
    if p_value < 1e-4:
        return "< 0.0001"
    digits = 2 if p_value >= 0.1 else 3 if p_value >= 0.01 else 4
    # Rounding must not carry it to the other side of the level that the verdict goes by.
    while (float(f"{p_value:.{digits}f}") < LEVEL) != (p_value < LEVEL):
        digits += 1
    return f"= {p_value:.{digits}f}"


def signed_points(value: float, *, digits: int = 1) -> str:
    """A difference of shares in points, with its sign: ``+3.1``."""
    text = f"{100 * abs(value):.{digits}f}"
    if not float(text):
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def interval_text(difference: Difference, *, digits: int = 1) -> str:
    """The interval of a difference, in points: ``+0.2 to +5.9``."""
    low, high = (signed_points(end, digits=digits) for end in (difference.low, difference.high))
    return f"{low}{NO_BREAK}to{NO_BREAK}{high}"
