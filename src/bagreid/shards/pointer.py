"""Pointers: small files `NAME.tar.url` that say where a tar lies instead of holding it."""

from __future__ import annotations

import re
from pathlib import Path

from bagreid.contracts import BagreidError

ENDING = ".tar.url"
"""How the name of a pointer ends, in any case."""

_LARGEST = 64 * 1024
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\0]+")
_REMEDY = "Write one line into it, such as https://example.org/sysu_train_set_all_part1.tar"


def is_pointer(path: Path) -> bool:
    """Whether a file is a pointer, by its name.

    Args:
        path: Any path.

    Returns:
        True where the name ends in `.tar.url`.
    """
    return path.name.lower().endswith(ENDING)


def read_pointer(path: Path) -> str:
    """The URL that a pointer holds.

    Args:
        path: The pointer.

    Returns:
        The URL.

    Raises:
        BagreidError: If the file cannot be read or holds anything but one URL.
    """
    try:
        if not path.is_file():
            raise BagreidError("cannot be read (it is no plain file)", path=path, remedy=_REMEDY)
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise BagreidError(
            f"cannot be read ({error.strerror})", path=path, remedy=_REMEDY
        ) from error
    text = raw.decode("utf-8-sig", "replace").strip()
    # A chain such as simplecache::http://… would write copies of tars where nobody asked for any.
    if len(raw) > _LARGEST or "::" in text or not _URL.fullmatch(text):
        raise BagreidError(
            "this should hold the URL of a tar in one line, and does not",
            path=path,
            position="line 1",
            remedy=_REMEDY,
        )
    return text


def without_secrets(url: str) -> str:
    """A URL as messages may show it.

    Args:
        url: Any URL.

    Returns:
        The same without user, password, query and fragment.
    """
    scheme, rest = url.split("://", 1)
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, tail = path.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{tail}"
