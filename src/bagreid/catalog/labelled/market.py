"""Market-1501's form: `bounding_box_train/0002_c1s1_000451_03.jpg`, and what is named like it."""

from __future__ import annotations

import re
from pathlib import Path

from bagreid.catalog.findings import FIRST
from bagreid.catalog.labelled.placing import Known, place
from bagreid.catalog.layouts.labelled import IMAGE
from bagreid.catalog.pieces import Oddities
from bagreid.catalog.trees import LooseFolder, files_in
from bagreid.contracts import DISTRACTOR_PID, JUNK_PID, Split

NAME = re.compile(
    r"(?P<pid>-1|[0-9]{1,9})_c(?P<camera>[0-9]{1,4})(?:s[0-9]+)?_.+\.(?:jpe?g|png)",
    re.IGNORECASE | re.ASCII,
)
"""`<pid>_c<camera>_…`, `<pid>_c<camera>s<sequence>_…`."""

_BACKGROUND = 0
"""Whom Market-1501 calls 0000: nobody asked for, a wrong answer to every query."""


def read_folder(folder: Path, root: Path, split: Split, first: int) -> tuple[LooseFolder, int]:
    """Reads one folder of images.

    Args:
        folder: The folder; folders inside it are not looked into.
        root: The set.
        split: What it holds.
        first: Number of its first image among all loose files.

    Returns:
        Its images, and how many train images of nobody were left out: the person of a train image
        is wanted, and junk and background are none.
    """
    names, sizes, unreadable = files_in(folder, root)
    images: list[Known] = []
    others = nobody = 0
    bad: list[str] = []
    for name, size in zip(names, sizes, strict=True):
        file = name.rpartition("/")[2]
        if not IMAGE.fullmatch(file):
            others += 1
        elif (match := NAME.fullmatch(file)) is None:
            bad.append(name)
        else:
            pid = int(match["pid"])
            if split == "train" and pid in (JUNK_PID, _BACKGROUND):
                nobody += 1
                continue
            pid = DISTRACTOR_PID if pid == _BACKGROUND else pid
            images.append(Known(name, size, pid, int(match["camera"])))
    odd = Oddities(not_images=others, bad_names=len(bad), first_bad_names=tuple(bad[:FIRST]))
    return place(images, split, first, odd, unreadable), nobody
