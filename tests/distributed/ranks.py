"""Verbs on real processes that meet through gloo, forked so that none has to load torch again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

# loaded here, or every process would load them anew
import bagreid.cli.evaluate
import bagreid.cli.extract
import bagreid.evaluation.inputs
import bagreid.evaluation.logits
import bagreid.evaluation.protocol  # noqa: F401
from bagreid.cli.main import main

PATIENCE = 300.0
"""Seconds to wait for another process on a busy machine; nothing is judged by them."""

Before = Callable[[int], None]
"""Called in a process with its rank before the verb runs."""


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def do_nothing(rank: int) -> None:
    """Nothing happens before the verb."""


def _run(rank: int, size: int, port: str, arguments: list[str], said: Path, before: Before) -> None:
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    if size > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }  # fmt: skip
    # Whoever starts the tests in the background leaves them deaf to Ctrl-C; a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before(rank)
    code = 1
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def start(
    arguments: Sequence[object], size: int, said: Path, before: Before = do_nothing
) -> list[BaseProcess]:
    """Starts a verb on so many processes; what each says goes to ``said``/rank."""
    torch.set_num_threads(1)  # more would not survive the fork
    said.mkdir(parents=True, exist_ok=True)
    port = free_port()
    context = multiprocessing.get_context("fork")
    processes: list[BaseProcess] = [
        context.Process(
            target=_run,
            args=(rank, size, port, [str(a) for a in arguments], said / str(rank), before),
        )
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    return processes


def end(processes: list[BaseProcess]) -> list[int | None]:
    """Waits for all; their exit codes."""
    try:
        for process in processes:
            process.join(PATIENCE)
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()


def run(
    arguments: Sequence[object], size: int, said: Path, before: Before = do_nothing
) -> list[str]:
    """Runs a verb to its good end; what each process said."""
    codes = end(start(arguments, size, said, before))
    texts = [(said / str(rank)).read_text() for rank in range(size)]
    assert codes == [0] * size, texts
    return texts


def journalled(folder: Path) -> int:
    """Batches of unfinished sides that are done, as the journals tell."""
    return sum(max(0, path.read_bytes().count(b"\n") - 1) for path in folder.glob("*/*.journal"))


def wait_for_batches(folder: Path, batches: int, alive: Callable[[], bool]) -> bool:
    """Waits for so many batches of the gallery; False where the processes ended before."""
    until = time.monotonic() + PATIENCE
    while alive():
        if (folder / "gallery").exists() and journalled(folder) >= batches:
            return True
        assert time.monotonic() < until
        time.sleep(0.001)
    return False
