"""Bytes in tars: where each member lies, and how to read it without unpacking anything."""

from bagreid.shards.index import TarIndex, scan_tar
from bagreid.shards.reader import ShardReader

__all__ = ["ShardReader", "TarIndex", "scan_tar"]
