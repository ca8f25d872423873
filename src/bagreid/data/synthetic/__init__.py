"""Procedural people, rendered to JPEG and packed in the released layout."""

from bagreid.data.synthetic.archive import ArchiveSummary, write_archive
from bagreid.data.synthetic.config import SyntheticConfig

__all__ = ["ArchiveSummary", "SyntheticConfig", "write_archive"]
