"""The ends of files, which tell how a run stands without reading it all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

TAIL = 1 << 16
"""Bytes of a log that are looked at: hundreds of lines."""

HEAD = 1 << 16
"""Bytes of a result that its totals are looked for in; the rest is its queries."""

WHOLE = 1 << 25
"""Bytes of a result that is read as a whole, where its totals are not among the first."""


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The last that a log tells.

    Attributes:
        step: The last line of kind ``step``.
        validation: The last of kind ``validation``.
        first_time: Unix time of the log's first line.
        last_time: Of its last whole line.
    """

    step: dict[str, Any]
    validation: dict[str, Any]
    first_time: float | None
    last_time: float | None


def read_log_end(path: Path) -> LogEnd:
    """Reads the end of a ``log.jsonl``; lines that are cut or strange are passed over.

    Args:
        path: The log.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        first = _parsed(file.readline(TAIL))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        lines = file.read().splitlines()
    last: dict[Any, dict[str, Any]] = {}
    last_time = None
    for line in map(_parsed, lines):
        last[line.get("kind")] = line
        last_time = line.get("time", last_time)
    times = [
        value if isinstance(value, float) else None for value in (first.get("time"), last_time)
    ]
    return LogEnd(last.get("step", {}), last.get("validation", {}), *times)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    # kinds become keys, so they must be such
    return value if isinstance(value, dict) and isinstance(value.get("kind"), str) else {}


def read_totals(path: Path) -> dict[str, Any]:
    """Reads an ``evaluation.json`` without its queries.

    Args:
        path: The result.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON object, or too long to look into.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
        at = head.rfind(b'"queries": [')
        if at > 0:
            cut = head[:at].rstrip().removesuffix(b",") + b"}"
            try:
                return _object(cut)
            except ValueError:
                pass  # it stands somewhere else; the whole file tells
        if path.stat().st_size > WHOLE:
            raise ValueError("is too long to look into")
        return _object(head + file.read())


def read_object(path: Path) -> dict[str, Any]:
    """Reads a small JSON object.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON object, or too long for one of ours.
    """
    if path.stat().st_size > WHOLE:
        raise ValueError("is too long for what it should be")
    return _object(path.read_bytes())


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError("is not JSON") from error
    if not isinstance(value, dict):
        raise ValueError("holds no JSON object")
    return value
