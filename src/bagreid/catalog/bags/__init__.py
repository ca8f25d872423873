"""Bags: the released file, read and checked, and the table of indices made from it."""

from bagreid.catalog.bags.file import EMPTY_BAGS, BagFile, read_bag_file
from bagreid.catalog.bags.table import BagTable, make_bag_table

__all__ = ["EMPTY_BAGS", "BagFile", "BagTable", "make_bag_table", "read_bag_file"]
