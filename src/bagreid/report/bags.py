"""Bags with the pseudo labels their images were given.

Shape letters: N images, B bags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bagreid.catalog import Catalog
from bagreid.contracts import IntArray
from bagreid.report.archive import Archive, Picture
from bagreid.report.results import PseudoLabels
from bagreid.report.wording import count, listed, whole_percent

BAGS = 6
"""Bags shown."""

IMAGES = 24
"""Images shown of each bag."""

_COLOURS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BagTile:
    """One image of a bag: its picture, and its person where the pseudo label is wrong."""

    picture: Picture
    truth: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The images of a bag that were given one pseudo label."""

    name: str
    colour: int
    remark: str
    tiles: tuple[BagTile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BagCard:
    """One bag: its name, what it is, and its images by pseudo label."""

    name: str
    note: str
    people: tuple[Person, ...]


def bag_cards(labels: PseudoLabels, archive: Archive) -> list[BagCard]:
    """Bags spread evenly over the archive and over their widths, not picked by success.

    Args:
        labels: The pseudo labels of a run.
        archive: Where the images lie; without its catalog no bag can be shown.

    Returns:
        Up to ``BAGS`` cards.
    """
    if archive.catalog is None:
        return []
    catalog = archive.catalog
    cards = []
    for bag in choose_bags(catalog):
        places = _places(catalog, labels, bag)
        if places.size:
            cards.append(_card(catalog, labels, archive, bag, places))
    return cards


def choose_bags(catalog: Catalog, most: int = BAGS) -> list[int]:
    """Picks bags to show: each width (number of folders) in turn, evenly spread.

    Args:
        catalog: The archive's catalog.
        most: How many bags.

    Returns:
        Rows of the bag table, by width, then in order.
    """
    widths_B = np.diff(catalog.bags.folder_offset)
    widths, counts = np.unique(widths_B[widths_B > 0], return_counts=True)
    common = np.sort(widths[np.argsort(-counts, kind="stable")[:3]])
    chosen: list[int] = []
    for share, width in zip(_shares(most, common.size), common, strict=True):
        bags = np.flatnonzero(widths_B == width)
        centres = (np.arange(share) + 0.5) * bags.size / share
        chosen.extend(dict.fromkeys(bags[centres.astype(np.int64)].tolist()))
    return chosen


def _shares(most: int, parts: int) -> list[int]:
    return [len(part) for part in np.array_split(np.arange(most), parts)] if parts else []


def _places(catalog: Catalog, labels: PseudoLabels, bag: int) -> IntArray:
    """Places in ``labels`` of a bag's images, ascending."""
    parts = []
    for folder in catalog.bags.folders(bag):
        ends = (catalog.folder_start[folder], catalog.folder_stop[folder])
        first, last = np.searchsorted(labels.rows, ends)
        parts.append(np.arange(first, last, dtype=np.int64))
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _card(
    catalog: Catalog, labels: PseudoLabels, archive: Archive, bag: int, places_N: IntArray
) -> BagCard:
    bags = catalog.bags
    folders = count(bags.folders(bag).size, "folder")
    shown = np.unique(np.linspace(0, places_N.size - 1, min(IMAGES, places_N.size)).round())
    chosen = places_N[shown.astype(np.int64)]
    given = labels.label[chosen]
    order = {int(label): place for place, label in enumerate(np.unique(labels.label[places_N]))}
    people = tuple(
        _person(labels, archive, chosen[given == label], order[int(label)])
        for label in np.unique(given)
    )
    names = [str(catalog.identities[label]) for label in bags.labels(bag)]
    on_label = f"person {names[0]}" if len(names) == 1 else f"persons {listed(names)}"
    return BagCard(
        name=bags.bag_id[bag],
        note=(
            f"{count(places_N.size, 'image')} of {folders}; the label says "
            f"{on_label}. {_score(labels, places_N)}{_left_out(places_N.size, chosen.size)}"
        ),
        people=people,
    )


def _score(labels: PseudoLabels, places_N: IntArray) -> str:
    truth = labels.truth[places_N]
    known = truth >= 0
    if not known.any():
        return "The truth is not known here."
    right = float((labels.label[places_N][known] == truth[known]).mean())
    return f"{whole_percent(right)} of its pseudo labels are right."


def _left_out(total: int, shown: int) -> str:
    return f" Shown: {shown}, evenly spaced." if shown < total else ""


def _person(labels: PseudoLabels, archive: Archive, places: IntArray, colour: int) -> Person:
    identity = int(labels.identities[labels.label[places[0]]])
    tiles = tuple(_tile(labels, archive, int(place)) for place in places)
    wrong = sum(tile.truth is not None for tile in tiles)
    return Person(
        name=f"person {identity}",
        colour=colour % _COLOURS,
        remark=f"{wrong} wrong" if wrong else "",
        tiles=tiles,
    )


def _tile(labels: PseudoLabels, archive: Archive, place: int) -> BagTile:
    row, given, truth = (int(a[place]) for a in (labels.rows, labels.label, labels.truth))
    wrong = truth >= 0 and truth != given
    really = f"person {labels.identities[truth]}" if wrong else None
    alt = f"Taken for person {labels.identities[given]}, {float(labels.confidence[place]):.0%} sure"
    if really:
        alt += f", is {really}"
    return BagTile(picture=archive.picture(row, alt), truth=really)
