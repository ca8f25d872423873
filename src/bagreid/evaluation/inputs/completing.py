"""An identity and a camera for every image: from columns, else from names.

Shape letters: N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bagreid.contracts import BagreidError
from bagreid.evaluation.inputs.columns import Column, Table
from bagreid.evaluation.inputs.names import NamePattern, read_names

_WORDS = {"pid": "identities (pid)", "camid": "cameras (camid)"}


def completed(table: Table, pattern: NamePattern, *, ignore_cameras: bool) -> Table:
    """A side whose every image has an identity and a camera.

    Args:
        table: The side as it was read.
        pattern: How names spell what is lacking.
        ignore_cameras: Cameras need not be known; all get camera 0 then.

    Returns:
        The side, with the columns ``pid`` and ``camid``.

    Raises:
        BagreidError: When a column has another length than the features, what is lacking cannot
            be had from names, or a name does not fit.
    """
    for column in table.columns.values():
        _demand_length(column, table)
    columns = dict(table.columns)
    lacking = [key for key in ("pid", "camid") if key not in columns]
    if lacking == ["camid"] and ignore_cameras:
        columns["camid"] = Column(np.zeros(len(table.features), np.int64), table.path, "camid")
    elif lacking and "name" in columns:
        pid, camid = read_names(columns["name"], pattern, table.side)
        columns.setdefault("pid", pid)
        columns.setdefault("camid", camid)
    elif lacking:
        raise _lacking(table, lacking)
    return replace(table, columns=columns)


def demand_use(pattern: NamePattern, tables: Sequence[Table], *, ignore_cameras: bool) -> None:
    """Refuses a pattern that nothing would be read with.

    Args:
        pattern: The pattern asked for.
        tables: The sides as they were read.
        ignore_cameras: Whether cameras need not be known.

    Raises:
        BagreidError: When identities and cameras of both sides are there already.
    """
    needed = {"pid"} if ignore_cameras else {"pid", "camid"}
    if all(needed <= set(table.columns) for table in tables):
        raise BagreidError(
            f"holds identities and cameras already, so pattern {pattern.title} has nothing to read",
            path=tables[0].path,
            remedy="Leave the name pattern out, or the identities and cameras",
        )


def _demand_length(column: Column, table: Table) -> None:
    if len(column) != len(table.features):
        raise BagreidError(
            f"holds {len(column):,} values of {column.key} for the {len(table.features):,} "
            f"{table.side} images of {table.path.name}",
            path=column.path,
            remedy="Give one an image, in the order of the features",
        )


def _lacking(table: Table, keys: Sequence[str]) -> BagreidError:
    remedy = "Add them, or name: file names that they can be read from"
    if table.path.suffix.lower() == ".npy":
        remedy = (
            f"Save {table.side}_pid.npy and {table.side}_camid.npy beside {table.side}.npy, or "
            "tell the file names with --names QUERY.txt GALLERY.txt"
        )
    if list(keys) == ["camid"]:
        remedy += "; where there is but one camera, --ignore-cameras does without"
    return BagreidError(
        f"comes without {' and '.join(_WORDS[key] for key in keys)} of the {table.side} images",
        path=table.path,
        remedy=remedy,
    )
