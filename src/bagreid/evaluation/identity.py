"""What tells one checkpoint, and one choice of images, from others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError, IntArray

_SHOWN = 16


def digest_of_file(path: Path) -> str:
    """A short text that follows from a file's content, not from its name.

    Args:
        path: The file.

    Returns:
        The first half of its SHA-256's digits.

    Raises:
        BagreidError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:_SHOWN]
    except OSError as error:
        raise BagreidError(f"cannot be read ({error.strerror})", path=path) from error


def digest_of_images(catalog: Catalog, rows: IntArray) -> str:
    """A short text that follows from where images lie and who is on them, wherever the archive is.

    Args:
        catalog: The archive.
        rows: ``(N,)`` int64 catalog rows.

    Returns:
        Sixteen digits.
    """
    digest = hashlib.sha256()
    columns = (rows, *catalog.places(rows), catalog.group[rows], catalog.camera[rows])
    for column in columns:
        digest.update(np.ascontiguousarray(column, dtype="<i8").data)
    return digest.hexdigest()[:_SHOWN]
