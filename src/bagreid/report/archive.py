"""The images of an archive as data URIs, small enough for a page; what is gone is counted."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from bagreid.catalog import BagSimulation, Catalog, open_catalog
from bagreid.contracts import BagreidError

HEIGHT = 128
"""Images are scaled down to at most this height, in pixels."""

_WIDEST = 192
_QUALITY = 84


@dataclass(frozen=True, slots=True)
class Picture:
    """An image on the page.

    Attributes:
        uri: The JPEG as a data URI, ``None`` for an empty frame.
        alt: What it shows, in words.
    """

    uri: str | None
    alt: str


class Archive:
    """An archive that may be gone: pictures are handed out, missing ones as empty frames.

    Args:
        root: Where the archive lies, ``None`` when the run does not say.
        catalog: Its catalog, where that is open already.
        simulation: How bags are made of a strongly labelled set.
    """

    def __init__(
        self,
        root: Path | None,
        catalog: Catalog | None = None,
        simulation: BagSimulation = BagSimulation(),  # noqa: B008 - frozen
    ) -> None:
        self.root = root
        self.catalog = catalog
        self.trouble: str | None = None
        self.shown = 0
        self.missing = 0
        if catalog is not None:
            return
        if root is None:
            self.trouble = "The result files name no archive, so images are empty frames."
            return
        try:
            self.catalog = open_catalog(root, simulation=simulation)
        except (BagreidError, OSError) as error:
            reason = str(error).rstrip(".")
            self.trouble = f"The archive cannot be opened, so images are empty frames ({reason})."

    def picture(self, row: int | None, alt: str, name: str | None = None) -> Picture:
        """One image by its row.

        Args:
            row: Its row in the catalog.
            alt: What it shows.
            name: Its path, where the result file has it: the archive may have changed since.

        Returns:
            The picture, an empty frame where the archive, the row or the JPEG is no good.
        """
        uri = None
        if self.catalog is not None:
            uri = self._uri(self.catalog, row, name)
            self.shown += uri is not None
            self.missing += uri is None
        return Picture(uri, alt)

    def faults(self) -> list[str]:
        """What to tell the reader about missing images, in sentences."""
        if self.trouble:
            return [self.trouble]
        if self.missing:
            total = self.shown + self.missing
            return [
                f"{self.missing} of {total} images asked for are absent from the archive, changed "
                "or broken: they are empty frames."
            ]
        return []

    def _uri(self, catalog: Catalog, row: int | None, name: str | None) -> str | None:
        if row is None or not 0 <= row < len(catalog):
            return None
        try:
            if name is not None and not _same_file(catalog.name(row), name):
                return None
            return _data_uri(bytes(catalog.read(row)))
        except (BagreidError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None


def _same_file(one: str, other: str) -> bool:
    return PurePosixPath(one).name == PurePosixPath(other).name


def _data_uri(data: bytes) -> str:
    """Scales a JPEG down and writes it anew, which also drops its metadata."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (_WIDEST, HEIGHT))
        pixels = image.convert("RGB")
    pixels.thumbnail((_WIDEST, HEIGHT), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    pixels.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
