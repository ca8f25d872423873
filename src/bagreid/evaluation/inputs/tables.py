"""Text files about images: a list of names (``.txt``), or a table with a header line (``.csv``).

Shape letters: N images.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from bagreid.contracts import BagreidError, printable
from bagreid.evaluation.inputs.columns import Column, known_keys

SUFFIXES = (".txt", ".csv")


def read_table(path: Path) -> tuple[Mapping[str, Column], tuple[str, ...]]:
    """Reads names, or identities, cameras and names.

    Args:
        path: A ``.txt`` of one name a line, or a ``.csv`` whose first line names its columns.

    Returns:
        The columns by key, and the names of columns that mean nothing here.

    Raises:
        BagreidError: When it is no such file, or a line lacks a value.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BagreidError(
            "is neither .txt nor .csv",
            path=path,
            remedy="Give one file name a line, or a table with the columns pid and camid or name",
        )
    text = _text(path)
    return ({"name": _names(text, path)}, ()) if suffix == ".txt" else _csv(text, path)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BagreidError(f"cannot be read ({error.strerror})", path=path) from error
    except UnicodeDecodeError as error:
        raise BagreidError(
            "is no UTF-8 text",
            path=path,
            position=f"byte {error.start}",
            remedy="Save it as UTF-8",
        ) from error


def _names(text: str, path: Path) -> Column:
    lines = [line.strip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    _demand_values(lines, "name", path, 1)
    return Column(tuple(lines), path, "name", line=1)


def _csv(text: str, path: Path) -> tuple[Mapping[str, Column], tuple[str, ...]]:
    try:
        rows = list(csv.reader(io.StringIO(text.rstrip(), newline=""), strict=True))
    except csv.Error as error:
        raise BagreidError(
            f"is no CSV ({error})", path=path, remedy="Separate values by commas, and close quotes"
        ) from error
    header = [name.strip() for name in rows[0]] if rows else []
    meaning = known_keys(header, path)
    meaning.pop("feature", None)
    if not meaning:
        found = ", ".join(map(printable, header[:8])) or "nothing"
        raise BagreidError(
            "names no column pid, camid or name in its first line",
            path=path,
            position="line 1",
            remedy=f"It names {found}",
        )
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise BagreidError(
                f"has {len(row)} values for {len(header)} columns",
                path=path,
                position=f"line {number}",
                remedy="Every image needs its line, with a value a column",
            )
    columns = {}
    for key, name in meaning.items():
        place = header.index(name)
        values = [row[place].strip() for row in rows[1:]]
        _demand_values(values, name, path, 2)
        columns[key] = Column(tuple(values), path, name, line=2)
    return columns, tuple(sorted(set(header) - set(meaning.values())))


def _demand_values(values: Sequence[str], name: str, path: Path, first: int) -> None:
    if "" in values:
        raise BagreidError(
            f"lacks a {name}",
            path=path,
            position=f"line {first + values.index('')}",
            remedy="Every image needs its line, in the order of the features",
        )
