"""Where `archive.py` keeps what it reads, and how large that is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PARTS = 10
"""Tars of the archive."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all contenders read.

    Attributes:
        work: The folder that everything is written below.
        images: Images of the archive.
        files: Images of the part that lies extracted.
        packed: Images of the part that litdata packs.
    """

    work: Path
    images: int
    files: int
    packed: int

    @property
    def root(self) -> Path:
        """The archive."""
        return self.work / f"archive-{self.images}"

    @property
    def tars(self) -> list[Path]:
        """Its tars."""
        return [self.root / f"train/sysu_train_set_all_part{part + 1}.tar" for part in range(PARTS)]

    @property
    def cache(self) -> Path:
        """Where bagreid keeps the catalog."""
        return self.work / "cache"

    @property
    def extracted(self) -> Path:
        """The part that lies extracted."""
        return self.work / f"files-{self.images}-{self.files}"
