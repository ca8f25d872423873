"""Bytes to batches: decode, augment, load.

Only what needs no torch is offered here, so that the command line stays quick; the rest is in
`bagreid.data.decode`, `bagreid.data.augment` and `bagreid.data.loader`.
"""

from bagreid.data.config import AugmentConfig

__all__ = ["AugmentConfig"]
