"""Telling the URL of an archive from a folder's path."""

from __future__ import annotations

import re
from pathlib import Path

from bagreid.contracts import BagreidError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(?=[^\s\0])")
_MANGLED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/\s\0])")


def url_of(root: Path | str) -> str | None:
    """The URL that somebody named as an archive.

    A `Path` swallows one of the slashes behind the scheme; as options and configurations keep
    roots as paths, `http:/host/folder` is read as what it was, unless there is such a folder.

    Args:
        root: What was named.

    Returns:
        The URL without a slash at its end; None where it is a path.

    Raises:
        BagreidError: If it is a chain of URLs.
    """
    text = str(root)
    if "::" in text and ":/" in text and not Path(root).exists():
        raise BagreidError(
            f"'{text}' is a chain of URLs, which would make copies of tars",
            remedy="Name the URL of the folder itself",
        )
    if isinstance(root, Path) and (match := _MANGLED.match(text)):
        if root.exists():
            return None
        slashes = ":///" if match[1].lower() == "file" else "://"
        text = match[1] + slashes + text[match.end() :]
    return text.rstrip("/") if _URL.match(text) else None
