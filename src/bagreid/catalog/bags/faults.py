"""What may be wrong with a bag, looked for one bag and one key at a time."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bagreid.catalog.bags.json_list import Piece
from bagreid.contracts import BagreidError

KEYS = ("BagLabel", "BagID", "BagImages")
"""The keys of one bag in the released file."""

LARGEST = 2**31 - 1
"""The largest identity."""

LONGEST = 19
"""Digits of an identity that is written as text, leading zeros included."""


class _BadBagError(Exception):
    def __init__(self, why: str, key: str = "", remedy: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.key = f", key {key}" if key else ""
        self.remedy = remedy or (
            'A bag looks like {"BagLabel": [2, 3], "BagID": "bag0000000010", '
            '"BagImages": ["0000000002/*"]}'
        )


def raise_first_fault(piece: Piece, path: Path) -> None:
    """Looks for the first fault, and returns if there is none.

    Args:
        piece: Some bags.
        path: The file they come from.

    Raises:
        BagreidError: Naming object, line, byte and key of the first fault.
    """
    # The parser keeps the last of two equal keys; this one, slow, shows both.
    text = f"[{piece.text.decode()}]"
    keys_of = json.loads(text, object_pairs_hook=_keys, parse_int=float)
    for number, (bag, keys) in enumerate(zip(piece.values, keys_of, strict=True)):
        try:
            _check_keys(bag, keys)
            _check_id(bag["BagID"])
            _check_labels(bag["BagLabel"])
            _check_folders(bag["BagImages"])
        except _BadBagError as error:
            raise BagreidError(
                error.why,
                path=path,
                position=f"{piece.place(number)}{error.key}",
                remedy=error.remedy,
            ) from error


def _keys(pairs: list[tuple[str, Any]]) -> tuple[str, ...]:
    return tuple(key for key, _ in pairs)


def shown(value: Any) -> str:
    """A value as Python spells it: on one line and not too long, however deep it nests.

    Args:
        value: Anything out of JSON.

    Returns:
        Its text.
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return short.repr(value)


def _check_keys(bag: Any, keys: Sequence[str]) -> None:
    if not isinstance(bag, dict):
        raise _BadBagError(f"a bag should be an object and is {_kind(bag)}")
    for key in KEYS:
        if key not in bag:
            raise _BadBagError("the key is missing", key)
        if keys.count(key) > 1:
            raise _BadBagError("the key stands twice in one bag", key, "Keep one of the two")


def _check_id(value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise _BadBagError(f"a bag's name should be text and is {_kind(value)}", "BagID")


def _check_labels(values: Any) -> None:
    if not isinstance(values, list) or not values:
        raise _BadBagError(f"should be a list of identities and is {_kind(values)}", "BagLabel")
    for value in values:
        number = value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= LONGEST:
            number = int(value)
        if type(number) is not int or not 0 <= number <= LARGEST:
            raise _BadBagError(f"{shown(value)} is no identity", "BagLabel")


def _check_folders(values: Any) -> None:
    if not isinstance(values, list) or not values:
        raise _BadBagError(f"should be a list of patterns and is {_kind(values)}", "BagImages")
    for value in values:
        name = value[:-2] if isinstance(value, str) and value.endswith("/*") else ""
        if not name or "/" in name or "*" in name or "?" in name or "[" in name:
            raise _BadBagError(
                f"{shown(value)} is no pattern of the form <folder>/*",
                "BagImages",
                "Only whole train folders can be in a bag, such as 0000000002/*",
            )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if value in ([], ""):
        return "empty"
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return kinds.get(type(value), "a number")
