"""How far each tar has come, on disk, so that a killed run goes on from there.

A tar has a journal of lines of JSON. A line is written when all bytes it speaks of are on the disk;
a torn last line is cut off. The notes in the lines (what is broken, what was left out) add up to
the report of the whole run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bagreid.contracts import BagreidError
from bagreid.data.shrinking.tally import Tally

_SCHEMA = "bagreid.shrink-journal/1"


@dataclass(frozen=True, slots=True)
class Note:
    """Something to report of a member.

    Attributes:
        member: Its name in the tar.
        data: First byte of its data in the source tar.
        what: `broken` or `left out`.
        why: The reason.
    """

    member: str
    data: int
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a tar has come.

    Attributes:
        tally: Counts; `tally.read` is where the next member begins in the source, `tally.written`
            how long the new tar is.
        whole: Whether the new tar is complete.
    """

    tally: Tally = field(default_factory=Tally)
    whole: bool = False


class Journal:
    """The journal of one tar.

    Args:
        path: The file; made with its folder when first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def standing(self) -> Standing:
        """How far the tar has come, as the last whole line says; a torn one is left aside.

        Raises:
            BagreidError: If the file is no journal of this version.
        """
        standing = Standing()
        for line in self._lines():
            standing = Standing(Tally(**line["tally"]), line["whole"])
        return standing

    def notes(self) -> Iterator[Note]:
        """All that was noted, in the order of the members."""
        for line in self._lines():
            for note in line["notes"]:
                yield Note(*note)

    def append(self, standing: Standing, notes: list[Note]) -> None:
        """Writes a line; it has left this process when this returns.

        Args:
            standing: How far the tar has come.
            notes: What is to be reported since the last line.
        """
        if self._file is None:
            self._file = self._open()
        values = [[note.member, note.data, note.what, note.why] for note in notes]
        self._put({"tally": asdict(standing.tally), "whole": standing.whole, "notes": values})

    def restart(self) -> None:
        """Forgets everything: the tar must be written anew."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        good = sum(length for length, _ in self._whole_lines())
        file = self.path.open("ab", buffering=0)
        file.truncate(good)
        if not good:
            file.write(orjson.dumps({"schema": _SCHEMA}) + b"\n")
        return file

    def _put(self, value: object) -> None:
        assert self._file is not None
        line = orjson.dumps(value) + b"\n"
        while line:
            line = line[self._file.write(line) :]

    def _lines(self) -> Iterator[Any]:
        """The parsed lines behind the first."""
        for number, (_, line) in enumerate(self._whole_lines()):
            if number:
                yield line

    def _whole_lines(self) -> Iterator[tuple[int, Any]]:
        """Length and value of every line up to the first torn one."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            for number, line in enumerate(file):
                try:
                    value = orjson.loads(line)
                except orjson.JSONDecodeError:
                    return
                if not line.endswith(b"\n"):
                    return
                if number == 0 and value != {"schema": _SCHEMA}:
                    raise BagreidError(
                        "this is no journal of this version of bagreid",
                        path=self.path,
                        remedy="Shrink into a new folder",
                    )
                yield len(line), value
