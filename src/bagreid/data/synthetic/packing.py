"""The files of an archive, filled picture by picture in archive order."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TextIO

from bagreid.data.synthetic import layout
from bagreid.data.synthetic.config import SyntheticConfig
from bagreid.data.synthetic.layout import Chunk
from bagreid.shards.writer import TarWriter


@dataclass(frozen=True, slots=True)
class Picture:
    """One rendered picture.

    Attributes:
        name: Its path, as the lists spell it.
        person: Number of the person it shows.
        data: The JPEG.
    """

    name: str
    person: int
    data: bytes


@dataclass(slots=True)
class Counts:
    """Pictures packed so far; ``impure`` train pictures show a neighbour of their folder."""

    train: int = 0
    impure: int = 0
    query: int = 0
    gallery: int = 0

    @property
    def total(self) -> int:
        """Pictures in all."""
        return self.train + self.query + self.gallery


class Packer:
    """A context manager that writes tars, lists and truth below ``root``.

    Args:
        root: An existing, empty folder.
        config: Sizes of the archive.
    """

    def __init__(self, root: Path, config: SyntheticConfig) -> None:
        self.counts = Counts()
        self._root = root
        self._config = config
        self._stack = ExitStack()
        self._lists: dict[str, TextIO] = {}
        self._tar: TarWriter | None = None

    def __enter__(self) -> Packer:
        for kind in ("train", "query", "gallery", "truth"):
            name = "truth.csv" if kind == "truth" else f"{kind}.txt"
            file = (self._root / name).open("w", encoding="utf-8", newline="\n")
            self._lists[kind] = self._stack.enter_context(file)
        self._lists["truth"].write("image,person_id\n")
        (self._root / "train").mkdir()
        (self._root / "test").mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if self._tar is not None:
            self._tar.__exit__(kind, error, trace)

    def add(self, chunk: Chunk, pictures: list[Picture]) -> None:
        """Packs and lists the pictures of one chunk.

        Args:
            chunk: The next chunk of `layout.chunks`.
            pictures: Its pictures.
        """
        tar = self._tar_of(chunk)
        for picture in pictures:
            tar.add(picture.name, picture.data)
            self._lists[chunk.kind].write(f"{picture.name}\n")
            self._lists["truth"].write(f"{picture.name},{picture.person}\n")
        counts = self.counts
        if chunk.kind == "train":
            counts.train += len(pictures)
            counts.impure += sum(picture.person != chunk.group for picture in pictures)
        elif chunk.kind == "query":
            counts.query += len(pictures)
        else:
            counts.gallery += len(pictures)

    def _tar_of(self, chunk: Chunk) -> TarWriter:
        """The open tar, or the next one; the last is closed with the packer."""
        path = self._root / layout.tar_name(self._config, chunk)
        if self._tar is None or self._tar.path != path:
            if self._tar is not None:
                self._tar.__exit__(None, None, None)
            self._tar = TarWriter(path).__enter__()
        return self._tar


def write_bags(path: Path, people: int) -> None:
    """Writes ``bag_level_label.json``: one JSON list, an object a line.

    It is streamed: the one of the release has tens of megabytes.

    Args:
        path: The file.
        people: Number of train folders; there are three times as many bags.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        opening = "["
        for number, folders in layout.bag_folders(people):
            bag = {
                "BagLabel": folders,
                "BagID": f"bag{number:010d}",
                "BagImages": [f"{layout.folder_name(folder)}/*" for folder in folders],
            }
            file.write(opening + json.dumps(bag))
            opening = ",\n"
        file.write("]\n")
