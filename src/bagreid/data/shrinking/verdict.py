"""What becomes of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fate = Literal["shrunk", "small", "no gain", "no JPEG", "broken"]
"""What becomes of an image: a smaller one; or a copy of it, for it is small enough, or would not
take fewer bytes, or is no JPEG, or does not decode."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out for one image.

    Attributes:
        fate: What becomes of it.
        data: The smaller image; empty unless it is shrunk.
        reason: What is wrong with a broken one; else empty.
    """

    fate: Fate
    data: bytes = b""
    reason: str = ""
