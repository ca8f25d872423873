"""Tars: all there, whole, and holding nothing that is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bagreid.catalog.checks.places import place, told
from bagreid.catalog.checks.verdict import Verdict, all_of, none_of, plural, ranges
from bagreid.catalog.published import PUBLISHED
from bagreid.catalog.survey import Survey, TarReport

_PART = re.compile(r"part_?(\d{1,4})\.tar", re.IGNORECASE)
_FETCH = "Fetch it again"


def check(survey: Survey, full: bool) -> Iterator[Verdict]:
    """Judges the tars.

    Args:
        survey: The archive.
        full: Whether it should be the whole of SYSU-30k.

    Yields:
        Verdicts; none where all images are extracted files.
    """
    packed = [problem for problem in survey.layout_problems if _is_packed(problem.path)]
    if not survey.tars and not packed and not survey.layout_problems:
        return
    yield _parts(survey, full)
    yield none_of(
        "tars.compressed",
        "compressed tars",
        len(packed),
        says="images are read in place, so tars must be plain",
        examples=(place(survey, problem.path) for problem in packed),
        remedy="Undo the compression and leave the tar packed (gunzip, xz -d, zstd -d ...)",
    )
    yield _whole(survey)
    yield from _passed_over(survey)


def _is_packed(path: Path | None) -> bool:
    """A tar's problem is that it is compressed, or else that it is missing."""
    return path is not None and not path.name.lower().removesuffix(".url").endswith(".tar")


def _parts(survey: Survey, full: bool) -> Verdict:
    """Train tars are numbered, so that the highest number (or the release) tells how many."""
    train = [tar.path.name for tar in survey.tars if tar.side == "train"]
    numbers = {int(match[1]) for name in train if (match := _PART.search(name))}
    last = max([*numbers, PUBLISHED["train tars"] if full else 0])
    missing = [number for number in range(1, last + 1) if number not in numbers]
    if not numbers and train:  # named otherwise: there is nothing to count by
        missing = []
    return all_of(
        "tars.parts",
        "numbered train tars",
        len(train),
        len(train) + len(missing),
        says=f"{'part' if len(missing) == 1 else 'parts'} {', '.join(ranges(missing))} missing"
        + ("" if full else f", while part {last} is there"),
        remedy="Fetch what is missing",
    )


def _whole(survey: Survey) -> Verdict:
    damaged = [tar for tar in survey.tars if tar.damage is not None]
    return all_of(
        "tars.whole",
        "whole tars",
        len(survey.tars) - len(damaged),
        len(survey.tars),
        says=f"{plural(len(damaged), 'tar')} damaged",
        examples=(_damage(survey, tar) for tar in damaged),
        remedy="Fetch the damaged tar again (most download tools can go on where they stopped)",
    )


def _damage(survey: Survey, tar: TarReport) -> str:
    problem = tar.damage
    assert problem is not None, "only damaged tars come here"
    return told(survey, problem)


def _passed_over(survey: Survey) -> Iterator[Verdict]:
    tars = survey.tars
    trailing = [tar for tar in tars if tar.odd.bytes_after_end]
    yield none_of(
        "tars.after_end",
        "unread bytes behind end marks",
        sum(tar.odd.bytes_after_end for tar in trailing),
        says="what lies behind a tar's end mark is not read: either a second tar was glued on, or "
        "a hole in the download looks like an end",
        examples=(
            f"{place(survey, tar.path)}: {tar.odd.bytes_after_end:,} bytes" for tar in trailing
        ),
        remedy=_FETCH,
    )
    unsafe = sum(tar.odd.unsafe for tar in tars)
    yield none_of(
        "tars.unsafe_names",
        "members with unsafe names",
        unsafe,
        says=f"{plural(unsafe, 'name')} absolute or with '..' in it: such members are never used",
        examples=(
            f"{place(survey, tar.path)}: {name}" for tar in tars for name in tar.odd.first_unsafe
        ),
        remedy="Do not unpack this tar: its names lead out of the folder. Ask where it came from",
    )
    # Every tar made of a folder has directories; a link where an image should be loses that image.
    kinds = {k: n for k, n in survey.findings.skipped_members.items() if k != "directory"}
    yield none_of(
        "tars.not_files",
        "links, devices and the like",
        sum(kinds.values()),
        says="members that are no regular files are left out",
        examples=(f"{kind}: {count:,}" for kind, count in kinds.items()),
        remedy="Pack the tar anew with the files themselves (tar --dereference --hard-dereference)",
    )
