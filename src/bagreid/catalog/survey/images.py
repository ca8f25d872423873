"""The images of an archive, put in order, and everything odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bagreid.catalog.findings import FIRST, DuplicateFinding, Findings
from bagreid.catalog.layouts import Layout, TarSource
from bagreid.catalog.layouts.labelled import LabelledSet
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.long_names import LongNames
from bagreid.catalog.members import Members
from bagreid.catalog.order import drop_duplicates, join_pieces, sort_by_folder
from bagreid.catalog.pieces import Oddities, Piece
from bagreid.catalog.survey.survey import Survey, TarReport
from bagreid.catalog.trees import LooseFolder
from bagreid.contracts import BagreidError

BAD_NAME = "image's name"
"""How the problem of a misnamed image ends, by which checks tell it from others."""


def survey_images(layout: Layout, pieces: list[Piece], folders: list[LooseFolder]) -> Survey:
    """Puts the images of tars and extracted folders in order.

    Args:
        layout: Where they lie.
        pieces: What each tar holds; empty afterwards.
        folders: What each extracted folder holds; empty afterwards.

    Returns:
        A survey that knows of the images only.
    """
    survey = Survey.empty(layout.root, layout, layout.problems)
    tars = [source.path for source in layout.tars]
    survey.tars = tuple(map(_report, layout.tars, pieces))
    survey.shards = tars + ([layout.root] if layout.trees else [])
    survey.loose = [folder.names for folder in folders]
    survey.long_names = LongNames.join(pieces)
    shards = [*range(len(tars)), *[len(tars)] * len(folders)]
    unreadable = [problem for folder in folders for problem in folder.unreadable]
    everything = [*pieces, *(folder.piece for folder in folders)]
    pieces.clear()
    folders.clear()
    odd = [piece.odd for piece in everything]
    survey.bad_test_names = sum(entry.bad_names for entry in odd)
    survey.first_bad_test_names = _first(entry.first_bad_names for entry in odd)
    if layout.labelled is None:
        problems = list(_image_problems(odd, [survey.shards[shard] for shard in shards]))
    else:
        problems = list(_misnamed(odd, layout.labelled))
    survey.image_problems = (*unreadable, *problems)
    survey.members, met = join_pieces(everything, shards)
    duplicates = drop_duplicates(survey.members)
    survey.folder_names = sort_by_folder(survey.members, met)
    survey.findings = replace(
        _sum_up(odd),
        notes=tuple(layout.notes),
        duplicate_images=len(duplicates) // 2,
        duplicates=tuple(_duplicates(survey, duplicates)),
    )
    return survey


def _duplicates(survey: Survey, pairs: Members) -> Iterator[DuplicateFinding]:
    """The pairs of files with the most images that both hold, the most first."""
    both = pairs.shard.reshape(-1, 2)
    assert survey.layout is not None
    found, first, images = np.unique(both, axis=0, return_index=True, return_counts=True)
    for number in np.argsort(-images, kind="stable")[:FIRST].tolist():
        used, left = (
            relative(survey.shards[shard], survey.layout.root) for shard in found[number].tolist()
        )
        example = survey.name_of(pairs, 2 * int(first[number]) + 1)
        yield DuplicateFinding(used=used, left=left, images=int(images[number]), example=example)


def _report(source: TarSource, piece: Piece) -> TarReport:
    return TarReport(
        path=source.path,
        side=source.side,
        bytes=piece.bytes,
        images=len(piece),
        damage=piece.damage,
        odd=piece.odd,
        state=piece.state,
    )


def _sum_up(odd: Sequence[Oddities]) -> Findings:
    skipped: Counter[str] = Counter()
    for entry in odd:
        skipped.update(entry.skipped)
    return Findings(
        skipped_members=dict(skipped),
        not_images=sum(entry.not_images for entry in odd),
        unplaced=sum(entry.unplaced for entry in odd),
        first_unplaced=_first(entry.first_unplaced for entry in odd),
        unsafe=sum(entry.unsafe for entry in odd),
        first_unsafe=_first(entry.first_unsafe for entry in odd),
        bytes_after_end=sum(entry.bytes_after_end for entry in odd),
    )


def _first(names: Iterator[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(name for some in names for name in some)[:FIRST]


def _image_problems(odd: Sequence[Oddities], sources: Sequence[Path]) -> Iterator[BagreidError]:
    """One problem for each file that holds images which no catalog can hold."""
    for entry, path in zip(odd, sources, strict=True):
        for name in entry.first_too_large[:1]:
            yield BagreidError(
                "an image of 4 GiB or a tar of 2 TiB is too large",
                path=path,
                position=f"member '{name}'",
                remedy="Split the tar",
            )
        for name in entry.first_bad_names[:1]:
            yield BagreidError(
                f"'{name}' is no test {BAD_NAME}",
                path=path,
                position=f"member '{name}'",
                remedy="Test images are named <pid>_c<camera>_<n>.jpg, such as 000028311_c1_1.jpg",
            )


def _misnamed(odd: Sequence[Oddities], found: LabelledSet) -> Iterator[BagreidError]:
    """One problem for all images of a labelled set whose names do not say who took them of whom."""
    count = sum(entry.bad_names for entry in odd)
    for name in _first(entry.first_bad_names for entry in odd)[:1]:
        example = "0000_000_01_0303morning_0008_0.jpg" if found.lists else "0002_c1s1_000451_03.jpg"
        more = f" (nor are {count - 1:,} others such names)" if count > 1 else ""
        yield BagreidError(
            f"'{name.rpartition('/')[2]}' is no {BAD_NAME}{more}",
            path=found.root / name,
            remedy=f"Names say who is seen by which camera, as {example} does: name it so, or take "
            "it out of this folder",
        )
