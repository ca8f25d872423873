"""Writes a synthetic archive as downloaded: tars, lists, bag file, truth."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bagreid.contracts import BagreidError
from bagreid.data.synthetic import layout
from bagreid.data.synthetic.config import SyntheticConfig
from bagreid.data.synthetic.layout import Chunk
from bagreid.data.synthetic.packing import Counts, Packer, Picture, write_bags
from bagreid.data.synthetic.shots import render

Progress = Callable[[int, int], None]
"""Called with the number of pictures written so far, and in all."""

_AHEAD = 4
"""Chunks in flight for each worker: enough to keep it busy, few enough for flat memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSummary:
    """What was written.

    Attributes:
        root: The archive.
        train: Train images.
        impure: Train images that show a neighbour instead of the folder's own person.
        query: Query images.
        gallery: Gallery images, distractors included.
        bags: Bags in the bag file.
        tars: Paths of the tars below ``root``.
        size: Bytes of all files together.
    """

    root: Path
    train: int
    impure: int
    query: int
    gallery: int
    bags: int
    tars: tuple[str, ...]
    size: int


def write_archive(
    out: Path,
    config: SyntheticConfig,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> ArchiveSummary:
    """Renders and packs an archive.

    The bytes of every file follow from ``config`` alone. Everything is written beside ``out``
    first and renamed at the end: a run that fails leaves nothing behind. With more than one worker
    a script that calls this needs the usual ``if __name__ == "__main__":``.

    Args:
        out: Where the archive goes: a new or an empty folder.
        config: Sizes, purity, seed.
        workers: Processes that render; 1 renders in this one.
        progress: Told about the pictures written so far.

    Returns:
        Counts of what was written.

    Raises:
        BagreidError: When ``out`` exists and is not an empty folder.
        ValueError: When ``workers`` is below 1.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    _refuse_full(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        counts = _write(partial, config, workers, progress)
        if out.is_dir():
            out.rmdir()
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return _summary(out, config, counts)


def _refuse_full(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BagreidError(
            "it is there already, and nothing is overwritten",
            path=out,
            remedy="Choose another place, or remove it first",
        )


def _write(root: Path, config: SyntheticConfig, workers: int, progress: Progress | None) -> Counts:
    root.mkdir()
    write_bags(root / "bag_level_label.json", config.people)
    with Packer(root, config) as packer:
        for chunk, pictures in _rendered(config, workers):
            packer.add(chunk, pictures)
            if progress is not None:
                progress(packer.counts.total, config.images)
    return packer.counts


def _rendered(config: SyntheticConfig, workers: int) -> Iterator[tuple[Chunk, list[Picture]]]:
    """Every chunk with its pictures, in archive order whatever the number of workers."""
    if workers == 1:
        for chunk in layout.chunks(config):
            yield chunk, render_chunk(config, chunk)
        return
    # Fresh interpreters, for a process that runs threads (as torch does) must not fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupts) as pool:
        waiting: deque[tuple[Chunk, Future[list[Picture]]]] = deque()
        try:
            for chunk in layout.chunks(config):
                waiting.append((chunk, pool.submit(render_chunk, config, chunk)))
                if len(waiting) > _AHEAD * workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches the workers too; the main process alone answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def render_chunk(config: SyntheticConfig, chunk: Chunk) -> list[Picture]:
    """Renders the pictures of one chunk; runs in a worker.

    Args:
        config: The archive.
        chunk: Which pictures.

    Returns:
        The pictures in order.
    """
    return [
        Picture(
            name=entry.name,
            person=entry.shot.person,
            data=render(config.seed, entry.shot, config.shortest_edge),
        )
        for entry in layout.entries(config, chunk)
    ]


def _summary(out: Path, config: SyntheticConfig, counts: Counts) -> ArchiveSummary:
    files = [file for file in out.rglob("*") if file.is_file()]
    tars = sorted((file for file in files if file.suffix == ".tar"), key=_tar_order)
    return ArchiveSummary(
        root=out,
        train=counts.train,
        impure=counts.impure,
        query=counts.query,
        gallery=counts.gallery,
        bags=3 * config.people,
        tars=tuple(tar.relative_to(out).as_posix() for tar in tars),
        size=sum(file.stat().st_size for file in files),
    )


def _tar_order(tar: Path) -> tuple[bool, int, str]:
    """Train parts by length of their name (so part 10 follows part 9), then the test tar."""
    return tar.parent.name != "train", len(tar.name), tar.name
