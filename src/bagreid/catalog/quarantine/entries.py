"""One image of the quarantine, and its line in the file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from bagreid.contracts import BagreidError

FINDERS = frozenset({"verify", "stats", "shrink", "train", "extract", "evaluate", "demo"})
"""The verbs whose findings `replace` may take back; a line found by another is the user's own."""


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """An image known to be broken.

    Attributes:
        image: Its path as the list files spell it.
        size: Its length in bytes.
        crc32: CRC-32 of its bytes.
        reason: What was wrong with it.
        found_by: The verb that found it.
        when: When, in UTC, as ISO 8601 writes it.
        offset: First byte in its tar; a help to find it fast, not needed.
    """

    image: str
    size: int
    crc32: int
    reason: str
    found_by: str
    when: str
    offset: int | None = None

    def same_bytes(self, other: QuarantineEntry) -> bool:
        """Whether both speak of the same image with the same content."""
        mine = (self.image, self.size, self.crc32)
        return mine == (other.image, other.size, other.crc32)


_NUMBERS = {"size": 2**32, "crc32": 2**32, "offset": 2**63}
_KEYS = [field.name for field in fields(QuarantineEntry)]


def format_lines(entries: tuple[QuarantineEntry, ...]) -> bytes:
    """The file's bytes.

    Args:
        entries: The images.

    Returns:
        A JSON object a line, in the order given.
    """
    option = orjson.OPT_APPEND_NEWLINE
    return b"".join(orjson.dumps(entry, option=option) for entry in entries)


def parse_lines(raw: bytes, path: Path) -> tuple[QuarantineEntry, ...]:
    """Reads the file's bytes; empty lines are passed over.

    Args:
        raw: The bytes.
        path: The file, for errors.

    Returns:
        The images by name, each once: of several lines of one image the last counts.

    Raises:
        BagreidError: If a line is no entry.
    """
    found: dict[str, QuarantineEntry] = {}
    lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                entry = _entry(line)
            except ValueError as error:
                raise _damaged(str(error), path, number) from error
            found[entry.image] = entry
    return tuple(found[image] for image in sorted(found))


def _entry(line: bytes) -> QuarantineEntry:
    """Reads one line; a ValueError says what is wrong with it."""
    try:
        value: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise ValueError("the line is no JSON object")
    absent = [key for key in _KEYS if key not in value and key != "offset"]
    unknown = [key for key in value if key not in _KEYS]
    if absent or unknown:
        which = f"lacks {', '.join(absent)}" if absent else f"has an unknown key '{unknown[0]}'"
        raise ValueError(f"the line {which}")
    for key, content in value.items():
        limit = _NUMBERS.get(key)
        if limit is None:
            if not isinstance(content, str) or not content:
                raise ValueError(f"{key} is no text")
        elif not (key == "offset" and content is None) and not (
            type(content) is int and 0 <= content < limit
        ):
            raise ValueError(f"{key} is no whole number from 0 to {limit - 1}")
    return QuarantineEntry(**value)


def _damaged(what: str, path: Path, line: int) -> BagreidError:
    return BagreidError(
        what,
        path=path,
        position=f"line {line}",
        remedy="Delete the line, or the whole file: bagreid verify --images all writes it anew",
    )
