"""Tiny strongly labelled sets in their published layouts, of procedural people (or of nobody)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image

from bagreid.data.synthetic.shots import Shot, render

Kind = Literal["market1501", "dukemtmc", "msmt17_v1", "msmt17_v2", "cuhk03"]

KINDS: tuple[Kind, ...] = ("market1501", "dukemtmc", "msmt17_v1", "msmt17_v2", "cuhk03")

PLACES: dict[Kind, str] = {
    "market1501": "market1501/Market-1501-v15.09.15",
    "dukemtmc": "dukemtmc/DukeMTMC-reID",
    "msmt17_v1": "msmt17/MSMT17_V1",
    "msmt17_v2": "msmt17/MSMT17_V2",
    "cuhk03": "cuhk03/labeled",
}
"""Where people keep them below their data folder."""


@dataclass
class SmallSet:
    """A set to write.

    Attributes:
        kind: Which, and in which version.
        images: Train images of each person.
        queries: People in the test set, each with a query and two gallery images.
        pictures: Whether the images show procedural people; else all are the same few pixels.
    """

    kind: Kind
    images: tuple[int, ...] = (9, 4, 5, 1, 8, 7)
    queries: int = 3
    pictures: bool = False
    root: Path = field(default=Path(), init=False)

    def write(self, data: Path) -> Path:
        """Writes it below a data folder; returns the folder that holds its parts."""
        self.root = data / PLACES[self.kind]
        for part in self.parts.values():
            (self.root / part).mkdir(parents=True, exist_ok=True)
        if self.kind.startswith("msmt17"):
            self._write_msmt17()
        else:
            self._write_market()
        return self.root

    @property
    def parts(self) -> dict[str, str]:
        """Folder of each split."""
        if self.kind.startswith("msmt17"):
            two = (
                ("train", "test") if self.kind == "msmt17_v1" else ("mask_train_v2", "mask_test_v2")
            )
            return {"train": two[0], "query": two[1], "gallery": two[1]}
        return {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}

    def name(self, split: str, pid: int, camera: int, number: int) -> str:
        """A file name as the set spells it."""
        if self.kind.startswith("msmt17"):
            return f"{pid:04d}_{number:03d}_{camera:02d}_0303morning_{number:04d}_0.jpg"
        if self.kind == "dukemtmc":
            return f"{pid:04d}_c{camera}_f{number:07d}.jpg"
        if self.kind == "cuhk03":
            return f"{pid:04d}_c{camera}_{number}.png"
        written = "-1" if pid == -1 else f"{pid:04d}"
        return f"{written}_c{camera}s1_{number:06d}_{0 if split == 'query' else 1:02d}.jpg"

    @property
    def first_test_pid(self) -> int:
        """MSMT17 counts the people of its test set from 0 again."""
        return 0 if self.kind.startswith("msmt17") else len(self.images) + 1

    def entries(self, split: str) -> Iterator[tuple[int, int, int]]:
        """(pid, camera, number) of every image; nobody's are not among them."""
        first = 0 if self.kind.startswith("msmt17") else 1
        cameras = 2 if self.kind == "cuhk03" else 12 if self.kind.startswith("msmt17") else 6
        if split == "train":
            for place, count in enumerate(self.images):
                for number in range(count):
                    yield first + place, 1 + number % cameras, number
            return
        for place in range(self.queries):
            pid = self.first_test_pid + place
            if split == "query":
                yield pid, 1, 0
            else:
                yield from ((pid, 1, 1), (pid, 2, 2), (pid, 2, 3))

    def _write_market(self) -> None:
        for split, part in self.parts.items():
            for pid, camera, number in self.entries(split):
                self._put(self.root / part / self.name(split, pid, camera, number), split, pid)
        (self.root / "bounding_box_test" / "Thumbs.db").write_bytes(b"")
        (self.root / "gt_bbox").mkdir()
        if self.kind == "market1501":
            for pid in (0, 0, -1):
                for number in range(2):
                    name = self.name("gallery", pid, 3, 900 + number)
                    self._put(self.root / "bounding_box_test" / name, "gallery", 99)

    def _write_msmt17(self) -> None:
        lists: dict[str, list[str]] = {name: [] for name in ("train", "val", "query", "gallery")}
        for split, part in self.parts.items():
            for pid, camera, number in self.entries(split):
                path = f"{pid:04d}/{self.name(split, pid, camera, number)}"
                self._put(self.root / part / path, split, pid)
                listed = "val" if split == "train" and number % 5 == 4 else split
                lists[listed].append(f"{path} {pid}\n")
        for name, lines in lists.items():
            (self.root / f"list_{name}.txt").write_text("".join(reversed(lines)))

    def _put(self, path: Path, split: str, pid: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self.pictures:
            path.write_bytes(_blank(path.suffix))
            return
        who = pid if split == "train" else 100 + pid
        number = sum(map(ord, path.name))
        shot = Shot(person=who, place=number % 7, side=0, track=(who, number), frame=0)
        data = render(5, shot, 32)
        if path.suffix == ".png":
            data = _as_png(data)
        path.write_bytes(data)


@cache
def _blank(suffix: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 32), (90, 60, 30)).save(out, "PNG" if suffix == ".png" else "JPEG")
    return out.getvalue()


def _as_png(data: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).save(out, "PNG")
    return out.getvalue()
