"""The page of an archive's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bagreid.catalog import Catalog
from bagreid.catalog.image_sizes import ImageSizes
from bagreid.catalog.published import PUBLISHED
from bagreid.catalog.statistics import Statistics
from bagreid.catalog.tally import Tally
from bagreid.report.environment import page_environment
from bagreid.report.statistics.datasets import BENCHMARK, HERE
from bagreid.report.statistics.examples import BagExample, PairExample
from bagreid.report.statistics.marks import Figure
from bagreid.report.statistics.on_page import on_page
from bagreid.report.statistics.tables import Table, shown
from bagreid.report.wording import NO_BREAK, count, number

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """All that the page and the files beside it show.

    Attributes:
        name: How the archive is called.
        catalog: It itself.
        statistics: Its numbers.
        sizes: Heights and widths of its images.
        tables: The counts, Table 1, Table 2.
        figures: All but those of examples.
        bags: Examples of bags.
        pairs: Examples of test pairs.
        pictures: Whether examples were asked for.
        stale: Entries of the quarantine that fit no image any more.
        faults: What to say of examples that could not be shown.
    """

    name: str
    catalog: Catalog
    statistics: Statistics
    sizes: ImageSizes
    tables: Sequence[Table]
    figures: Sequence[Figure]
    bags: Sequence[BagExample]
    pairs: Sequence[PairExample]
    pictures: bool
    stale: int
    faults: Sequence[str]


def render(content: Content) -> str:
    """Renders the page.

    Args:
        content: What it shows.

    Returns:
        The HTML.
    """
    counts, first, second = content.tables
    return (
        page_environment()
        .get_template("statistics.html.j2")
        .render(
            content=content,
            headline=headline(content.statistics),
            dek=beside_the_benchmark(content.statistics),
            remarks=_remarks(content),
            facts=_facts(content),
            figures={figure.name: on_page(figure) for figure in content.figures},
            counts=counts,
            table_1=first,
            table_2=second,
            marked={HERE: "here", BENCHMARK: "benchmark"},
            narrow=_narrow(first, second),
            shown=shown,
        )
    )


def headline(statistics: Statistics) -> str:
    """What the archive is, in a sentence."""
    train, folders = statistics.here("train images"), statistics.here("train folders")
    queries, gallery = statistics.here("query images"), statistics.here("gallery images")
    parts = []
    if train and statistics.has_bags:
        people = count(statistics.here("bag identities"), "person", "people")
        bags = count(statistics.here("bags"), "bag")
        parts.append(f"{count(train, 'training image')} of {people} in {bags}")
    elif train:
        where = count(folders, "folder")
        parts.append(f"{count(train, 'training image')} in {where}, without bags")
    if queries:
        asked = count(queries, "query", "queries")
        parts.append(f"{asked} to find among {count(gallery, 'image')}")
    elif gallery:
        parts.append(f"{count(gallery, 'gallery image')} without a query")
    text = "; ".join(parts) if parts else "No images"
    return f"{text}."


def beside_the_benchmark(statistics: Statistics) -> str:
    """How large the archive is beside the published SYSU-30k."""
    here, published = statistics.here("images"), PUBLISHED["images"]
    if statistics.full_set and statistics.labelled is None:
        difference = here - published
        if not difference:
            return f"Exactly the {count(published)} images that are published of SYSU-30k."
        what = "more" if difference > 0 else "fewer"
        return (
            f"{count(abs(difference), 'image')} {what} than the {count(published)} published of "
            "SYSU-30k."
        )
    if not here:
        return ""
    times = number(published / here)
    return f"SYSU-30k, with its {count(published)} images, is {times} times as large."


def _facts(content: Content) -> list[tuple[str, str, str]]:
    """Heading, value and remark of the first numbers one wants to know."""
    statistics, sizes = content.statistics, content.sizes
    total = statistics.image_bytes.total
    facts = [("Images", count(statistics.here("images")), f"{_bytes(total)} together")]
    facts.append(("People", count(statistics.here("identities")), "told apart by a number"))
    if statistics.has_bags:
        middle = Tally.of([statistics.bag_images]).quantile(0.5)
        facts.append(("Images a bag", count(middle), "in the median bag"))
        lies = statistics.image_bags
        if len(lies):
            facts.append(("Bags an image", number(lies.total / len(lies)), "on average"))
    if len(sizes.count):
        edge = sizes.shortest_edges().quantile(0.5)
        facts.append(("Shorter edge", f"{edge}{NO_BREAK}px", "of the median image"))
    if len(statistics.image_bytes):
        middle = statistics.image_bytes.quantile(0.5)
        facts.append(("An image takes", _bytes(middle), "in the median"))
    return facts


def _bytes(size: int) -> str:
    for least, unit in _UNITS:
        if size >= least:
            return f"{size / least:.3g}{NO_BREAK}{unit}"
    return f"{size}{NO_BREAK}bytes"


def _remarks(content: Content) -> list[str]:
    """What a reader must know before trusting the page."""
    statistics, sizes = content.statistics, content.sizes
    remarks = []
    if not statistics.has_bags:
        remarks.append(
            "There is no bag file, so there is nothing to say of bags, and people in the training "
            "images are not counted."
        )
    if not statistics.test_images:
        remarks.append("There is no test set.")
    if statistics.quarantined:
        remarks.append(
            f"{count(statistics.quarantined, 'image')} in quarantine: counted in the tables, left "
            "out of the figures."
        )
    if content.stale:
        fit = "fits" if content.stale == 1 else "fit"
        remarks.append(
            f"{count(content.stale, 'entry', 'entries')} of the list of broken images {fit} no "
            "image of the archive any more."
        )
    if sizes.broken:
        first, why = sizes.first_broken[0]
        have = "has" if sizes.broken == 1 else "have"
        remarks.append(
            f"{count(sizes.broken, 'image')} among {count(sizes.asked)} {have} no size that can be "
            f"read ({first}: {why}). 'bagreid verify --images all' finds and lists such images."
        )
    return [*remarks, *content.faults]


def _narrow(first: Table, second: Table) -> dict[str, dict[str, str]]:
    """What stands below a data set's name where a screen has no room for more columns."""
    told: dict[str, dict[str, str]] = {first.name: {}, second.name: {}}
    for name, _, scene, annotation, cameras, _ in first.rows:
        seen = None
        if isinstance(cameras, str):
            number, _, where = cameras.partition(" ")
            seen = f"{number} cameras {where}".rstrip()
        parts = [part for part in (scene, annotation, seen) if part]
        told[first.name][str(name)] = ", ".join(str(part) for part in parts)
    for name, _, _, share, annotation in second.rows:
        each = f", {shown(share)} images a category" if share is not None else ""
        told[second.name][str(name)] = f"{annotation}{each}"
    return told
