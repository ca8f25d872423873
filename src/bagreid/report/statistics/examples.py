"""Examples from the archive itself: bags with their labels, queries with their match.

Shape letters: Q queries, G gallery.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bagreid.catalog import Catalog
from bagreid.contracts import IntArray
from bagreid.report.archive import Archive, Picture
from bagreid.report.bags import choose_bags
from bagreid.report.results import person
from bagreid.report.statistics.marks import Figure, Label, Mark, Photo
from bagreid.report.wording import count, listed

BAGS = 6
"""Bags shown."""

IMAGES = 10
"""Images shown of each bag."""

PAIRS = 6
"""Queries shown with their match."""

NOTICE = "Images of people, for non-commercial research only: do not pass them on."
"""What every figure with an image of the archive says."""

_NAMED = 12
_TRIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class BagExample:
    """A bag: some of its images, and its label, which is all that training is told."""

    name: str
    note: str
    label: str
    pictures: tuple[Picture, ...]
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairExample:
    """A query and a gallery image of the same person from another camera."""

    person: str
    query: Picture
    match: Picture
    query_camera: int
    match_camera: int
    images: tuple[str, str]


def bag_examples(archive: Archive, skipped: IntArray) -> list[BagExample]:
    """Bags spread evenly over the archive and over their widths.

    Args:
        archive: Opened.
        skipped: Rows of images in quarantine, ascending.

    Returns:
        Up to `BAGS`; none where there are no bags.
    """
    catalog = archive.catalog
    assert catalog is not None
    examples = (_bag(archive, catalog, bag, skipped) for bag in choose_bags(catalog, BAGS))
    return [example for example in examples if example.pictures]


def _bag(archive: Archive, catalog: Catalog, bag: int, skipped: IntArray) -> BagExample:
    folders = catalog.bags.folders(bag)
    rows = np.concatenate(
        [np.arange(catalog.folder_start[f], catalog.folder_stop[f]) for f in folders]
    )
    rows = rows[~np.isin(rows, skipped)]
    shown = rows[_spread(len(rows), IMAGES)].tolist()
    people = [int(catalog.identities[label]) for label in catalog.bags.labels(bag)]
    name = catalog.bags.bag_id[bag]
    pictures = tuple(archive.picture(row, f"An image of bag {name}") for row in shown)
    names = [catalog.folder_names[f] for f in folders.tolist()]
    return BagExample(
        name=name,
        note=f"{count(len(rows), 'image')} of {_folders(names)}",
        label=_people(people),
        pictures=pictures,
        images=tuple(catalog.name(row) for row in shown),
    )


def _folders(names: list[str]) -> str:
    if len(names) > 3:
        return f"{count(len(names), 'folder')}, {names[0]} to {names[-1]}"
    return f"folder{'s' if len(names) > 1 else ''} {listed(names)}"


def _people(numbers: list[int]) -> str:
    """A label as it is written, long ones shortened: ``{2, 3, 4}``."""
    named = ", ".join(str(n) for n in numbers[:_NAMED])
    more = len(numbers) - _NAMED
    return f"{{{named}, \u2026 and {count(more)} more}}" if more > 0 else f"{{{named}}}"


def _spread(length: int, most: int) -> IntArray:
    """Places evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(np.int64))


def pair_examples(archive: Archive, skipped: IntArray) -> list[PairExample]:
    """Queries of different people with a match, spread evenly over the test set.

    Args:
        archive: Opened.
        skipped: Rows of images in quarantine, ascending.

    Returns:
        Up to `PAIRS`; none where no query has a match.
    """
    catalog = archive.catalog
    assert catalog is not None
    found = []
    for query, match in _pairs(catalog, skipped):
        who = person(int(catalog.group[query]))
        cameras = int(catalog.camera[query]), int(catalog.camera[match])
        found.append(
            PairExample(
                person=who,
                query=archive.picture(query, f"A query: {who}, camera {cameras[0]}"),
                match=archive.picture(match, f"Its match: {who}, camera {cameras[1]}"),
                query_camera=cameras[0],
                match_camera=cameras[1],
                images=(catalog.name(query), catalog.name(match)),
            )
        )
    return found


def _pairs(catalog: Catalog, skipped: IntArray) -> Iterator[tuple[int, int]]:
    queries, gallery = catalog.split("query"), catalog.split("gallery")
    pid_Q = catalog.group[queries.start : queries.stop]
    pid_G = catalog.group[gallery.start : gallery.stop]
    usable_Q = np.setdiff1d(np.flatnonzero(pid_Q >= 0), skipped - queries.start)
    people, first = np.unique(pid_Q[usable_Q], return_index=True)
    places = usable_Q[first]
    shown = 0
    # More than are shown, evenly spaced, for some may have no match.
    for place in places[_order(len(people), PAIRS)][:_TRIES].tolist():
        query = queries.start + place
        rows = gallery.start + np.flatnonzero(pid_G == pid_Q[place])
        rows = rows[(catalog.camera[rows] != catalog.camera[query]) & ~np.isin(rows, skipped)]
        if len(rows):
            yield query, int(rows[0])
            shown += 1
        if shown == PAIRS:
            return


def _order(length: int, first: int) -> IntArray:
    """All places, evenly spaced ones first."""
    spread = _spread(length, first)
    rest = np.setdiff1d(np.arange(length), spread)
    return np.concatenate([spread, rest[_spread(len(rest), len(rest))]])


_WIDE, _HIGH, _GAP = 56.0, 112.0, 8.0
_PAIR_GAP = 30.0


def bag_figure(examples: Sequence[BagExample]) -> Figure:
    """Bags as a figure of its own, a row each, the label below.

    Args:
        examples: At least one.

    Returns:
        The figure.
    """
    marks: list[Mark] = []
    rows: list[list[object]] = []
    y = 0.0
    for example in examples:
        y += 14
        marks.append(Label(x=0, y=y, text=example.name, tone="ink", bold=True))
        y += 16
        marks.append(Label(x=0, y=y, text=example.note))
        y += 8
        for place, picture in enumerate(example.pictures):
            x = place * (_WIDE + _GAP)
            marks.append(
                Photo(x=x, y=y, width=_WIDE, height=_HIGH, uri=picture.uri, alt=picture.alt)
            )
        y += _HIGH + 18
        marks.append(Label(x=0, y=y, text=f"label: {example.label}", tone="ink"))
        y += 22
        rows += [[example.name, example.label, image] for image in example.images]
    return Figure(
        name="figure2a-bags",
        title="Figure 2 (a): bags and their labels",
        note="Each row is part of one bag. Its label says who may be in it, not who is where. "
        f"{NOTICE}",
        description="; ".join(f"Bag {e.name}: {e.note}, label {e.label}" for e in examples),
        width=IMAGES * (_WIDE + _GAP) - _GAP,
        height=y - 10,
        marks=marks,
        header=["bag", "label", "image"],
        rows=rows,
    )


def pair_figure(examples: Sequence[PairExample]) -> Figure:
    """Test pairs as a figure of its own, three in a row.

    Args:
        examples: At least one.

    Returns:
        The figure.
    """
    marks: list[Mark] = []
    wide, high = 78.0, 156.0
    step = 2 * wide + _GAP + _PAIR_GAP
    for place, example in enumerate(examples):
        x, y = place % 3 * step, place // 3 * (high + 56) + 14
        marks.append(Label(x=x, y=y, text=example.person, tone="ink", bold=True))
        sides = (
            (example.query, f"query, c{example.query_camera}"),
            (example.match, f"gallery, c{example.match_camera}"),
        )
        for side, (picture, text) in enumerate(sides):
            left = x + side * (wide + _GAP)
            marks.append(
                Photo(x=left, y=y + 8, width=wide, height=high, uri=picture.uri, alt=picture.alt)
            )
            below = Label(x=left + wide / 2, y=y + high + 24, text=text, anchor="middle", size=11)
            marks.append(below)
    return Figure(
        name="figure2b-pairs",
        title="Figure 2 (b): test pairs, a query and its match",
        note="Left what is asked, right what should be found among all gallery images; c is the "
        f"camera. {NOTICE}",
        description="; ".join(f"{e.person}, query and match" for e in examples),
        width=3 * step - _PAIR_GAP,
        height=-(-len(examples) // 3) * (high + 56) - 14,
        marks=marks,
        header=["person", "query", "match"],
        rows=[[e.person, *e.images] for e in examples],
    )
