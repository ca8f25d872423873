"""What an archive holds: images, bags and splits, in memory-mapped Arrow tables."""

from bagreid.catalog.bags import BagTable
from bagreid.catalog.catalog import Catalog, open_catalog
from bagreid.catalog.findings import Findings, ListFinding
from bagreid.catalog.protocol import TestProtocol
from bagreid.catalog.reading import CatalogReader, ImageReader
from bagreid.catalog.simulation import BagSimulation

__all__ = [
    "BagSimulation",
    "BagTable",
    "Catalog",
    "CatalogReader",
    "Findings",
    "ImageReader",
    "ListFinding",
    "TestProtocol",
    "open_catalog",
]
