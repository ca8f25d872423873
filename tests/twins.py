"""Readers written as plainly and slowly as can be, to hold the fast ones against."""

from __future__ import annotations

import json
import re
from typing import Any

LONGEST_NUMBER = 19
LONGEST_NAME = 4096
NO_SINGLE_FOLDER = re.compile(r"[/*?\[]")

BagRow = tuple[str, list[str], list[int]]
"""Name, folders in the order of the file, labels ascending; none twice."""

BAG_COUNTS = (
    "duplicate_labels",
    "duplicate_folders",
    "bags_merged",
    "repeated_ids",
    "labels_as_text",
    "unknown_keys",
)


class RefusedError(Exception):
    """The reader must refuse this."""


def demand(true: object) -> None:
    if not true:
        raise RefusedError


def _refuse(_: str) -> None:
    raise RefusedError


def bag_twin(raw: bytes) -> tuple[list[BagRow], dict[str, int]]:
    """The bags of a bag file, and the counts of everything odd."""
    try:
        bags = json.loads(
            raw.removeprefix(b"\xef\xbb\xbf").decode(),
            object_pairs_hook=lambda pairs: ("object", *pairs),
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError) as error:
        raise RefusedError from error
    demand(isinstance(bags, list))
    rows: list[BagRow] = []
    counts = dict.fromkeys(BAG_COUNTS, 0)
    for bag in bags:
        demand(isinstance(bag, tuple))
        keys = [key for key, _ in bag[1:]]
        demand(all(keys.count(key) == 1 for key in ("BagLabel", "BagID", "BagImages")))
        fields = dict(bag[1:])
        counts["unknown_keys"] += len(fields) - 3
        name, written = fields["BagID"], fields["BagImages"]
        demand(isinstance(name, str) and name)
        counts["repeated_ids"] += name in [row[0] for row in rows]
        labels, folders = _labels(fields["BagLabel"], counts), []
        demand(isinstance(written, list) and written)
        for pattern in written:
            demand(isinstance(pattern, str) and pattern.endswith("/*") and pattern != "/*")
            demand(not NO_SINGLE_FOLDER.search(pattern[:-2]))
            if pattern[:-2] not in folders:
                folders.append(pattern[:-2])
        lost = len(fields["BagLabel"]) - len(labels), len(written) - len(folders)
        counts["duplicate_labels"] += lost[0]
        counts["duplicate_folders"] += lost[1]
        counts["bags_merged"] += lost != (0, 0)
        rows.append((name, folders, sorted(labels)))
    return rows, counts


def _labels(values: Any, counts: dict[str, int]) -> list[int]:
    labels: list[int] = []
    demand(isinstance(values, list) and values)
    for value in values:
        if isinstance(value, str):
            demand(re.fullmatch(r"[0-9]{1,19}", value))
            counts["labels_as_text"] += 1
        else:
            demand(isinstance(value, int) and not isinstance(value, bool))
        demand(0 <= int(value) < 2**31)
        if int(value) not in labels:
            labels.append(int(value))
    return labels


def list_twin(raw: bytes, split: str | None) -> list[str]:
    """Every name of a list file, repetitions included."""
    try:
        text = raw.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise RefusedError from error
    names = []
    for line in text.split("\n"):
        name = line.strip(" \t\n\v\f\r")
        if name[-1:] not in ("g", "G"):
            name = re.sub(r"[\t\n\f\r ]+-?[0-9]+\Z", "", name)
        if not name or (split is not None and f"{split}/" not in name):
            continue
        _, _, file = name.rpartition("/")
        stem, _, kind = file.rpartition(".")
        demand("/" in name and stem and not file.startswith("._"))
        demand(kind.lower() in ("jpg", "jpeg") and len(name.encode()) <= LONGEST_NAME)
        names.append(name)
    return names


def by_tail(names: list[str]) -> dict[str, str]:
    """The distinct names: the first of those whose last two components are the same."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault("/".join(name.split("/")[-2:]), name)
    return first
