"""Files that are complete or absent: written beside, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bagreid.contracts import BagreidError


@contextmanager
def write_beside(
    path: Path, *, flush: bool = False, remedy: str | None = None
) -> Iterator[BinaryIO]:
    """Opens ``NAME.partial`` for writing and renames it at the end; after an error it is removed.

    Args:
        path: The file that is complete afterwards, or untouched.
        flush: Wait until the bytes are on the disk before the rename.
        remedy: What to do where the file cannot be written.

    Yields:
        The open file.

    Raises:
        BagreidError: When the file cannot be written.
    """
    beside = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
            if flush:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        with suppress(OSError):  # there may not even be a folder to remove it from
            beside.unlink()
        if isinstance(error, OSError):
            raise BagreidError(
                f"cannot be written ({error.strerror})", path=path, remedy=remedy
            ) from error
        raise


def write_json(path: Path, value: Any, *, flush: bool = False) -> None:
    """Writes plain values and NumPy numbers as JSON; NaN and infinity become null.

    Args:
        path: The file that is complete afterwards, or untouched.
        value: What to write.
        flush: Wait until the bytes are on the disk before the rename.

    Raises:
        BagreidError: When the file cannot be written.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    with write_beside(path, flush=flush) as file:
        file.write(orjson.dumps(value, option=options))
