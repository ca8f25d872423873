"""Several scanning processes at once."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bagreid.catalog.scanning.process import Done, Job, Step, serve
from bagreid.contracts import BagreidError


def scan_side_by_side(
    jobs: Sequence[Job], workers: int, tell: Callable[[Step], None]
) -> Generator[Done, None, None]:
    """Scans tars in processes of their own.

    Args:
        jobs: The tars, in the order in which they are begun.
        workers: How many at once.
        tell: Told now and then how far each scan is.

    Yields:
        The end of each scan, as it comes.

    Raises:
        BagreidError: If a process dies.
    """
    waiting = list(reversed(jobs))
    running: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(min(workers, len(jobs))):
            connection, process = _start()
            running[connection] = process
            _give(connection, process, waiting.pop())
        while running:
            ready = set(wait(list(running)))
            for connection in [connection for connection in running if connection in ready]:
                message = _take(connection, running[connection])
                if isinstance(message, Step):
                    tell(message)
                    continue
                yield message
                if waiting:
                    _give(connection, running[connection], waiting.pop())
                else:
                    connection.close()
                    running.pop(connection).join()
    finally:
        _stop(running)


def _give(connection: Connection, process: BaseProcess, job: Job) -> None:
    try:
        connection.send(job)
    except OSError:
        raise _died(process) from None


def _take(connection: Connection, process: BaseProcess) -> Step | Done:
    try:
        message: Step | Done = connection.recv()
    except (EOFError, OSError):
        raise _died(process) from None
    return message


def _start() -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    with _held(signal.SIGINT):
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _held(number: signal.Signals) -> Iterator[None]:
    """Holds a signal back, also from the process started inside until that ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(running: dict[Connection, BaseProcess]) -> None:
    for connection, process in running.items():
        process.terminate()
        with suppress(OSError):
            connection.close()
    for process in running.values():
        process.join()


def _died(process: BaseProcess) -> BagreidError:
    process.join()
    return BagreidError(
        f"a process that scans tars died (exit code {process.exitcode})",
        remedy="Finished tars are kept: run it again, with --workers 1 if memory is short",
    )
