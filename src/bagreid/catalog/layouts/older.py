"""Names in the older README: one `val.txt` for query and gallery, bag labels called `.txt`."""

from __future__ import annotations

NAMES = {
    "train": "train.txt",
    "query": "val.txt",
    "gallery": "val.txt",
    "bags": "bag_level_label.txt",
}
"""File of each role, in `meta/` or at the root; the images lie below `imagenet/`."""
