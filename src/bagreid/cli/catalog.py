"""``bagreid catalog ROOT``: indexes an archive in place and prints what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from bagreid.cli.parsing import parse_options
from bagreid.cli.scan_progress import scan_progress
from bagreid.contracts import BagreidError, printable
from bagreid.files import write_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from bagreid.catalog import Catalog, Findings

_TRAITS_OF_SYSU30K = ("train folders", "train tars", "test tars")
"""What is counted of no labelled set."""


@dataclass(frozen=True, kw_only=True)
class CatalogArgs:
    """What ``bagreid catalog`` is asked."""

    root: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ROOT")]
    """The archive: the outer or the inner folder, tars or extracted files, or a link to it; or the
    URL of a folder (http, s3 …), whose tars are then read from there."""

    cache: Path | None = None
    """Folder for catalogs; without it $BAGREID_CACHE, or ~/.cache/bagreid."""

    rebuild: bool = False
    """Read everything again even where nothing changed."""

    workers: int | None = None
    """Tars scanned at once; without it one a processor core, where there is enough to scan."""

    json: Path | None = None
    """Also write all of it to this JSON file, for programs."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: at least 1, not {self.workers}")


def main(argv: Sequence[str], *, prog: str) -> int:
    """Parses, opens or builds the catalog, and prints it.

    Args:
        argv: Arguments behind the verb.
        prog: How the program is called in messages.

    Returns:
        The exit code.
    """
    args = parse_options(
        CatalogArgs,
        argv,
        prog=prog,
        description="Indexes an archive in place, unpacking nothing, and prints what it holds.",
    )
    from rich.console import Console

    from bagreid.catalog import open_catalog

    with scan_progress() as tell:
        catalog = open_catalog(
            args.root,
            cache=args.cache,
            progress=tell,
            rebuild=args.rebuild,
            workers=args.workers,
        )
    console = Console(highlight=False, markup=False)  # names may hold brackets
    _print_counts(console, catalog)
    _print_lists(console, catalog.findings)
    _print_oddities(console, catalog)
    listed = _print_quarantine(console, catalog)
    console.print(f"catalog: {catalog.directory}", style="dim", soft_wrap=True)
    if args.json is not None:
        _write_json(args.json, catalog, listed)
    return 0


def _print_counts(console: Console, catalog: Catalog) -> None:
    from bagreid.catalog.published import count_all, is_full_set, title_of

    console.print(catalog.source, style="bold", soft_wrap=True)
    console.print(f"{catalog.layout}")
    used = ", ".join(f"{role}: {name}" for role, name in catalog.files.items())
    if catalog.labelled is None:
        used = used or "no lists and no bag file"
    console.print(f"{used}\n", style="dim", soft_wrap=True)
    full = is_full_set(catalog)
    table = _table("What is there", "", "here", f"{title_of(catalog.labelled)}, published")
    if full:
        table.add_column("difference", justify="right")
    for count in count_all(catalog):
        if count.published is None:
            if catalog.labelled is not None and count.name not in _TRAITS_OF_SYSU30K:
                table.add_row(count.name, f"{count.here:,}", "")
            continue
        row = [count.name, f"{count.here:,}", f"{count.published:,}"]
        if full:
            difference = count.here - count.published
            row.append(f"{difference:+,}" if difference else "none")
        table.add_row(*row)
    console.print(table)
    if not full and catalog.labelled != "other":
        console.print("Not the full set: the published numbers stand there for scale only.")
    protocol = catalog.test_protocol()
    console.print(
        f"Test: {protocol.queries:,} queries, {protocol.queries_without_match:,} of them without "
        f"a match; gallery with {protocol.distractors:,} distractors and {protocol.junk:,} junk.\n",
        soft_wrap=True,
    )
    try:
        catalog.check_test_protocol()
    except BagreidError as error:
        why = f"Not ready for evaluation: {error.message}. {error.remedy}.\n"
        console.print(why, style="yellow")


def _print_lists(console: Console, findings: Findings) -> None:
    if not findings.lists:
        console.print("There are no list files: rows follow the archive's own order.\n")
        return
    table = _table(
        "Lists against images", "list", "names", "without an image", "images it leaves out"
    )
    for entry in findings.lists:
        repeated = f" ({entry.repeated:,} repeated)" if entry.repeated else ""
        table.add_row(
            f"{Path(entry.file).name} ({entry.split})",
            f"{entry.lines:,}{repeated}",
            f"{entry.absent:,}",
            f"{entry.unlisted:,}",
        )
    console.print(table)
    for entry in findings.lists:
        _first(console, f"{entry.file} names without an image", entry.first_absent, entry.absent)
        _first(
            console, f"images that {entry.file} leaves out", entry.first_unlisted, entry.unlisted
        )
    console.print()


def _print_oddities(console: Console, catalog: Catalog) -> None:
    """What was merged, left out or noticed; one calm line where there is nothing."""
    findings = catalog.findings
    counts = {
        "repeated identities in bags, merged": findings.duplicate_bag_labels,
        "repeated folders in bags, merged": findings.duplicate_bag_folders,
        "bags with either": findings.bags_merged,
        "bags with an earlier bag's name": findings.repeated_bag_ids,
        "identities written as text, read as numbers": findings.labels_as_text,
        "unknown keys in bags, ignored": findings.unknown_bag_keys,
        "train folders in no bag": findings.folders_in_no_bag,
        "images found twice, the first kept": findings.duplicate_images,
        "images in no known folder, left out": findings.unplaced,
        "files that are no JPEG by name, left out": findings.not_images,
        "members with an absolute name or a '..' in it, never used": findings.unsafe,
        "bytes behind the end mark of a tar, not read": findings.bytes_after_end,
        "lines of the truth without an image": findings.truth_absent,
        "train images without a truth": findings.truth_missing,
    }
    counts |= {f"members that are a {k}, left out": n for k, n in findings.skipped_members.items()}
    counts = {name: count for name, count in counts.items() if count}
    if counts:
        table = _table("Merged, left out, noticed", "", "count")
        for name, count in counts.items():
            table.add_row(name, f"{count:,}")
        console.print(table)
    else:
        console.print("Nothing was merged or left out.")
    _print_duplicates(console, findings)
    _first(console, "in no known folder", findings.first_unplaced, findings.unplaced)
    _first(console, "names that are not safe", findings.first_unsafe, findings.unsafe)
    lonely = findings.first_folders_in_no_bag
    _first(console, "folders in no bag", lonely, findings.folders_in_no_bag)
    if not len(catalog.bags):
        console.print("There are no bags: training from bags needs bag_level_label.json.")
    for note in findings.notes:
        console.print(f"Note: {note}.", soft_wrap=True)


def _print_duplicates(console: Console, findings: Findings) -> None:
    for entry in findings.duplicates:
        console.print(
            f"{entry.left} holds {entry.images:,} image{'s'[: entry.images > 1]} that {entry.used} "
            f"holds already, such as {printable(entry.example)}",
            soft_wrap=True,
        )


def _print_quarantine(console: Console, catalog: Catalog) -> dict[str, Any]:
    """Counts the images known to be broken; returns the counts for the JSON file."""
    from bagreid.catalog import quarantine

    path = quarantine.quarantine_path(catalog)
    try:
        listed = quarantine.load(catalog)
        matches = listed.matches(catalog)
    except BagreidError as error:
        console.print(f"The quarantine cannot be used: {error}", style="yellow", soft_wrap=True)
        return {"path": str(path), "error": str(error)}
    stale = len(listed) - len(matches)
    if listed:
        finders = Counter(entry.found_by for entry in matches.values())
        found = ", ".join(f"found by {finder}: {n:,}" for finder, n in finders.most_common())
        told = f"{len(matches):,} images" + (f" ({found})" if found else "")
        told += f"; entries passed over as stale: {stale:,}" if stale else ""
        console.print(
            f"Known to be broken, and not read by any run: {told}. List: {path}", soft_wrap=True
        )
    return {"path": str(path), "images": len(matches), "stale": stale}


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table


def _first(console: Console, what: str, names: Sequence[str], total: int) -> None:
    if names:
        console.print(f"{what} (first {len(names):,} of {total:,}):", soft_wrap=True)
        for name in names:
            console.print(f"  {printable(name)}", soft_wrap=True)


def _write_json(path: Path, catalog: Catalog, quarantine: dict[str, Any]) -> None:
    from bagreid.catalog.published import count_all, is_full_set

    data = {
        "schema": "bagreid.catalog-report/1",
        "root": catalog.source,
        "layout": catalog.layout,
        "files": catalog.files,
        "full_set": is_full_set(catalog),
        "counts": [asdict(count) for count in count_all(catalog)],
        "test_protocol": asdict(catalog.test_protocol()),
        "findings": catalog.findings.to_json(),
        "quarantine": quarantine,
    }
    write_json(path, data)
