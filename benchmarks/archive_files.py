"""The archive that `archive.py` reads: many images in tars, and a part of them as files."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
from archive_setup import PARTS, Setup
from pictures import make_pictures

from bagreid.contracts import IntArray
from bagreid.data.synthetic.layout import TRAIN, folder_name
from bagreid.data.synthetic.packing import write_bags
from bagreid.shards.writer import TarWriter

PICTURES = 512
"""Different images; the archive repeats them."""

_FOLDER = 1_000
_LEAST_FOLDERS = 20


def folder_sizes(images: int) -> IntArray:
    """`(F,)` images of each folder: about 1,000, `images` in all."""
    folders = max(_LEAST_FOLDERS, images // _FOLDER)
    share = np.random.Generator(np.random.Philox(key=3)).uniform(0.8, 1.2, folders)
    cut = np.round(np.cumsum(share) / share.sum() * images).astype(np.int64)
    sizes: IntArray = np.diff(cut, prepend=0)
    return sizes


def make_archive(setup: Setup) -> None:
    """Writes the archive as downloaded: tars, list and bag file; nothing where it is there.

    Args:
        setup: Where, and how many images.
    """
    if setup.root.exists():
        return
    partial = setup.work / "archive.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "train").mkdir(parents=True)
    pictures = make_pictures(PICTURES)
    sizes = folder_sizes(setup.images)
    shown = np.random.Generator(np.random.Philox(key=4)).integers(PICTURES, size=setup.images)
    number = 0
    with (partial / "train.txt").open("w") as names:
        for part, path in enumerate(setup.tars):
            first, stop = (len(sizes) * edge // PARTS for edge in (part, part + 1))
            with TarWriter(partial / path.relative_to(setup.root)) as tar:
                for folder in range(first, stop):
                    for image in range(int(sizes[folder])):
                        label = folder_name(folder + 1)
                        name = f"{TRAIN}/{label}/{label}_{image + 1:06d}.jpg"
                        tar.add(name, pictures[shown[number]])
                        names.write(f"{name}\n")
                        number += 1
    write_bags(partial / "bag_level_label.json", len(sizes))
    partial.rename(setup.root)


def extract_part(
    setup: Setup, name: Callable[[int], str], read: Callable[[int], bytes | memoryview]
) -> None:
    """Extracts the first images, folder by folder; nothing where they are there.

    Args:
        setup: Where, and how many.
        name: Names an image by its row.
        read: Gives its bytes.
    """
    if setup.extracted.exists():
        return
    partial = setup.work / "files.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for row in range(setup.files):
        path = partial / name(row)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        path.write_bytes(read(row))
    partial.rename(setup.extracted)


def warm(setup: Setup) -> int:
    """Reads all tars once, so that they lie in the page cache; returns their bytes."""
    total = 0
    buffer = bytearray(1 << 24)
    for path in setup.tars:
        with path.open("rb", buffering=0) as file:
            while got := file.readinto(buffer):
                total += got
    return total


def describe(setup: Setup) -> dict[str, int]:
    """The numbers of the archive, for the result."""
    sizes = folder_sizes(setup.images)
    return {
        "images": setup.images,
        "folders": len(sizes),
        "tars": PARTS,
        "bytes": sum(path.stat().st_size for path in setup.tars),
        "different_pictures": PICTURES,
        "files_extracted": setup.files,
        "images_packed_by_litdata": setup.packed,
    }
