"""Builds a catalog: images in their final order, bags as indices, everything odd counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bagreid.catalog.bags import EMPTY_BAGS, BagFile, BagTable, make_bag_table, read_bag_file
from bagreid.catalog.findings import FIRST, Findings, ListFinding
from bagreid.catalog.layouts import Layout
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.lists import NameList, list_finding, match, read_list
from bagreid.catalog.members import (
    SPLITS,
    BuildProgress,
    Gathered,
    Members,
    canonical_name,
    gather,
)
from bagreid.catalog.store import SCHEMA, write_store
from bagreid.catalog.truth import read_truth
from bagreid.contracts import IntArray, Split
from bagreid.shards.header import BLOCK
from bagreid.shards.index import read_name


def build_catalog(layout: Layout, directory: Path, progress: BuildProgress | None) -> None:
    """Reads an archive and writes its catalog.

    Args:
        layout: Where everything lies.
        directory: Where the catalog shall be.
        progress: Told how far the reading is.

    Raises:
        BagreidError: If anything in the archive is wrong; nothing is written then.
    """
    bags = read_bag_file(layout.bag_file) if layout.bag_file else EMPTY_BAGS
    found = gather(layout, progress)
    duplicates = _drop_duplicates(found)
    folder_names = _sort_by_folder(found)
    members = found.members
    notes = list(layout.notes)
    if not folder_names and bags.bag_id:
        notes.append("bags: left aside, for there are no train images here")
        bags = EMPTY_BAGS
    table, identities = make_bag_table(bags, folder_names, layout.bag_file)
    lists = tuple(_compare_lists(layout, found))
    train = int(np.searchsorted(found.members.split, 1))
    truth, absent, missing = np.zeros(0, np.int64), 0, 0
    if layout.truth_file:
        truth, absent, missing = read_truth(
            layout.truth_file, found.members.key[:train], found.members.key[train:], identities
        )
    members = found.members
    findings = replace(
        _bag_findings(bags, table, folder_names),
        notes=tuple(notes),
        skipped_members=dict(found.skipped),
        not_images=found.not_images,
        unplaced=found.unplaced,
        first_unplaced=tuple(found.first_unplaced),
        duplicate_images=duplicates,
        bytes_after_end=found.bytes_after_end,
        lists=lists,
        truth_absent=absent,
        truth_missing=missing,
    )
    manifest = {
        "schema": SCHEMA,
        "layout": layout.name,
        "shards": [relative(path, layout.root) for path in found.shards],
        "sides": [tar.side for tar in layout.tars],
        "loose": bool(found.loose),
        "rows": np.bincount(members.split, minlength=len(SPLITS)).tolist(),
        "files": _files(layout),
        "findings": findings.to_json(),
    }
    write_store(directory, _tables(found, folder_names, table, identities, truth), manifest)


def _drop_duplicates(found: Gathered) -> int:
    """Keeps the first of images that have the same split and name; returns how many went."""
    members = found.members
    key = members.key ^ members.split.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    _, first = np.unique(key, return_index=True)
    if len(first) < len(members):
        found.members = members.take(np.sort(first))
    return len(members) - len(first)


def _sort_by_folder(found: Gathered) -> list[str]:
    """Brings the rows into order (train by folder, query, gallery); returns folder names."""
    members = found.members
    met = list(found.folders)
    used = np.unique(members.group[members.split == 0])
    order = sorted(used.tolist(), key=lambda number: _folder_key(met[number]))
    rank = np.zeros(len(met), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    train = members.split == 0
    members.group[train] = rank[members.group[train]]
    # Test rows keep their order of reading; stable sorting keeps (shard, offset) inside a folder.
    place = np.where(train, members.group, len(order) + members.split.astype(np.int64))
    found.members = members.take(np.argsort(place, kind="stable"))
    return [met[number] for number in order]


def _folder_key(name: str) -> tuple[bool, int, str]:
    """Folders by number, as windows of neighbours need it; others behind them by name."""
    number = name.isascii() and name.isdigit()
    return not number, int(name) if number else 0, name


def _compare_lists(layout: Layout, found: Gathered) -> Iterator[ListFinding]:
    """Matches each list with its split and puts test rows into the order of their list."""
    for code, split in enumerate(SPLITS):
        source = layout.lists.get(split)
        if source is None:
            continue
        listed: NameList = read_list(source.path, split if source.mixed else None)
        start, stop = np.searchsorted(found.members.split, [code, code + 1]).tolist()
        place, present = match(found.members.key[start:stop], listed)
        unlisted = np.flatnonzero(place < 0)
        yield list_finding(
            relative(source.path, layout.root),
            split,
            listed,
            present,
            len(unlisted),
            [_name(found, start + row, split) for row in unlisted[:FIRST].tolist()],
        )
        if split != "train":
            last = np.where(place < 0, len(present), place)
            order = np.arange(len(found.members))
            order[start:stop] = start + np.argsort(last, kind="stable")
            found.members = found.members.take(order)


def _name(found: Gathered, row: int, split: Split) -> str:
    """The name of a row while the catalog is not written yet."""
    members = found.members
    shard, block = int(members.shard[row]), int(members.block[row])
    if found.loose and shard == len(found.shards) - 1:
        return canonical_name(pa.chunked_array(found.loose)[block].as_py(), split)
    name = found.long_names.get((shard, block))
    if name is None:
        with found.shards[shard].open("rb") as file:
            file.seek((block - 1) * BLOCK)
            name = read_name(file.read(BLOCK))
    return canonical_name(name, split)


def _bag_findings(bags: BagFile, table: BagTable, folder_names: list[str]) -> Findings:
    named = np.zeros(len(folder_names), np.bool_)
    named[table.folder] = True
    lonely = np.flatnonzero(~named) if bags.bag_id else np.zeros(0, np.int64)
    return Findings(
        duplicate_bag_labels=bags.duplicate_labels,
        duplicate_bag_folders=bags.duplicate_folders,
        bags_merged=bags.bags_merged,
        repeated_bag_ids=bags.repeated_ids,
        labels_as_text=bags.labels_as_text,
        unknown_bag_keys=bags.unknown_keys,
        folders_in_no_bag=len(lonely),
        first_folders_in_no_bag=tuple(folder_names[f] for f in lonely[:FIRST].tolist()),
    )


def _files(layout: Layout) -> dict[str, str]:
    named: dict[str, Path | None] = {"bags": layout.bag_file, "truth": layout.truth_file}
    named |= {split: source.path for split, source in layout.lists.items()}
    return {role: relative(path, layout.root) for role, path in named.items() if path}


def _tables(
    found: Gathered,
    folder_names: list[str],
    bags: BagTable,
    identities: IntArray,
    truth: IntArray,
) -> dict[str, dict[str, Any]]:
    members: Members = found.members
    images = ("shard", "block", "size", "group", "camera")
    train_groups = members.group[: np.searchsorted(members.split, 1)]
    ends = np.searchsorted(train_groups, np.arange(len(folder_names) + 1), "left").astype(np.int64)
    rows, names = _long_names(found)
    loose = pa.concat_arrays(found.loose) if found.loose else pa.array([], pa.large_string())
    return {
        "images": {name: getattr(members, name) for name in images},
        "folders": {
            "name": pa.array(folder_names, pa.large_string()),
            "start": ends[:-1],
            "stop": ends[1:],
        },
        "bags": {
            "bag_id": pa.array(bags.bag_id, pa.large_string()),
            "folder": pa.LargeListArray.from_arrays(bags.folder_offset, bags.folder),
            "label": pa.LargeListArray.from_arrays(bags.label_offset, bags.label),
        },
        "identities": {"identity": identities},
        "truth": {"class_index": truth.astype(np.min_scalar_type(-max(len(identities), 1)))},
        "long_names": {"row": rows, "name": pa.array(names, pa.large_string())},
        "loose": {"name": loose},
    }


def _long_names(found: Gathered) -> tuple[IntArray, list[str]]:
    """Side table of names that no single header holds, by row."""
    if not found.long_names:
        return np.zeros(0, np.int64), []
    members = found.members
    place = members.shard.astype(np.int64) << 32 | members.block.astype(np.int64)
    wanted = np.array([shard << 32 | block for shard, block in found.long_names], np.int64)
    order = np.argsort(place, kind="stable")
    at = np.minimum(np.searchsorted(place[order], wanted), len(order) - 1)
    row = order[at]
    by_row = {
        int(row[i]): name
        for i, name in enumerate(found.long_names.values())
        if place[row[i]] == wanted[i]
    }
    rows = sorted(by_row)
    return np.array(rows, np.int64), [by_row[row] for row in rows]
