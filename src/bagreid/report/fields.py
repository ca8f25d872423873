"""Typed access to the JSON of a run: what is absent or of another type names its file and place."""

from __future__ import annotations

import json
from pathlib import Path

from bagreid.contracts import BagreidError


class Fields:
    """One JSON object of a result file.

    Args:
        data: The parsed JSON value; anything but an object is refused.
        path: The file it came from.
        position: Where in the file, for error messages: ``"line 3"``, ``"queries[7]"``.
    """

    def __init__(self, data: object, path: Path, position: str | None = None) -> None:
        self.path = path
        self.position = position
        if not isinstance(data, dict):
            raise self._error(f"expected a JSON object, found {type(data).__name__}")
        self.data: dict[str, object] = data

    def __contains__(self, key: str) -> bool:
        return self.data.get(key) is not None

    def text(self, key: str) -> str:
        """The string at ``key``.

        Raises:
            BagreidError: When it is absent or no string.
        """
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self._error(f"no text at '{key}'")
        return value

    def number(self, key: str) -> float:
        """The number at ``key``, NaN included.

        Raises:
            BagreidError: When it is absent or no number.
        """
        value = self.data.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(f"no number at '{key}'")
        return float(value)

    def integer(self, key: str) -> int:
        """The whole number at ``key``.

        Raises:
            BagreidError: When it is absent or no whole number.
        """
        value = self.data.get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._error(f"no whole number at '{key}'")
        return value

    def numbers(self, key: str) -> list[float]:
        """The list of numbers at ``key``.

        Raises:
            BagreidError: When it is absent or holds anything else.
        """
        values = self._list(key)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
            raise self._error(f"'{key}' holds something that is no number")
        return [float(value) for value in values if isinstance(value, int | float)]

    def pairs(self, key: str) -> list[tuple[float, float]]:
        """The list of pairs of numbers at ``key``.

        Raises:
            BagreidError: When it is absent or holds anything else.
        """
        found = []
        for place, value in enumerate(self._list(key)):
            pair = Fields({"pair": value}, self.path, self._place(f"{key}[{place}]"))
            numbers = pair.numbers("pair")
            if len(numbers) != 2:
                raise self._error(f"'{key}[{place}]' is no pair of numbers")
            found.append((numbers[0], numbers[1]))
        return found

    def child(self, key: str) -> Fields:
        """The object at ``key``.

        Raises:
            BagreidError: When it is absent or no object.
        """
        return Fields(self.data.get(key), self.path, self._place(key))

    def children(self, key: str) -> list[Fields]:
        """The list of objects at ``key``.

        Raises:
            BagreidError: When it is absent or holds anything else.
        """
        return [
            Fields(value, self.path, self._place(f"{key}[{place}]"))
            for place, value in enumerate(self._list(key))
        ]

    def truth(self, key: str) -> bool:
        """The ``true`` or ``false`` at ``key``.

        Raises:
            BagreidError: When it is absent or neither.
        """
        value = self.data.get(key)
        if not isinstance(value, bool):
            raise self._error(f"neither true nor false at '{key}'")
        return value

    def expect_schema(self, name: str) -> None:
        """Refuses a file of another schema.

        Raises:
            BagreidError: When ``"schema"`` is not ``name``.
        """
        if self.data.get("schema") != name:
            found = self.data.get("schema")
            raise self._error(f"its schema is {found!r}, this version reads {name!r}")

    def _list(self, key: str) -> list[object]:
        value = self.data.get(key)
        if not isinstance(value, list):
            raise self._error(f"no list at '{key}'")
        return value

    def _place(self, key: str) -> str:
        return f"{self.position}.{key}" if self.position else key

    def _error(self, message: str) -> BagreidError:
        return BagreidError(
            message,
            path=self.path,
            position=self.position,
            remedy="Write the file anew, with the verb that made it",
        )


def read_json(path: Path) -> Fields:
    """Reads a JSON file that holds one object.

    Args:
        path: The file.

    Returns:
        Its fields.

    Raises:
        BagreidError: When it cannot be read, is no JSON, or holds no object.
    """
    try:
        return Fields(json.loads(path.read_bytes()), path)
    except OSError as error:
        raise BagreidError(f"cannot be read ({error.strerror})", path=path) from error
    except UnicodeDecodeError as error:
        raise BagreidError("is not JSON: not UTF-8", path=path) from error
    except json.JSONDecodeError as error:
        raise BagreidError(
            f"is not JSON ({error.msg})",
            path=path,
            position=f"line {error.lineno}, column {error.colno}",
            remedy="Write the file anew, with the verb that made it",
        ) from error
