"""One look at all features before they are ranked: which cannot be, which are zero, which repeat.

Shape letters: N images, D features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bagreid.contracts import BagreidError, FloatArray, IntArray, printable
from bagreid.evaluation.inputs.columns import Table
from bagreid.evaluation.sources import as_source

LARGEST_NORM = 0.99e18
"""Beyond it, inner products leave the range of float32, in which most of a ranking is computed; a
little below what the ranking itself refuses, which knows no names."""

_BLOCK = 2**22
_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What stood out.

    Attributes:
        zero: Ascending rows of zeros, ``(n,)`` int64.
        repeated: Ascending rows that are equal to an earlier one and not zero; empty where
            nobody asked.
    """

    zero: IntArray
    repeated: IntArray


def survey_features(table: Table, *, repeats: bool) -> Survey:
    """Looks at every row once, a few MiB at a time.

    Args:
        table: The features, with names where there are names.
        repeats: Whether to look for equal rows.

    Returns:
        What stood out.

    Raises:
        BagreidError: When rows hold NaN or infinity, or are too large to rank; says which.
    """
    features = table.features
    step = max(1, _BLOCK // (features.shape[1] * features.dtype.itemsize))
    zero: list[IntArray] = []
    unfit: list[IntArray] = []
    large: list[IntArray] = []
    seen: set[bytes] = set()
    repeated: list[int] = []
    for start in range(0, len(features), step):
        rows_nD = features[start : start + step]
        odd = np.flatnonzero(~_plain(rows_nD))
        kinds = [odd + start, *_kinds(rows_nD[odd])]
        unfit.append(kinds[0][kinds[1]])
        large.append(kinds[0][kinds[2]])
        zero.append(kinds[0][kinds[3]])
        if repeats:
            blank = set(zero[-1].tolist())
            for row, values in enumerate(rows_nD, start=start):
                print_ = hashlib.blake2b(_bytes(values), digest_size=16).digest()
                if row not in blank and print_ in seen:
                    repeated.append(row)
                seen.add(print_)
    _refuse(table, np.concatenate(unfit), "hold NaN or infinity", _SEE_AGAIN)
    _refuse(table, np.concatenate(large), "are too large to rank", "L2-normalise the features")
    return Survey(np.concatenate(zero), np.array(repeated, np.int64))


_SEE_AGAIN = (
    "Extract these images again; a row of zeros may stand for one that cannot be read: it scores "
    "0 with everybody"
)


def _plain(rows_nD: FloatArray) -> npt.NDArray[np.bool_]:
    """Which rows are finite, of a usual size and not zero, at the price of one product.

    Squares that leave the range of float32 leave the row to `_kinds`.
    """
    values: FloatArray = np.asarray(rows_nD, dtype=rows_nD.dtype.newbyteorder("="))
    if values.dtype == np.float16:  # torch widens several times faster than NumPy
        values = as_source(values).block(0, len(values)).float().numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        square: FloatArray = np.einsum("nd,nd->n", values, values)
    return np.asarray((square > 0) & (square < LARGEST_NORM**2))


def _kinds(rows_nD: FloatArray) -> tuple[Any, Any, Any]:
    """Of the few other rows: which are not finite, which are too large, which are zero."""
    values = np.asarray(rows_nD, dtype=np.float64)
    finite = np.isfinite(values).all(axis=1)
    size = np.abs(values).max(axis=1, initial=0.0)
    safe = np.where(finite & (size > 0), size, 1.0)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        norm = safe * np.sqrt(((values / safe[:, None]) ** 2).sum(axis=1))
    return ~finite, finite & (size > 0) & (norm >= LARGEST_NORM), finite & (size == 0)


def _bytes(values: FloatArray) -> bytes:
    """Equal for equal numbers: −0 is 0."""
    return (values + values.dtype.type(0)).tobytes()


def _refuse(table: Table, rows: IntArray, what: str, remedy: str) -> None:
    if not rows.size:
        return
    more = f" and {rows.size - _SHOWN:,} more" if rows.size > _SHOWN else ""
    raise BagreidError(
        f"the {table.side} features of {rows.size:,} of {len(table.features):,} images {what}",
        path=table.path,
        position="row " + ", ".join(named(table, int(row)) for row in rows[:_SHOWN]) + more,
        remedy=remedy,
    )


def named(table: Table, row: int) -> str:
    """A row's number, with the image's name where there is one."""
    name = names_of(table)
    return str(row) if name is None else f"{row} ({printable(name[row])})"


def names_of(table: Table) -> Sequence[str] | None:
    """The names of a side's images, where there are any."""
    column = table.columns.get("name")
    return None if column is None else tuple(map(str, column.values))


def repeated_rows(names: Sequence[str]) -> list[int]:
    """Ascending rows whose name stands at an earlier row, too."""
    first: dict[str, int] = {}
    return [row for row, name in enumerate(names) if first.setdefault(name, row) != row]
