"""Where every random draw of planning and augmentation comes from.

Philox is a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011): a stream is addressed, not advanced to. The key holds the seed and the epoch, the two
upper words of the counter the purpose and the index of the drawing thing, so streams never overlap
and no draw depends on how many were made before it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

BLOCK = 4
"""Numbers of 64 bits that one step of Philox's counter gives."""


class Purpose(IntEnum):
    """What a stream of random numbers is for; streams of two purposes never overlap."""

    TILING = 1
    """Where the windows of an epoch begin."""
    BAG_CHOICE = 2
    """Which of its bags a folder is shown in."""
    ORDER = 3
    """The order of an epoch's groups."""
    POOL = 4
    """The order of the images within a pool; the index is the pool's."""
    VIEW = 5
    """The augmentation of samples; a sample's key gives its place in the epoch's stream."""


def generator(
    purpose: Purpose, seed: int, epoch: int, index: int = 0, skip: int = 0
) -> np.random.Generator:
    """Opens the stream of random numbers that belongs to one thing.

    Args:
        purpose: What the numbers are for.
        seed: The run's seed, 0 ≤ seed < 2⁶⁴.
        epoch: The epoch, from 0.
        index: Number of the drawing thing within the epoch.
        skip: How many times `BLOCK` 64-bit numbers of the stream to leave out.

    Returns:
        A generator at that place of that stream.
    """
    # Arrays rather than lists: NumPy takes them twice as fast, and this runs for every group.
    key = np.array([seed, epoch], dtype=np.uint64)
    counter = np.array([skip, 0, purpose, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
