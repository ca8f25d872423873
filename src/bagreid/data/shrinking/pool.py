"""Worker processes that make images smaller, and hand them back in the order asked for."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import TYPE_CHECKING, TypeVar

from bagreid.contracts import BagreidError
from bagreid.data.shrinking.config import ShrinkConfig
from bagreid.data.shrinking.verdict import Verdict

if TYPE_CHECKING:
    from bagreid.data.soundness import Inspector

_AHEAD = 4
"""Pieces of work in flight for each worker: enough to keep it busy."""

_AHEAD_BYTES = 64 * 1024 * 1024
"""And no more bytes than that in flight, so that memory stays flat whatever the images."""

_Work = TypeVar("_Work")


def shrink_in_order(
    work: Iterable[_Work],
    images_of: Callable[[_Work], Sequence[bytes]],
    config: ShrinkConfig,
    workers: int,
) -> Generator[tuple[_Work, list[Verdict]], None, None]:
    """Shrinks the images of many pieces of work, a piece in one worker.

    Args:
        work: The pieces; taken a few at a time.
        images_of: Gives the images of a piece: whole files.
        config: Size and quality.
        workers: How many processes; 0: this one does.

    Yields:
        Each piece with what came out for its images, in the order of the pieces.

    Raises:
        BagreidError: If a worker died.
    """
    if not workers:
        yield from _shrink_here(work, images_of, config)
        return
    # Fresh interpreters, for a process that runs threads (as torch does) must not fork.
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(config,)
    )
    flying: deque[tuple[_Work, int, Future[list[Verdict]]]] = deque()
    flying_bytes = 0
    try:
        for piece in work:
            images = images_of(piece)
            flying.append((piece, sum(map(len, images)), pool.submit(_shrink, images)))
            flying_bytes += flying[-1][1]
            while len(flying) > _AHEAD * workers or flying_bytes > _AHEAD_BYTES:
                first, size, future = flying.popleft()
                flying_bytes -= size
                yield first, future.result()
        while flying:
            first, _, future = flying.popleft()
            yield first, future.result()
    except BrokenProcessPool as error:
        raise BagreidError(
            "a worker process died while it shrank images (out of memory, perhaps)",
            remedy="Run the same command again, perhaps with fewer --workers: it goes on from here",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _shrink_here(
    work: Iterable[_Work], images_of: Callable[[_Work], Sequence[bytes]], config: ShrinkConfig
) -> Generator[tuple[_Work, list[Verdict]], None, None]:
    from bagreid.data.shrinking.picture import shrink_picture
    from bagreid.data.soundness import Inspector

    with Inspector() as inspector:
        for piece in work:
            yield piece, [shrink_picture(image, config, inspector) for image in images_of(piece)]


_settings: tuple[ShrinkConfig, Inspector] | None = None
"""What a worker process keeps between pieces."""


def _start_worker(config: ShrinkConfig) -> None:
    global _settings
    import torch  # in the workers only: the main process starts at once, and stays small

    from bagreid.data.soundness import Inspector

    # Ctrl-C reaches the workers too; the main process alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(1)
    _settings = config, Inspector()


def _end_with_the_parent() -> None:
    """A parent that is killed cannot end its workers, which would wait for work for ever."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _shrink(images: Sequence[bytes]) -> list[Verdict]:
    from bagreid.data.shrinking.picture import shrink_picture

    assert _settings is not None
    config, inspector = _settings
    return [shrink_picture(image, config, inspector) for image in images]
