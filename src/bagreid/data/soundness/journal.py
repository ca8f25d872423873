"""What of an archive was decoded already: one line a piece, so that a killed check goes on."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import orjson

from bagreid.contracts import BagreidError

_SCHEMA = {"schema": "bagreid.soundness/1"}

Faults = list[tuple[int, str]]
"""Place (block) and reason of each broken image of a piece."""


class Journal:
    """An append-only file of finished pieces; only one process writes it at a time.

    A piece is known by a text that names the tar, its state and the images: what was written
    about a tar that changed since is never asked for again.

    Args:
        path: The file; made with its folder where it is absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._done: dict[str, Faults] = {}

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+b")
        except OSError as error:
            raise BagreidError(
                f"the journal cannot be written ({error.strerror})",
                path=self.path,
                remedy="Name another place with --cache or the variable BAGREID_CACHE",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise BagreidError(
                "another process is decoding all images of this archive",
                path=self.path,
                remedy="Wait for it to end",
            ) from error
        self._file = file
        self._read(file)
        return self

    def _read(self, file: BinaryIO) -> None:
        """Takes up all whole lines and cuts off a torn one, which a crash may leave."""
        file.seek(0)
        good = 0
        for number, line in enumerate(file):
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                break
            if not line.endswith(b"\n") or (number == 0 and entry != _SCHEMA):
                break
            if number:
                self._done[entry["piece"]] = [(place, why) for place, why in entry["broken"]]
            good += len(line)
        file.truncate(good)
        file.seek(0, 2)
        if not good:
            self._append(_SCHEMA)

    def get(self, piece: str) -> Faults | None:
        """What was found in a piece.

        Args:
            piece: Its text.

        Returns:
            The broken images; None where the piece was not decoded yet.
        """
        return self._done.get(piece)

    def put(self, piece: str, broken: Faults) -> None:
        """Notes a finished piece; the line has left this process when this returns.

        Args:
            piece: Its text.
            broken: What was found in it.
        """
        self._append({"piece": piece, "broken": broken})

    def _append(self, entry: object) -> None:
        assert self._file is not None, "used outside its with block"
        self._file.write(orjson.dumps(entry) + b"\n")
        self._file.flush()

    def finish(self) -> None:
        """Removes the file: all is decoded, and the next check shall look again."""
        self.path.unlink(missing_ok=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.close()
