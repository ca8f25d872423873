"""Frozen value types and constants that every layer passes around.

This module stands at the bottom of the house: it imports nothing of bagreid, and never torch at
run time.

Shape letters: B bags, G groups, N images, K candidates, C identities, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "query", "gallery"]
Convention = Literal["sysu30k", "standard"]
QuarantineChoice = Literal["auto", "off"] | Path
"""Which list of broken images a run reads and adds to: the archive's own, none, or a file."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating]

JUNK_PID = -1
"""Identity of a gallery image that is left out of the ranking (Market-1501's convention)."""

DISTRACTOR_PID = -1000
"""Identity of a gallery image of nobody asked for: it stays in the ranking as a wrong answer."""

PADDING = -1
"""Fills the unused places of a ``(N, K)`` candidate table, and an unknown truth."""


def printable(text: str) -> str:
    """Spells what cannot be printed as escapes.

    Names out of strangers' files may hold line feeds and commands to the terminal.

    Args:
        text: Any text.

    Returns:
        One line that any terminal and any encoding of Unicode takes.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


class BagreidError(Exception):
    """What a user can mend: names the file, the position in it, and what to do.

    Args:
        message: What is wrong, without a full stop.
        path: The offending file, where there is one.
        position: Where in the file: ``"byte 512"``, ``"line 3"``, ``"object 17, key BagLabel"``.
        remedy: What the user can do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        position: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.path = None if path is None else Path(path)
        self.position = position
        self.remedy = remedy
        super().__init__(message, path, position, remedy)

    def __reduce__(self) -> tuple[Callable[[str], BagreidError], tuple[str]]:
        """Lets the error pass from one process to another: its arguments are keyword-only."""
        again = partial(type(self), path=self.path, position=self.position, remedy=self.remedy)
        return again, (self.message,)

    def __str__(self) -> str:
        """The whole error in one line: place, message, remedy.

        What is not printable is spelled as by `printable`.
        """
        place = ", ".join(str(part) for part in (self.path, self.position) if part is not None)
        text = f"{place}: {self.message}" if place else self.message
        return printable(f"{text}. {self.remedy}" if self.remedy else text)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where the bytes of one image lie.

    Attributes:
        row: Row of the image in the catalog.
        name: Path of the image as the list files spell it.
        path: The tar (or the image file itself, in an extracted archive).
        offset: First byte of the JPEG in ``path``.
        size: Length of the JPEG in bytes.
    """

    row: int
    name: str
    path: Path
    offset: int
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class PlannedBatch:
    """Which images form one batch, or one rank's share of it; pure NumPy, no pixels.

    Attributes:
        rows: ``(N,)`` int64, catalog rows of the images.
        groups: ``(N,)`` int64, which group (a draw from one bag) of the *global* batch, ascending.
        bags: ``(N,)`` int64, the bag drawn: a row of the bag table the plan was made from; for
            identity-balanced batches the class index of the identity.
        keys: ``(N,)`` int64, number of the sample within the epoch, unique over steps and ranks:
            with the seed and the epoch it determines every random draw of the sample.
    """

    rows: IntArray
    groups: IntArray
    bags: IntArray
    keys: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class BagBatch:
    """One rank's share of a training batch, decoded and resized.

    Attributes:
        images: ``(N, 3, H, W)`` uint8 of the canvas's size, channels last in memory: what
            `bagreid.data.augment.train_views` takes, with ``views``.
        rows: ``(N,)`` int64, catalog rows actually shown (a broken image is replaced).
        groups: ``(N,)`` int64, group of each image, as in `PlannedBatch`.
        bags: ``(N,)`` int64, bag of each image, as in `PlannedBatch`.
        views: ``(N, V)`` float64, what is drawn for each image: a `bagreid.data.draws.View` a row.
        replaced: Rows of broken images that another image of the same bag stands in for.
    """

    images: Tensor
    rows: Tensor
    groups: Tensor
    bags: Tensor
    views: Tensor
    replaced: tuple[int, ...] = ()
