"""Random draws that follow from the seed and the place in the archive, and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

Floats = npt.NDArray[np.float32]
Packed = npt.NDArray[np.uint32]
"""Colours whose four bytes are red, green, blue and one that means nothing: such arrays are
gathered and scattered several times faster than rows of three bytes."""
Colour = tuple[float, float, float]
"""Red, green, blue in 0...255."""


class Stream(IntEnum):
    """What a draw is for; the first word of its key."""

    PERSON = 0
    SCENE = 1
    FOLDER = 2
    TRACK = 3
    FRAME = 4
    TEST = 5


def generator(seed: int, stream: Stream, *place: int) -> np.random.Generator:
    """The generator of one place in the archive.

    Args:
        seed: The archive's seed.
        stream: What the draws are for.
        place: Non-negative numbers that tell the place: person, folder, track, frame.

    Returns:
        A counter-based generator, the same in every process.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, stream, *place])))


def choose(rng: np.random.Generator, options: Sequence[tuple[T, float]]) -> T:
    """One of ``(option, weight)``; the weights need not add up to 1."""
    mark = rng.random() * sum(weight for _, weight in options)
    for option, weight in options:
        mark -= weight
        if mark < 0:
            return option
    return options[-1][0]
