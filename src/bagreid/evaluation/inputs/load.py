"""One's own features from any of the formats, checked, as query and gallery.

Shape letters: Q queries, G gallery images, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bagreid.contracts import BagreidError, IntArray
from bagreid.evaluation.cameras import demand_a_match
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.inputs.beside import SIDES, find_sides, read_npy, with_table
from bagreid.evaluation.inputs.columns import Side, Table
from bagreid.evaluation.inputs.completing import completed, demand_use
from bagreid.evaluation.inputs.facts import InputFacts
from bagreid.evaluation.inputs.names import pattern_of
from bagreid.evaluation.inputs.npz import read_npz
from bagreid.evaluation.inputs.numbering import number_cameras, number_identities
from bagreid.evaluation.inputs.parquet import read_parquet
from bagreid.evaluation.inputs.survey import (
    Survey,
    names_of,
    repeated_rows,
    survey_features,
)
from bagreid.evaluation.relations import relate

FilePath = Path | str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedFeatures:
    """Both sides, and what people must know about them; iterates as (query, gallery).

    Attributes:
        query: The queries.
        gallery: The images to rank.
        facts: What was found and which rules were applied.
        identities: What each identity's number stood for; None where they were numbers.
        cameras: What each camera's number stood for; None where they were numbers.
    """

    query: ImageFeatures
    gallery: ImageFeatures
    facts: InputFacts
    identities: tuple[str, ...] | None = None
    cameras: tuple[str, ...] | None = None

    def annotate(self, record: dict[str, Any]) -> None:
        """Adds to ``evaluation.json`` where the features came from, and what numbers stand for.

        Args:
            record: What `evaluate_features` gave; ``input``, ``identities`` and ``cameras`` are
                added, the latter two where they were no numbers and as far as they occur; nothing
                is for a folder of ``bagreid extract``.
        """
        if not self.facts.files:
            return
        record["input"] = self.facts.record()
        shown = [record["queries"], *(query["top"] for query in record["queries"])]
        shown.append([query["match"] for query in record["queries"] if query["match"]])
        for name, key, texts in (
            ("identities", "pid", self.identities),
            ("cameras", "camid", self.cameras),
        ):
            if texts is not None:
                numbers = sorted({image[key] for images in shown for image in images})
                record[name] = {str(number): texts[number] for number in numbers}

    def __iter__(self) -> Iterator[ImageFeatures]:
        return iter((self.query, self.gallery))


def load_features(
    *files: FilePath,
    names: Sequence[FilePath] = (),
    name_pattern: str | None = None,
    ignore_cameras: bool = False,
    cache: Path | None = None,
) -> LoadedFeatures:
    """Reads one's own features: ``.npz``, ``.npy``, Parquet, or a folder.

    Features stay on disk where they can; what must be copied is copied once, and large copies go
    to the disk, without a name. ``docs/own_features.md`` tells all rules.

    Args:
        *files: One ``.npz``, one Parquet file with a column ``split``, a folder of both sides'
            files or of ``bagreid extract``; or two files, of queries and of gallery.
        names: Two files that tell the images' names (``.txt``) or identities, cameras and names
            (``.csv``), of queries and of gallery.
        name_pattern: How file names spell identity and camera: ``market1501``, ``dukemtmc``,
            ``cuhk03-np``, ``sysu30k``, ``msmt17``, or a regular expression with the groups
            ``pid`` and ``camid``; None: ``PID_cCAMERA…``.
        ignore_cameras: Cameras need not be known, and no pair is missed on their account. Pass
            it to `evaluate_features`, too.
        cache: A folder for large copies; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.

    Returns:
        Query and gallery, with what was found.

    Raises:
        BagreidError: When a file is damaged, something is lacking, features cannot be ranked, or
            no query has a match.

    Example:
        >>> import tempfile
        >>> arrays = dict(
        ...     query_feature=np.eye(2, 8), query_pid=["ann", "bob"], query_camid=[1, 1],
        ...     gallery_feature=np.eye(3, 8), gallery_pid=["ann", "bob", "cy"],
        ...     gallery_camid=[2, 2, 2],
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/mine.npz", **arrays)
        ...     query, gallery = load_features(f"{folder}/mine.npz")
        >>> gallery.features.shape, gallery.pids.tolist()
        ((3, 8), [0, 1, 2])
    """
    paths = [Path(file) for file in files]
    if len(paths) not in (1, 2) or len(names) not in (0, 2):
        raise BagreidError(
            f"{len(paths)} files of features and {len(names)} of names were given",
            remedy="Give one file of features for both sides or one a side, and names for both "
            "sides or none",
        )
    if len(paths) == 1 and paths[0].is_dir():
        if any((paths[0] / side / "meta.json").exists() for side in SIDES):
            return _extracted(paths[0], names, name_pattern)
        paths = list(find_sides(paths[0]))
    tables = _read(paths, cache)
    listed: list[Path | None] = [Path(name) for name in names]
    listed = listed or [None, None]
    tables = [with_table(table, file) for table, file in zip(tables, listed, strict=True)]
    pattern = pattern_of(name_pattern)
    if name_pattern is not None:
        demand_use(pattern, tables, ignore_cameras=ignore_cameras)
    query, gallery = (completed(table, pattern, ignore_cameras=ignore_cameras) for table in tables)
    return _joined(query, gallery, ignore_cameras)


def _extracted(folder: Path, names: Sequence[FilePath], name_pattern: str | None) -> LoadedFeatures:
    if names or name_pattern is not None:
        raise BagreidError(
            "holds features of bagreid extract, which know their identities and cameras",
            path=folder,
            remedy="Leave --names and --name-pattern out",
        )
    from bagreid.evaluation import open_features

    query, gallery = (open_features(folder / side) for side in SIDES)
    return LoadedFeatures(query=query, gallery=gallery, facts=InputFacts())


def _read(paths: Sequence[Path], cache: Path | None) -> list[Table]:
    if len(paths) == 2:
        return [_read_file(path, cache, side)[0] for path, side in zip(paths, SIDES, strict=True)]
    return _read_file(paths[0], cache, None)


def _read_file(path: Path, cache: Path | None, side: Side | None) -> list[Table]:
    if not path.exists():
        raise BagreidError("is not there", path=path, remedy="Check the name")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path, cache, side)
    if suffix in (".parquet", ".pq"):
        return read_parquet(path, cache, side)
    if suffix == ".npy" and side is not None:
        return [read_npy(path, cache, side)]
    if suffix == ".npy":
        message, remedy = "is one array", "Give two: of the queries and of the gallery"
    elif path.is_dir():
        message, remedy = "is a folder", "Give one folder of both sides, or two files"
    else:
        message = f"is none of .npz, .npy and .parquet: it ends in {suffix or 'nothing'}"
        remedy = "Save features with numpy.savez or numpy.save"
        if suffix in (".pt", ".pth", ".pkl"):
            remedy += "; pickles can run code and are never opened"
    raise BagreidError(message, path=path, remedy=remedy)


def _joined(query: Table, gallery: Table, ignore_cameras: bool) -> LoadedFeatures:
    if query.features.shape[1] != gallery.features.shape[1]:
        raise BagreidError(
            f"the gallery features have {gallery.features.shape[1]:,} dimensions, those of the "
            f"queries ({query.path}) {query.features.shape[1]:,}",
            path=gallery.path,
            remedy="Extract both with the same network",
        )
    pids = number_identities(query.columns["pid"], gallery.columns["pid"])
    camids = number_cameras(query.columns["camid"], gallery.columns["camid"])
    gallery_camid = camids.gallery
    if ignore_cameras:  # no gallery camera is any query's
        gallery_camid = np.full_like(gallery_camid, camids.query.min() - 1)
    relations = relate(pids.query, camids.query, pids.gallery, gallery_camid)
    demand_a_match(relations, camids.query, camids.label, query.path)
    surveys = (survey_features(query, repeats=True), survey_features(gallery, repeats=False))
    facts = replace(
        _facts(query, gallery, *surveys),
        named_identities=len(pids.texts or ()),
        named_cameras=len(camids.texts or ()),
    )
    return LoadedFeatures(
        query=_images(query, pids.query, camids.query),
        gallery=_images(gallery, pids.gallery, camids.gallery),
        facts=facts,
        identities=pids.texts,
        cameras=camids.texts,
    )


def _images(table: Table, pids: IntArray, camids: IntArray) -> ImageFeatures:
    return ImageFeatures(
        features=table.features,
        pids=pids,
        camids=camids,
        names=names_of(table),
        path=table.path,
    )


def _facts(query: Table, gallery: Table, seen_query: Survey, seen_gallery: Survey) -> InputFacts:
    files = dict.fromkeys((str(query.path), str(gallery.path)))
    names = [names_of(table) or () for table in (query, gallery)]
    return InputFacts(
        files=tuple(files),
        zero_queries=len(seen_query.zero),
        zero_gallery=len(seen_gallery.zero),
        repeated_queries=len(set(repeated_rows(names[0])) | set(seen_query.repeated.tolist())),
        shared_names=len(set(names[0]) & set(names[1])),
        unread=tuple(dict.fromkeys((*query.unread, *gallery.unread))),
        copied_bytes=query.copied + gallery.copied,
    )
