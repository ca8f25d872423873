"""The folder of an archive's statistics: every figure, every table, the numbers, and the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bagreid import __version__
from bagreid.catalog import Catalog
from bagreid.catalog.image_sizes import ImageSizes, SizeProgress, read_sizes
from bagreid.catalog.statistics import Statistics, count_archive
from bagreid.contracts import IntArray
from bagreid.files import write_beside, write_json
from bagreid.report.archive import Archive
from bagreid.report.statistics import examples, figures
from bagreid.report.statistics.marks import Figure
from bagreid.report.statistics.page import Content, headline, render
from bagreid.report.statistics.raster import png_file
from bagreid.report.statistics.svg import svg_file
from bagreid.report.statistics.tables import Table, counts_table, csv_text, table_1, table_2

PAGE = "stats.html"
NUMBERS = "stats.json"
SCHEMA = "bagreid.stats/1"

FIGURES = (
    "figure1a-bags",
    "figure1b-images",
    "figure1c-identities",
    "figure2a-bags",
    "figure2b-pairs",
    "images-per-folder",
    "bags-per-image",
    "image-sizes",
    "shortest-edge",
    "bytes-per-image",
    "cameras",
)
"""Stems of all figures there can be; one that an archive has nothing for is absent."""

_REMEDY = "Choose a place with --out"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsReport:
    """What was written: the page, its headline, and the table of counts."""

    page: Path
    headline: str
    counts: Table


def write_statistics(
    catalog: Catalog,
    out: Path,
    *,
    name: str,
    skipped: IntArray,
    stale: int = 0,
    sample: int | None,
    seed: int = 0,
    workers: int = 1,
    pictures: bool = True,
    progress: SizeProgress | None = None,
) -> StatisticsReport:
    """Counts an archive, and writes figures, tables, numbers and the page.

    Args:
        catalog: The archive.
        out: The folder; figures of an earlier time that are no more are removed from it.
        name: How the archive is called on the page.
        skipped: Rows of images in quarantine, ascending.
        stale: Entries of the quarantine that fit no image any more.
        sample: How many images' sizes are read; None reads all.
        seed: What the sample is drawn by.
        workers: Processes that read image headers.
        pictures: Whether examples from the archive, which show people, are shown.
        progress: Told how far the reading of headers is.

    Returns:
        Where the page lies and what it says first.

    Raises:
        BagreidError: If the archive changed since it was indexed, or the folder cannot be written.
    """
    statistics = count_archive(catalog, skipped)
    sizes = read_sizes(
        catalog, sample=sample, seed=seed, skipped=skipped, workers=workers, progress=progress
    )
    archive = Archive(catalog.root, catalog)
    content = Content(
        name=name,
        catalog=catalog,
        statistics=statistics,
        sizes=sizes,
        tables=[counts_table(statistics), table_1(statistics), table_2(statistics)],
        figures=_figures(statistics, sizes),
        bags=examples.bag_examples(archive, skipped) if pictures else [],
        pairs=examples.pair_examples(archive, skipped) if pictures else [],
        pictures=pictures,
        stale=stale,
        faults=archive.faults(),
    )
    _write(out, content)
    return StatisticsReport(
        page=out / PAGE, headline=headline(statistics), counts=content.tables[0]
    )


def _figures(statistics: Statistics, sizes: ImageSizes) -> list[Figure]:
    first = figures.figure_1a(statistics)
    return [
        *([first] if first else []),
        figures.figure_1b(statistics),
        figures.figure_1c(statistics),
        *figures.bag_figures(statistics),
        *figures.image_figures(statistics, sizes),
    ]


def _write(out: Path, content: Content) -> None:
    """Every file is complete or absent; the page comes last."""
    drawn = list(content.figures)
    drawn += [examples.bag_figure(content.bags)] if content.bags else []
    drawn += [examples.pair_figure(content.pairs)] if content.pairs else []
    for figure in drawn:
        _put(out / f"{figure.name}.svg", svg_file(figure).encode())
        _put(out / f"{figure.name}.png", png_file(figure))
        _put(out / f"{figure.name}.csv", csv_text(figure.header, figure.rows).encode())
    for table in content.tables:
        _put(out / f"{table.name}.csv", table.csv().encode())
        _put(out / f"{table.name}.md", table.markdown().encode())
    for stem in set(FIGURES) - {figure.name for figure in drawn}:
        for suffix in (".svg", ".png", ".csv"):
            (out / f"{stem}{suffix}").unlink(missing_ok=True)
    write_json(out / NUMBERS, _numbers(content))
    _put(out / PAGE, render(content).encode())


def _put(path: Path, data: bytes) -> None:
    with write_beside(path, remedy=_REMEDY) as file:
        file.write(data)


def _numbers(content: Content) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "version": __version__,
        "name": content.name,
        "root": content.catalog.source,
        "layout": content.catalog.layout,
        **content.statistics.to_json(),
        "stale_quarantine_entries": content.stale,
        "image_sizes": content.sizes.to_json(),
        "tables": {
            table.name: [dict(zip(table.header, row, strict=True)) for row in table.rows]
            for table in content.tables
            if table.name != "counts"
        },
    }
