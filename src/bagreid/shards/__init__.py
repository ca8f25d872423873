"""Bytes in tars: where each member lies, and how to read it without unpacking anything."""

from bagreid.shards.damage import TarDamage
from bagreid.shards.index import TarIndex, scan_tar, survey_tar
from bagreid.shards.reader import ShardReader
from bagreid.shards.source import ByteSource, header_probe, open_source

__all__ = [
    "ByteSource",
    "ShardReader",
    "TarDamage",
    "TarIndex",
    "header_probe",
    "open_source",
    "scan_tar",
    "survey_tar",
]
