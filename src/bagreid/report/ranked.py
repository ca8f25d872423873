"""Ranked lists: which queries to show, and what stands on each card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bagreid.report.archive import Archive, Picture
from bagreid.report.results import Hit, QueryResult, person
from bagreid.report.wording import count, listed
from bagreid.report.work_dir import Method

EACH = 4
"""Queries shown of the best, of the middle, of the worst."""

TOP = 10
"""Images shown of each ranking."""

_LAST = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One gallery image on a card: its picture, place, score, and whether it is right."""

    picture: Picture
    place: str
    score: str
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One query with its ranking.

    Attributes:
        query: The image asked with.
        person: Who it shows.
        verdict: Where the right image stands.
        first: Whether it stands first.
        tiles: The top of the ranking.
        match: The right image, wherever it stands; ``None`` when the gallery holds none.
        others: Where the other methods put it, empty when there are none.
    """

    query: Picture
    person: str
    verdict: str
    first: bool
    tiles: tuple[Tile, ...]
    match: Tile | None
    others: str


@dataclass(frozen=True, slots=True)
class Group:
    """The best, middle or worst queries."""

    title: str
    note: str
    cards: tuple[Card, ...]


def ranked_groups(methods: Sequence[Method], archive: Archive) -> list[Group]:
    """The ranked lists of the main method.

    Args:
        methods: The main method first; it must be evaluated.
        archive: Where the images lie.

    Returns:
        Up to three groups; with few queries the middle or all but one is left out.
    """
    result = methods[0].evaluation
    if result is None:
        return []
    best, median, worst = choose(result.queries)
    parts = [
        ("Best", "The surest answers, each of another person.", best),
        (
            "Median",
            "What to expect: the middle of all queries, ordered from best to worst.",
            median,
        ),
        ("Worst", "Where the person asked for ends up far down, or nowhere.", worst),
    ]
    return [
        Group(title, note, tuple(_card(query, methods, archive) for query in queries))
        for title, note, queries in parts
        if queries
    ]


def choose(
    queries: Sequence[QueryResult], each: int = EACH
) -> tuple[list[QueryResult], list[QueryResult], list[QueryResult]]:
    """Picks the best, the median and the worst queries; none comes twice.

    Queries are ordered by the rank of the match, then by average precision, then by its score.
    Among the best and the worst, people already shown are passed over while there are others.

    Args:
        queries: All queries.
        each: How many of each kind at most.

    Returns:
        Best (best first), median, worst (worst last); fewer than ``3 * each`` queries are
        shared out.
    """
    order = sorted(queries, key=_goodness)
    share = min(each, -(-len(order) // 3))
    best = _varied(order, share)
    left = [query for query in order if query not in best]
    worst = _varied(left[::-1], min(share, len(left)))[::-1]
    middle = len(order) // 2
    near = sorted(
        (place for place, query in enumerate(order) if query not in best and query not in worst),
        key=lambda place: abs(place - middle),
    )
    return best, [order[place] for place in sorted(near[:share])], worst


def _goodness(query: QueryResult) -> tuple[int, float, float]:
    score = query.match.score if query.match else None
    return (_LAST if query.rank is None else query.rank, -query.average_precision, -(score or 0.0))


def _varied(order: Sequence[QueryResult], share: int) -> list[QueryResult]:
    """The first ``share`` queries of an order, of different people as far as there are any."""
    places: list[int] = []
    seen: set[int] = set()
    for place, query in enumerate(order):
        if len(places) < share and query.pid not in seen:
            seen.add(query.pid)
            places.append(place)
    rest = [place for place in range(len(order)) if place not in places]
    return [order[place] for place in sorted(places + rest[: share - len(places)])]


def _card(query: QueryResult, methods: Sequence[Method], archive: Archive) -> Card:
    who = person(query.pid)
    alt = f"The query: {who}, camera {query.camid}"
    match = _tile(query.match, query.rank, archive) if query.match and query.rank else None
    return Card(
        query=archive.picture(query.row, alt, query.name),
        person=who,
        verdict=_verdict(query.rank),
        first=query.rank == 1,
        tiles=tuple(_tile(hit, place, archive) for place, hit in enumerate(query.top[:TOP], 1)),
        match=match,
        others=_others(query, methods[1:]),
    )


def _tile(hit: Hit, place: int, archive: Archive) -> Tile:
    verdict = "the right person" if hit.match else "wrong"
    return Tile(
        picture=archive.picture(hit.row, f"Rank {count(place)}: {hit.person}, {verdict}", hit.name),
        place=count(place),
        score="broken" if hit.score is None else f"{hit.score:.2f}".replace("-", "\u2212"),
        right=hit.match,
    )


def _verdict(rank: int | None) -> str:
    if rank is None:
        return "no match in the gallery"
    return "true match at rank 1" if rank == 1 else f"true match at rank {count(rank)}"


def _others(query: QueryResult, others: Sequence[Method]) -> str:
    parts: list[str] = []
    for method in others:
        found = method.evaluation
        same = next((q for q in found.queries if q.name == query.name), None) if found else None
        if same and same.rank:
            verb = "" if parts else " ranks it"
            parts.append(f"{method.name}{verb} {count(same.rank)}")
    return f"{listed(parts)}." if parts else ""
