"""Scanning the tars of an archive: several at once, each finished scan kept in the cache."""

from bagreid.catalog.scanning.scan import scan_tars

__all__ = ["scan_tars"]
