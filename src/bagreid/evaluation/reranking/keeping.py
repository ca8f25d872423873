"""A search's state on disk, so that an interrupted one goes on where it was.

Shape letters: N images.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import safetensors
import safetensors.torch
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.evaluation.reranking.images import ImageSet
from bagreid.files import write_beside
from bagreid.world import World, all_objects, on_all

_SECONDS_BETWEEN = 60.0
"""A state is about 0.6 kB an image: writing it once a minute costs next to nothing."""

_SAMPLED = 256
"""Images whose features are part of the fingerprint."""


def fingerprint(images: ImageSet, length: int) -> str:
    """What a search depends on, in short: sizes, list length, and a sample of the features."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(orjson.dumps([images.count, images.queries, images.dim, length]))
    for rows in (images.query_rows, images.gallery_rows):
        digest.update(np.ascontiguousarray(rows).data)
    sample = np.unique(np.linspace(0, images.count - 1, _SAMPLED).astype(np.int64))
    digest.update(images.doubles(sample).cpu().numpy().data)
    return digest.hexdigest()


class Keeper:
    """Keeps one process's state in ``neighbours-RANK-of-SIZE.safetensors`` of a folder.

    Args:
        folder: The folder; it is made.
        images: All images.
        length: The length of the lists.
        world: The processes that share the search: those that go on must be as many.
    """

    def __init__(self, folder: Path, images: ImageSet, length: int, world: World) -> None:
        self._path = folder / f"neighbours-{world.rank}-of-{world.size}.safetensors"
        self._print = fingerprint(images, length)
        self._world = world
        self._written = time.monotonic()

    def restore(self, state: dict[str, Tensor]) -> int:
        """Fills the state from the folder.

        Args:
            state: The tensors to fill.

        Returns:
            The first image whose slab is to be done; 0 where nothing was kept, or where the
            processes were cut off at different slabs.

        Raises:
            BagreidError: When the file is damaged or belongs to other features.
        """
        kept = on_all(self._world, lambda: self._read() if self._path.exists() else None)
        starts = all_objects(0 if kept is None else int(kept[0]), self._world)
        if kept is None or len(set(starts)) > 1:
            return 0
        for name, values in kept[1].items():
            state[name].copy_(values)
        return int(kept[0])

    def _read(self) -> tuple[int, dict[str, Tensor]]:
        try:
            with safetensors.safe_open(self._path, "pt") as file:
                meta: dict[str, Any] = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            start = int(meta["start"])
        except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
            raise BagreidError(
                f"is no kept search ({error})", path=self._path, remedy="Remove it"
            ) from error
        if meta.get("fingerprint") != self._print:
            raise BagreidError(
                "holds the neighbours of other features, or lists of another length",
                path=self._path,
                remedy="Name another folder, or remove this one",
            )
        return start, tensors

    def store(self, start: int, state: dict[str, Tensor], *, last: bool) -> None:
        """Writes the state, unless it was written within the last minute.

        Args:
            start: The first image whose slab is to be done.
            state: The tensors.
            last: Whether the search is done: then it is written in any case.
        """
        due = last or time.monotonic() - self._written >= _SECONDS_BETWEEN
        if not all_objects(due, self._world)[0]:  # the first process decides for all
            return
        meta = {"start": str(start), "fingerprint": self._print}
        host = {name: values.to("cpu").contiguous() for name, values in state.items()}
        data = safetensors.torch.save(host, metadata=meta)
        with write_beside(self._path) as file:
            file.write(data)
        self._written = time.monotonic()
