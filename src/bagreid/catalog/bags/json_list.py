"""Reads a JSON list of any length piece by piece, so that memory stays that of one piece.

A list is cut at commas between its values. Where those are is found by NumPy from the quotes and
brackets alone; whether all of it is JSON is then orjson's to say, piece for piece: if the text of
each piece makes a list between brackets, so does the whole.

Shape letters: T bytes of a text, S structural bytes, V values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from bagreid.contracts import BagreidError, IntArray

PIECE = 1 << 20
"""Bytes read at a time; as Python objects they take up to twenty times as much."""

LARGEST_VALUE = 4 << 20
"""One value of the list may be so long: a bag of every folder of SYSU-30k takes a sixth."""

DEEPEST = 100
"""Lists and objects may nest so deep; a bag file needs two."""

_REMEDY = "Nothing of the archive looks like that: is it the right file?"
_BLANK = b" \t\r\n"
_QUOTE, _COMMA, _BACKSLASH = b'",\\'
_STEP = np.zeros(256, np.int8)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1
_MARKED = _STEP != 0
_MARKED[[_QUOTE, _COMMA]] = True


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some values of the list, in their order.

    Attributes:
        values: The values, as Python objects.
        text: The bytes they were read from.
        first: Number of the first value in the list, from 0.
        byte: Place of `text` in the file.
        line: Number of the line on which `text` begins, from 1.
    """

    values: list[Any]
    text: bytes
    first: int
    byte: int
    line: int

    def place(self, value: int) -> str:
        """Where a value stands.

        Args:
            value: Which of `values`.

        Returns:
            `object 17 (line 1, byte 2093)`; lines count from 1, objects and bytes from 0.
        """
        start = 0 if value == 0 else int(_outline(self.text).comma[value - 1]) + 1
        start += len(self.text) - start - len(self.text[start:].lstrip(_BLANK))
        return f"object {self.first + value} ({self.spot(start)})"

    def spot(self, start: int) -> str:
        """Line and byte in the file of a place in the text.

        Args:
            start: Byte of `text`.

        Returns:
            `line 1, byte 2093`.
        """
        return f"line {self.line + self.text.count(10, 0, start)}, byte {self.byte + start}"


def read_pieces(path: Path, what: str, *, size: int = PIECE) -> Iterator[Piece]:
    """Reads a list.

    Args:
        path: A file of JSON: a list.
        what: What the file is called in errors, such as "the bag file".
        size: Bytes to read at a time.

    Yields:
        The values, some at a time; nothing for an empty list.

    Raises:
        BagreidError: If the file cannot be read, is no UTF-8, no JSON, no list, or one value is
            longer than `LARGEST_VALUE`.
    """
    try:
        with path.open("rb") as file:
            yield from _Reader(file, path, what, size).pieces()
    except OSError as error:
        raise BagreidError(f"cannot be read ({error.strerror})", path=path) from error


class _Outline(NamedTuple):
    """The skeleton of the inside of a list.

    Attributes:
        comma: `(V-1,)` places of the commas that part the values.
        end: Place of the bracket that ends the list, if it is there.
        too_deep: Where it nests deeper than `DEEPEST`, if it does.
    """

    comma: IntArray
    end: int | None
    too_deep: int | None


class _Reader:
    """What is read and not yet handed out, and where it lies in the file."""

    def __init__(self, file: BinaryIO, path: Path, what: str, size: int) -> None:
        self.file, self.path, self.what, self.size = file, path, what, size
        self.text = b""
        self.first, self.byte, self.line = 0, 0, 1

    def pieces(self) -> Iterator[Piece]:
        self._open_list()
        grow = self.size
        while True:
            fresh = self.file.read(grow)
            self.text += fresh
            comma_V, end, too_deep = _outline(self.text)
            if too_deep is not None:
                raise self._too_deep(too_deep)
            if end is not None or not fresh:
                yield from self._last(end)
                return
            grow = self.size
            if len(comma_V):
                cut = int(comma_V[-1])
                piece = self._parse(self.text[:cut])
                if not piece.values:
                    raise self._no_json("nothing stands before a comma", cut)
                yield piece
                self._drop(cut + 1)
            elif len(self.text) >= LARGEST_VALUE:
                raise self._too_long()
            else:
                # Doubling, so that a long value is not looked at again and again.
                grow = min(len(self.text) or grow, LARGEST_VALUE - len(self.text))

    def _open_list(self) -> None:
        """Passes over what stands in front of the first value."""
        self.text = self.file.read(max(self.size, 4))
        if self.text[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in self.text[:4]:
            raise BagreidError(
                f"{self.what} is not UTF-8 text", path=self.path, position="byte 0",
                remedy="Save it as UTF-8",
            )  # fmt: skip
        if self.text.startswith(b"\xef\xbb\xbf"):
            self._drop(3)
        while not self.text.strip(_BLANK):
            self._drop(len(self.text))
            self.text = self.file.read(self.size)
            if not self.text:
                raise self._no_json("it is empty", 0)
        self._drop(len(self.text) - len(self.text.lstrip(_BLANK)))
        if self.text[:1] != b"[":
            found = _KINDS.get(self.text[:1])
            if found is None:
                raise self._no_json("unexpected character", 0)
            raise BagreidError(
                f"{self.what} holds {found} and not a list", path=self.path,
                position=f"line {self.line}, byte {self.byte}",
                remedy="Put everything between [ and ]",
            )  # fmt: skip
        self._drop(1)

    def _last(self, end: int | None) -> Iterator[Piece]:
        """The rest of the list, and a look at what stands behind its end."""
        if end is None:
            raise self._no_json("it ends in the middle of the list", len(self.text))
        behind_comma = self.first > 0
        piece = self._parse(self.text[:end], self.text[end : end + 1])
        if piece.values:
            yield piece
        elif behind_comma:
            raise self._no_json("a comma stands before the end of the list", 0)
        self._drop(end + 1)
        while not self.text.strip(_BLANK):
            self._drop(len(self.text))
            self.text = self.file.read(self.size)
            if not self.text:
                return
        blank = len(self.text) - len(self.text.lstrip(_BLANK))
        raise self._no_json("text behind the end of the list", blank)

    def _parse(self, text: bytes, end: bytes = b"]") -> Piece:
        try:
            values = orjson.loads(b"[%b%b" % (text, end))
        except orjson.JSONDecodeError as error:
            why, at = _explained(error, text)
            raise self._no_json(why, at, self.first + len(_outline(text[:at]).comma)) from error
        piece = Piece(values, text, self.first, self.byte, self.line)
        self.first += len(values)
        return piece

    def _drop(self, count: int) -> None:
        self.line += self.text.count(10, 0, count)
        self.byte += count
        self.text = self.text[count:]

    def _here(self) -> Piece:
        return Piece([], self.text, self.first, self.byte, self.line)

    def _no_json(self, why: str, at: int, value: int | None = None) -> BagreidError:
        within = "" if value is None else f", in object {value}"
        return BagreidError(
            f"{self.what} is not JSON ({why})",
            path=self.path,
            position=self._here().spot(at) + within,
            remedy="If the download was cut, fetch it again",
        )

    def _too_deep(self, at: int) -> BagreidError:
        return BagreidError(
            f"{self.what} nests lists and objects more than {DEEPEST} deep",
            path=self.path,
            position=self._here().spot(at),
            remedy=_REMEDY,
        )

    def _too_long(self) -> BagreidError:
        found = _KINDS.get(self.text.lstrip(_BLANK)[:1], "text")
        return BagreidError(
            f"{self.what} holds {found} of over {LARGEST_VALUE >> 20} MiB",
            path=self.path,
            position=self._here().place(0),
            remedy=_REMEDY,
        )


_KINDS = {b"{": "an object", b"[": "a list", b'"': "text", b"n": "null", b"": "blanks"}
_KINDS |= dict.fromkeys((b"t", b"f"), "true or false")
_KINDS |= dict.fromkeys((bytes([digit]) for digit in b"-0123456789"), "a number")


def _outline(text: bytes) -> _Outline:
    """Finds the skeleton of the inside of a list.

    It is right if the text is JSON, and the parser finds out if it is not.

    Args:
        text: What stands behind the opening bracket, or behind a comma of the list.

    Returns:
        Where the list's own commas and its end are.
    """
    text_T = np.frombuffer(text, np.uint8)
    at_S = np.flatnonzero(_MARKED[text_T])
    if b"\\" in text:
        at_S = at_S[~_escaped(text_T, at_S)]
    mark_S = text_T[at_S]
    quote_S = mark_S == _QUOTE
    bare_S = ~quote_S & (np.cumsum(quote_S) & 1 == 0)
    at_S, mark_S = at_S[bare_S], mark_S[bare_S]
    depth_S = np.cumsum(_STEP[mark_S], dtype=np.int64)
    end, too_deep = None, None
    if (depth_S < 0).any():
        last = int((depth_S < 0).argmax())
        end = int(at_S[last])
        at_S, mark_S, depth_S = at_S[:last], mark_S[:last], depth_S[:last]
    if (depth_S > DEEPEST).any():
        too_deep = int(at_S[(depth_S > DEEPEST).argmax()])
    return _Outline(at_S[(mark_S == _COMMA) & (depth_S == 0)].astype(np.int64), end, too_deep)


def _escaped(text_T: npt.NDArray[np.uint8], at_S: IntArray) -> npt.NDArray[np.bool_]:
    """Whether an odd number of backslashes stands in front of a place."""
    slash = np.flatnonzero(text_T == _BACKSLASH)
    head = np.ones(len(slash), np.bool_)
    head[1:] = np.diff(slash) > 1
    length = np.arange(len(slash)) - np.flatnonzero(head)[np.cumsum(head) - 1] + 1
    before = np.searchsorted(slash, at_S) - 1
    escaped: npt.NDArray[np.bool_] = (slash[before] == at_S - 1) & (length[before] & 1 == 1)
    return escaped


def _explained(error: orjson.JSONDecodeError, text: bytes) -> tuple[str, int]:
    """What orjson found wrong, and at which byte of the text behind its bracket."""
    if error.doc:
        # A comma that was cut off is what the parser may have missed last.
        return error.msg, min(max(len(error.doc[: error.pos].encode()) - 1, 0), len(text))
    try:
        text.decode()
    except UnicodeDecodeError as broken:
        return "it is not UTF-8 text", broken.start
    return error.msg, 0
