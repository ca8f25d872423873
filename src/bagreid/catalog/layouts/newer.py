"""Names in the newer README: `query.txt`, `gallery.txt`, `bag_level_label.json`."""

from __future__ import annotations

NAMES = {
    "train": "train.txt",
    "query": "query.txt",
    "gallery": "gallery.txt",
    "bags": "bag_level_label.json",
    "truth": "truth.csv",
}
"""File of each role, at the root or in `meta/`; `truth.csv` comes with synthetic archives only."""
