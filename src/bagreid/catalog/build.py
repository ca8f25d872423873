"""Builds a catalog: a survey without problems, written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bagreid.catalog.hold import Hold, remove
from bagreid.catalog.layouts import Layout
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.members import SPLITS, BuildProgress
from bagreid.catalog.scanning.scan import SCANS
from bagreid.catalog.store import SCHEMA, new_folder, write_store
from bagreid.catalog.survey import Survey, survey_files


def build_catalog(
    layout: Layout,
    directory: Path,
    hold: Hold,
    *,
    afresh: bool = False,
    workers: int | None = None,
    progress: BuildProgress | None = None,
) -> None:
    """Reads an archive and writes its catalog.

    Args:
        layout: Where everything lies.
        directory: Where the catalog shall be.
        hold: The share of this process in the archive's cache folder.
        afresh: Read again also what was read before, and replace a catalog that is there.
        workers: How many tars are scanned at once; None takes what the machine has.
        progress: Told how far the reading is.

    Raises:
        BagreidError: If anything in the archive is wrong; nothing is written then.
    """
    new_folder(directory).rmdir()  # before hours of reading: can it be written at all?
    if afresh:
        remove(directory.parent / SCANS)
    survey = survey_files(layout, directory.parent, hold, workers=workers, progress=progress)
    for problem in survey.problems():
        raise problem
    manifest = {
        "schema": SCHEMA,
        "layout": layout.name,
        "labelled": layout.labelled.key if layout.labelled else None,
        "shards": [relative(path, layout.root) for path in survey.shards],
        "states": [tar.state for tar in survey.tars] + [None] * bool(layout.trees),
        "sides": [tar.side for tar in layout.tars],
        "loose": bool(survey.loose),
        "rows": np.bincount(survey.members.split, minlength=len(SPLITS)).tolist(),
        "files": _files(layout),
        "findings": survey.findings.to_json(),
    }
    write_store(directory, _tables(survey), manifest, replace=afresh)


def _files(layout: Layout) -> dict[str, str]:
    named: dict[str, Path | None] = {"bags": layout.bag_file, "truth": layout.truth_file}
    named |= {split: source.path for split, source in layout.lists.items()}
    return {role: relative(path, layout.root) for role, path in named.items() if path}


def _tables(survey: Survey) -> dict[str, dict[str, Any]]:
    members, bags = survey.members, survey.bag_table
    assert bags is not None, "a survey without problems has its bags as indices"
    images = ("shard", "block", "size", "group", "camera")
    train = len(survey.split("train"))
    folders = np.arange(len(survey.folder_names) + 1)
    ends = np.searchsorted(members.group[:train], folders, "left").astype(np.int64)
    rows, names = survey.long_names.by_row(members)
    loose = pa.concat_arrays(survey.loose) if survey.loose else pa.array([], pa.large_string())
    truth = survey.truth.astype(np.min_scalar_type(-max(len(survey.identities), 1)))
    return {
        "images": {name: getattr(members, name) for name in images},
        "folders": {
            "name": pa.array(survey.folder_names, pa.large_string()),
            "start": ends[:-1],
            "stop": ends[1:],
        },
        "bags": {
            "bag_id": pa.array(bags.bag_id, pa.large_string()),
            "folder": pa.LargeListArray.from_arrays(bags.folder_offset, bags.folder),
            "label": pa.LargeListArray.from_arrays(bags.label_offset, bags.label),
        },
        "identities": {"identity": survey.identities},
        "truth": {"class_index": truth},
        "long_names": {"row": rows, "name": names},
        "loose": {"name": loose},
    }
