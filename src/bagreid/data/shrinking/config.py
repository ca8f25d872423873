"""How images are made smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["bicubic", "bilinear"]


@dataclass(frozen=True, kw_only=True)
class ShrinkConfig:
    """Size and quality of the smaller images."""

    shortest_edge: int = 144
    """Pixels of the shorter side. An image whose shorter side has no more is copied as it is."""

    quality: int = 90
    """JPEG quality, 1 to 100. At 75 an image takes about six tenths of its bytes at 90."""

    interpolation: Interpolation = "bicubic"
    """How pixels are resized; antialiased either way."""

    def __post_init__(self) -> None:
        if not 1 <= self.shortest_edge <= 65535:
            raise ValueError(f"shortest-edge must be from 1 to 65535, not {self.shortest_edge}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be from 1 to 100, not {self.quality}")
