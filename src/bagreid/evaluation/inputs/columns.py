"""What is known of every image beside its features: identity, camera and name, as it was written.

Shape letters: N images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bagreid.contracts import BagreidError, FloatArray, IntArray, printable

Labels = IntArray | tuple[str, ...]
"""N whole numbers, or N texts."""

Side = Literal["query", "gallery"]

KEYS = ("feature", "pid", "camid", "name")
"""What an array, a column or a file is called; a plural s behind it is as good."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One value for every image of a side.

    Attributes:
        values: The values, in the order of the features.
        path: The file they come from.
        key: What they are called in it.
        line: The line of the first value, in a text file; None counts rows from 0.
    """

    values: Labels
    path: Path
    key: str
    line: int | None = None

    def __len__(self) -> int:
        return len(self.values)

    def place(self, row: int) -> str:
        """Where the value of an image stands, for messages."""
        where = f"row {row}" if self.line is None else f"line {row + self.line}"
        return where if self.line is not None else f"{self.key}, {where}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """One side as it was read: features, and what columns there are.

    Attributes:
        side: Which one.
        path: The file of the features.
        features: ``(N, D)``, in memory or mapped.
        columns: By key: ``pid``, ``camid``, ``name``, as far as they are there.
        unread: Arrays or columns of other names, which nobody asked for.
        copied: Bytes of a copy of the features on disk.
    """

    side: Side
    path: Path
    features: FloatArray
    columns: Mapping[str, Column] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    copied: int = 0


def known_keys(found: Iterable[str], path: Path, *, prefix: str = "") -> dict[str, str]:
    """Which of the names in a file mean what.

    Args:
        found: Names of arrays or columns.
        path: The file, for messages.
        prefix: What stands before the keys: ``query_``.

    Returns:
        Key → the name that stands for it.

    Raises:
        BagreidError: When two names mean the same.
    """
    meaning: dict[str, str] = {}
    for name in found:
        key = name.removeprefix(prefix) if name.startswith(prefix) else ""
        key = key.removesuffix("s")
        if key not in KEYS:
            continue
        if key in meaning:
            raise BagreidError(
                f"holds both {printable(meaning[key])} and {printable(name)}",
                path=path,
                remedy="Keep one of them",
            )
        meaning[key] = name
    return meaning


def labels_of(values: npt.NDArray[Any], path: Path, key: str) -> Column:
    """Whole numbers or texts out of an array.

    Args:
        values: ``(N,)``.
        path: The file they come from.
        key: What they are called in it.

    Returns:
        The column.

    Raises:
        BagreidError: When they are of another type, or there is not one a row.
    """
    kind = values.dtype.kind
    if values.ndim != 1:
        raise BagreidError(
            f"has shape {values.shape}, not one value an image",
            path=path,
            position=key,
            remedy="Save it one-dimensional, for instance with x.ravel()",
        )
    if kind == "i" or (kind == "u" and int(values.max(initial=0)) < 2**63):
        return Column(values.astype(np.int64), path, key)
    if kind == "U":
        return Column(tuple(values.tolist()), path, key)
    if kind == "S":
        try:
            return Column(tuple(text.decode() for text in values.tolist()), path, key)
        except UnicodeDecodeError as error:
            raise BagreidError("holds text that is not UTF-8", path=path, position=key) from error
    raise BagreidError(
        f"has type {values.dtype}; needed are whole numbers or text",
        path=path,
        position=key,
        remedy="Convert it, for instance with x.astype(np.int64)",
    )


def features_of(values: npt.NDArray[Any], path: Path, key: str | None = None) -> FloatArray:
    """The array, if it can be features.

    Args:
        values: ``(N, D)`` of float16, float32 or float64.
        path: The file it comes from.
        key: What it is called in it.

    Returns:
        The same array.

    Raises:
        BagreidError: When the shape or type is another, or there are no images.
    """
    kind, remedy = values.dtype.kind, ""
    if kind != "f" or values.dtype.itemsize > 8:
        message = f"the features have type {values.dtype}"
        remedy = "Save float16, float32 or float64, for instance with x.astype(np.float32)"
        if kind in "iub":
            remedy += "; whole numbers are refused since they mostly are labels"
        if kind == "c":
            remedy = "Save real numbers: rankings of complex ones have no agreed meaning"
    elif values.ndim != 2:
        message = f"the features have shape {values.shape}, not (images, dimensions)"
        remedy = "Save one row an image, for instance x.reshape(len(x), -1)"
    elif not (values.shape[0] and values.shape[1]):
        message = f"holds no features: shape {values.shape}"
        remedy = "An evaluation needs at least one query and one gallery image"
    else:
        return values
    raise BagreidError(message, path=path, position=key, remedy=remedy)
