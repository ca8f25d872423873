"""Verdicts for people (one table, details below) and for programs (JSON).

The JSON, `bagreid.verify/1`, is one object:

* `root`, `layout`: the archive as it was named, and how it lies there.
* `status`: `ok`, `note` or `bad`, the worst of all checks; `counts`: how many checks came out as
  each. The exit code is 1 if `status` is `bad`.
* `full_set`, `full_set_because`: whether it was held to the published numbers, and why.
* `checks`: for each `key` (`subject.what`, which stays the same over versions), `subject`, `what`
  (a title), `status`, `here`, `expected` (null: any number is fine), `difference`, `published`
  (null: nothing is), `says`, `examples` (ten at most), `remedy`.
* `tars`: for each `path`, `side`, `bytes`, `images`, `damage`: null, or `message`, `position`,
  `kind`, `byte`, `members` read whole, `last_good`, `missing_bytes`.
* `notes`: choices that were made, such as of two bag files.
* `decoded`: null, or `every`, `seed`, `images`, `resumed`, `quarantine` (what became of the list)
  and `broken`: `image`, `file`, `offset` (first byte in `file`), `size`, `reason` of all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bagreid.catalog.checks import Status, Verdict, none_of, plural
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.published import title_of
from bagreid.catalog.survey import Survey, TarReport
from bagreid.contracts import printable
from bagreid.files import write_json
from bagreid.shards.damage import TarDamage
from bagreid.shards.header import BLOCK

if TYPE_CHECKING:
    from bagreid.data.soundness import Soundness

SCHEMA = "bagreid.verify/1"

SUBJECTS = {
    "tars": "Tars",
    "images": "Images in them",
    "folders": "Train folders",
    "lists": "Lists against images",
    "bags": "Bags",
    "test": "Test set",
    "truth": "Truth",
    "counts": "Counts",
    "pixels": "Pixels",
}
"""Titles of the table's groups."""

_COLOURS: dict[Status, str] = {"ok": "green", "note": "yellow", "bad": "bold red"}
_WORDS: dict[Status, str] = {"ok": "ok", "note": "note", "bad": "BAD"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came out of decoding.

    Attributes:
        soundness: Counts, and the broken images.
        every: Whether all images were decoded.
        seed: Of the sample.
        quarantine: What became of the list of broken images, as a clause; empty where nothing
            had to be done.
    """

    soundness: Soundness
    every: bool
    seed: int
    quarantine: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that is said about an archive.

    Attributes:
        root: The archive as the user named it: a folder or a URL.
        survey: What is in it.
        why_whole: Why it should be the whole of its set (SYSU-30k, or a labelled one); None where
            it need not be.
        verdicts: What the checks say, by subject.
        decoded: What came out of decoding; None where nothing was decoded.
    """

    root: str
    survey: Survey
    why_whole: str | None
    verdicts: tuple[Verdict, ...]
    decoded: Decoded | None


def pixel_verdict(survey: Survey, decoded: Decoded) -> Verdict:
    """Judges the decoded images.

    Args:
        survey: The archive.
        decoded: What came out.

    Returns:
        The verdict, with name and place of the first broken images.
    """
    broken, images = decoded.soundness.broken, decoded.soundness.images
    return none_of(
        "pixels.broken",
        f"broken of {images:,} decoded",
        len(broken),
        says=f"{plural(len(broken), 'image')} of {images:,} decoded "
        f"{'is' if len(broken) == 1 else 'are'} broken",
        examples=(
            f"{entry['image']} ({entry['file']}, byte {entry['offset']}): {entry['reason']}"
            for entry in broken_images(survey, decoded.soundness)
        ),
        remedy="Fetch the tar again; until then the quarantine list keeps runs from using them",
    )


def broken_images(survey: Survey, soundness: Soundness) -> Iterator[dict[str, Any]]:
    """Name and place of each broken image.

    Args:
        survey: The archive.
        soundness: What came out of decoding.

    Yields:
        A dictionary for JSON.
    """
    members, loose = survey.members, pa.chunked_array(survey.loose, pa.large_string())
    for fault in soundness.broken:
        shard = int(members.shard[fault.row])
        block = int(members.block[fault.row])
        if shard < len(survey.tars):
            file, offset = relative(survey.shards[shard], survey.root), block * BLOCK
        else:
            file, offset = loose[block].as_py(), 0
        yield {
            "image": survey.name(fault.row),
            "file": file,
            "offset": offset,
            "size": int(members.size[fault.row]),
            "reason": fault.reason,
        }


def print_report(console: Console, report: Report) -> None:
    """Prints the table and what is behind it.

    Args:
        console: Where to.
        report: What to say.
    """
    survey = report.survey
    assert survey.layout is not None, "what is no archive is refused"
    console.print(f"[bold]{escape(report.root)}[/]", soft_wrap=True)
    console.print(f"{survey.layout.name}")
    title = title_of(survey.labelled)
    if report.why_whole is not None:
        console.print(f"Held to {title}'s published numbers: {report.why_whole}.\n")
    elif survey.labelled == "other":
        console.print("Which set it is, the names do not say: there are no published numbers.\n")
    else:
        console.print(f"Not the whole of {title}, whose numbers stand in brackets for scale.\n")
    console.print(_table(report))
    _print_details(console, report)
    _print_decoded(console, report)
    counts = Counter(verdict.status for verdict in report.verdicts)
    console.print(
        f"[{_COLOURS['bad' if counts['bad'] else 'ok']}]{counts['bad']} bad[/], "
        f"{counts['note']} to note, {counts['ok']} fine."
    )


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("check", overflow="fold", min_width=28)
    for name in ("here", "expected", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    subject = ""
    for verdict in report.verdicts:
        if verdict.subject != subject:
            subject = verdict.subject
            table.add_row("", f"[bold]{SUBJECTS[subject]}[/]")
        colour = _COLOURS[verdict.status]
        difference = f"{verdict.difference:+,}" if verdict.difference else ""
        table.add_row(
            f"[{colour}]{_WORDS[verdict.status]}[/]",
            verdict.what,
            f"{verdict.here:,}",
            _expected(verdict),
            f"[{colour}]{difference}[/]",
        )
    return table


def _expected(verdict: Verdict) -> str:
    if verdict.expected is not None:
        return f"{verdict.expected:,}"
    return f"[dim]({verdict.published:,})[/]" if verdict.published is not None else ""


def _print_details(console: Console, report: Report) -> None:
    for status in ("bad", "note"):
        for verdict in report.verdicts:
            if verdict.status == status and verdict.says:
                _print_verdict(console, verdict)
    assert report.survey.layout is not None
    for note in report.survey.findings.notes:
        console.print(f"[yellow]note[/] {_plain(note)}", soft_wrap=True)


def _print_verdict(console: Console, verdict: Verdict) -> None:
    word = f"[{_COLOURS[verdict.status]}]{_WORDS[verdict.status]}[/]"
    title = f"[bold]{escape(verdict.what)}[/]"
    console.print(f"{word} {title}: {_plain(verdict.says)}.")
    for example in verdict.examples:
        console.print(Padding(_plain(example), (0, 0, 0, 4)))
    more = abs(verdict.difference or 0) - len(verdict.examples)
    if verdict.examples and more > 0 and len(verdict.examples) == 10:
        console.print(Padding(f"[dim]... and {more:,} more[/]", (0, 0, 0, 4)))
    if verdict.remedy:
        console.print(Padding(f"[dim]What to do:[/] {escape(verdict.remedy)}.", (0, 0, 0, 4)))
    console.print()


def _plain(text: str) -> str:
    """Names out of tars may hold brackets, line feeds and commands to the terminal."""
    return escape(printable(text))


def _print_decoded(console: Console, report: Report) -> None:
    decoded = report.decoded
    if decoded is None:
        console.print(
            "No image was decoded: [bold]--images 1000[/] decodes a sample, [bold]--images all[/] "
            "every one."
        )
        return
    soundness, total = decoded.soundness, len(report.survey.members)
    if decoded.every:
        resumed = f" ({soundness.resumed:,} of them before)" if soundness.resumed else ""
        console.print(f"All {soundness.images:,} images were decoded{resumed}.")
    else:
        text = f"Decoded {soundness.images:,} of {total:,} images (seed {decoded.seed})"
        if not soundness.broken and soundness.images:
            # The share that would show in such a sample with probability 0.95.
            most = 1 - 0.05 ** (1 / soundness.images)
            text += f": with 95 % certainty fewer than {most:.2%} of all are broken"
        console.print(f"{text}.")
    if decoded.quarantine:
        console.print(f"Quarantine: {escape(decoded.quarantine)}.", soft_wrap=True)


def write_report(path: Path, report: Report) -> None:
    """Writes the JSON of `SCHEMA`.

    Args:
        path: The file.
        report: What to say.

    Raises:
        BagreidError: If it cannot be written.
    """
    survey = report.survey
    counts = Counter(verdict.status for verdict in report.verdicts)
    data = {
        "schema": SCHEMA,
        "root": report.root,
        "layout": survey.layout.name if survey.layout else None,
        "status": "bad" if counts["bad"] else "note" if counts["note"] else "ok",
        "counts": {status: counts[status] for status in _WORDS},
        "full_set": report.why_whole is not None,
        "full_set_because": report.why_whole,
        "checks": [
            {"subject": v.subject, "difference": v.difference, **asdict(v)} for v in report.verdicts
        ],
        "tars": [_tar(survey, tar) for tar in survey.tars],
        "notes": list(survey.findings.notes),
        "decoded": _decoded(report),
    }
    write_json(path, data)


def _tar(survey: Survey, tar: TarReport) -> dict[str, Any]:
    damage = tar.damage
    told = None
    if damage is not None:
        told = {"message": damage.message, "position": damage.position}
        if isinstance(damage, TarDamage):
            names = ("kind", "byte", "members", "last_good", "missing_bytes")
            told |= {name: getattr(damage, name) for name in names}
    return {
        "path": relative(tar.path, survey.root),
        "side": tar.side,
        "bytes": tar.bytes,
        "images": tar.images,
        "damage": told,
    }


def _decoded(report: Report) -> dict[str, Any] | None:
    decoded = report.decoded
    if decoded is None:
        return None
    return {
        "every": decoded.every,
        "seed": None if decoded.every else decoded.seed,
        "images": decoded.soundness.images,
        "resumed": decoded.soundness.resumed,
        "broken": list(broken_images(report.survey, decoded.soundness)),
        "quarantine": decoded.quarantine or None,
    }
