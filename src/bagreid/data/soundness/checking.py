"""Decoding many images in worker processes, portion by portion."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process

import torch

from bagreid.catalog.survey import Survey
from bagreid.contracts import BagreidError, IntArray
from bagreid.data.soundness.inspection import Inspector
from bagreid.data.soundness.journal import Faults, Journal
from bagreid.data.soundness.portions import PORTION, Portion, cut
from bagreid.data.soundness.reading import read_images

_AHEAD = 4
"""Portions in flight for each worker."""

_UNREAD = "the disk does not give it back"

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken image.

    Attributes:
        row: Its row of the survey.
        reason: What is wrong with it.
    """

    row: int
    reason: str

    @property
    def unread(self) -> bool:
        """Whether its bytes could not even be read: a run would stumble over it as well."""
        return self.reason.startswith(_UNREAD)


@dataclass(frozen=True, slots=True)
class Soundness:
    """What came out.

    Attributes:
        images: Images looked at, resumed ones included.
        resumed: How many of them an earlier, interrupted check had looked at.
        broken: The broken ones, by row.
    """

    images: int
    resumed: int
    broken: tuple[Fault, ...]


def check_images(
    survey: Survey,
    rows: IntArray | None,
    *,
    workers: int,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> Soundness:
    """Decodes images and lists the broken ones.

    Args:
        survey: The archive.
        rows: Which of its members; None takes all.
        workers: Processes that decode; 0: this one does.
        journal: Portions that stand in it are passed over, and the others are written to it.
        progress: Told how far it is.

    Returns:
        Counts, and the broken images.

    Raises:
        BagreidError: If a file changed meanwhile, or a worker died.
    """
    done = resumed = 0
    total = len(survey.members) if rows is None else len(rows)
    broken: list[Fault] = []

    def take(portion: Portion, faults: Faults) -> None:
        nonlocal done
        done += len(portion)
        row_at = dict(zip(portion.block.tolist(), portion.row.tolist(), strict=True))
        broken.extend(Fault(row_at[block], reason) for block, reason in faults)
        if progress is not None:
            progress(done, total)

    def unknown() -> Iterator[Portion]:
        nonlocal resumed
        for portion in cut(survey, rows):
            known = journal.get(portion.key) if journal else None
            if known is None:
                yield portion
            else:
                resumed += len(portion)
                take(portion, known)

    workers = min(workers, -(-total // PORTION))
    for portion, faults in _decoded(unknown(), workers):
        if journal:
            journal.put(portion.key, faults)
        take(portion, faults)
    return Soundness(done, resumed, tuple(sorted(broken, key=lambda fault: fault.row)))


def _decoded(portions: Iterator[Portion], workers: int) -> Iterator[tuple[Portion, Faults]]:
    """Each portion with its broken images, in order whatever the number of workers."""
    if not workers:
        with Inspector() as inspector:
            for portion in portions:
                yield portion, _faults(inspector, portion)
        return
    # Fresh interpreters, for a process that runs threads (as torch does) must not fork.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    flying: deque[tuple[Portion, Future[Faults]]] = deque()
    try:
        for portion in portions:
            flying.append((portion, pool.submit(_work, portion)))
            if len(flying) > _AHEAD * workers:
                first, future = flying.popleft()
                yield first, future.result()
        while flying:
            first, future = flying.popleft()
            yield first, future.result()
    except BrokenProcessPool as error:
        raise BagreidError(
            "a worker process died while it decoded images (out of memory, perhaps)",
            remedy="Run it again with fewer --workers",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_inspector: Inspector | None = None
"""What a worker process keeps between portions."""


def _start_worker() -> None:
    global _inspector
    # Ctrl-C reaches the workers too; the main process alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(1)
    _inspector = Inspector()


def _end_with_the_parent() -> None:
    """A parent that is killed cannot end its workers, which would wait for work for ever."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(portion: Portion) -> Faults:
    assert _inspector is not None
    return _faults(_inspector, portion)


def _faults(inspector: Inspector, portion: Portion) -> Faults:
    found = []
    for block, data in zip(portion.block.tolist(), read_images(portion), strict=True):
        if isinstance(data, OSError):
            found.append((block, f"{_UNREAD} ({data.strerror})"))
        elif reason := inspector.fault(data):
            found.append((block, reason))
    return found
