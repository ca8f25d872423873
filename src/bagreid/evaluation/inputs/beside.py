"""A side as files of its own: ``query.npy``, and what lies beside it under the same name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bagreid.contracts import BagreidError
from bagreid.evaluation.inputs.columns import (
    Column,
    Side,
    Table,
    features_of,
    labels_of,
)
from bagreid.evaluation.inputs.copies import in_row_order
from bagreid.evaluation.inputs.npy import map_array, whole_file
from bagreid.evaluation.inputs.tables import SUFFIXES, read_table

SIDES: tuple[Side, Side] = ("query", "gallery")
_FEATURE_FILES = (".npy", "_feature.npy", "_features.npy", ".npz", ".parquet")


def read_npy(path: Path, cache: Path | None, side: Side) -> Table:
    """Reads ``X.npy``; identities, cameras and names may lie beside it in ``X_pid.npy`` and so on.

    Args:
        path: The file of the features.
        cache: A folder for a large copy.
        side: Whose features they are.

    Returns:
        The side, with the columns of ``X_pid.npy``, ``X_camid.npy`` and ``X_name.npy``.

    Raises:
        BagreidError: When a file is damaged or of the wrong type.
    """
    features, copied = in_row_order(features_of(map_array(whole_file(path)), path), cache)
    columns = {}
    for key in ("pid", "camid", "name"):
        found = [file for file in _spelled(path, key) if file.exists()]
        if len(found) > 1:
            raise BagreidError(
                f"stands beside {found[1].name}, which means the same",
                path=found[0],
                remedy="Keep one of them",
            )
        if found:
            columns[key] = labels_of(map_array(whole_file(found[0])), found[0], key)
    return Table(side=side, path=path, features=features, columns=columns, copied=copied)


def _base(path: Path) -> str:
    """``query`` of ``query.npy`` as of ``query_features.npy``."""
    return (
        path.stem.removesuffix("s").removesuffix("_feature")
        if "_feature" in path.stem
        else (path.stem)
    )


def _spelled(path: Path, key: str) -> list[Path]:
    return [path.with_name(f"{_base(path)}_{key}{plural}.npy") for plural in ("", "s")]


def with_table(table: Table, named: Path | None) -> Table:
    """Adds what a ``.txt`` or ``.csv`` says of the images.

    Args:
        table: The side.
        named: The file asked for; None looks beside a ``.npy``, where there may be none.

    Returns:
        The side with the columns of both.

    Raises:
        BagreidError: When the file is damaged, or says again what is known already.
    """
    if named is None:
        if table.path.suffix.lower() != ".npy":
            return table
        beside = [table.path.with_name(_base(table.path) + suffix) for suffix in SUFFIXES]
        found = [file for file in beside if file.is_file()]
        if len(found) > 1:
            raise BagreidError(
                f"stands beside {found[1].name}",
                path=found[0],
                remedy="Keep one of them, or say which with --names",
            )
        if not found:
            return table
        named = found[0]
    columns, unread = read_table(named)
    return Table(
        side=table.side,
        path=table.path,
        features=table.features,
        columns=_joined(table.columns, columns, named),
        unread=(*table.unread, *unread),
        copied=table.copied,
    )


def _joined(
    first: Mapping[str, Column], second: Mapping[str, Column], path: Path
) -> dict[str, Column]:
    twice = sorted(set(first) & set(second))
    if twice:
        raise BagreidError(
            f"holds {' and '.join(twice)}, which {first[twice[0]].path} holds too",
            path=path,
            remedy="Keep them in one place",
        )
    return {**first, **second}


def find_sides(folder: Path) -> tuple[Path, Path]:
    """The files of both sides' features in a folder.

    Args:
        folder: The folder.

    Returns:
        ``query.npy`` and ``gallery.npy``, or what stands for them.

    Raises:
        BagreidError: When one is absent, or several could be meant.
    """
    query, gallery = (_find_side(folder, side) for side in SIDES)
    return query, gallery


def _find_side(folder: Path, side: Side) -> Path:
    found = [file for end in _FEATURE_FILES if (file := folder / f"{side}{end}").is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise BagreidError(
            f"holds {found[0].name} and {found[1].name}", path=folder, remedy="Keep one of them"
        )
    raise BagreidError(
        f"holds no features of the {side}: neither {side}.npy nor {side}.parquet, and no {side}/ "
        "of bagreid extract",
        path=folder,
        remedy="See bagreid evaluate --help for what is read",
    )
