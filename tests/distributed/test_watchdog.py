"""A rank that hangs is named by the others, and all of them end so that torchrun can restart."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ranks import PATIENCE, end, free_port

from bagreid.training.phases import Phases
from bagreid.training.watchdog import EXIT_CODE, Watchdog
from bagreid.world import open_world

TIMEOUT = 2.5
CULPRIT = 1
STEPS = 3

Trouble = Callable[[int, int, Watchdog], None]
"""What a rank does while it loads: (rank, step, watchdog)."""


def _train(rank: int, size: int, port: str, folder: Path, trouble: Trouble) -> None:
    with (folder / f"said-{rank}").open("wb") as file:
        os.dup2(file.fileno(), 2)
    if size > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }  # fmt: skip
    phases = Phases()
    with open_world("cpu") as world, Watchdog(phases, world, folder, TIMEOUT) as watchdog:
        for step in range(STEPS):
            phases.step = step
            with phases("load"):
                trouble(rank, step, watchdog)
            with phases("backward"):
                total = torch.ones(1)
                if size > 1:
                    dist.all_reduce(total)
    sys.stderr.flush()
    os._exit(0)


def start(size: int, folder: Path, trouble: Trouble) -> list[BaseProcess]:
    torch.set_num_threads(1)
    port, context = free_port(), multiprocessing.get_context("fork")
    processes: list[BaseProcess] = [
        context.Process(target=_train, args=(rank, size, port, folder, trouble))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    return processes


def reports(folder: Path) -> list[str]:
    lines = [line for path in folder.glob("said-*") for line in path.read_text().splitlines()]
    return [line for line in lines if line.startswith("bagreid train: the training stands still")]


def sleeps_while_loading(rank: int, step: int, *_: object) -> None:
    if rank == CULPRIT and step == 2:
        time.sleep(PATIENCE)


def loops_for_ever(rank: int, step: int, *_: object) -> None:
    while rank == CULPRIT and step == 2:
        pass


def stops_itself(rank: int, step: int, *_: object) -> None:
    if rank == CULPRIT and step == 2:
        os.kill(os.getpid(), signal.SIGSTOP)


def stops_the_store(rank: int, step: int, *_: object) -> None:
    if rank == 0 and step == 2:  # the first rank keeps the store where no torchrun does
        os.kill(os.getpid(), signal.SIGSTOP)


def pauses_for_long(rank: int, step: int, watchdog: Watchdog) -> None:
    if rank == CULPRIT and step == 2:
        with watchdog.paused():
            time.sleep(1.5 * TIMEOUT)


@pytest.mark.parametrize("trouble", [sleeps_while_loading, loops_for_ever])
def test_a_rank_that_hangs_is_named_and_tells_its_own_stack(
    tmp_path: Path, trouble: Trouble
) -> None:
    processes = start(3, tmp_path, trouble)
    assert end(processes) == [EXIT_CODE] * 3
    (said,) = reports(tmp_path)
    assert f"rank 1 (host {os.uname().nodename}, process {processes[CULPRIT].pid})" in said
    assert 'after step 2 in phase "load"' in said
    for rank in (0, 2):
        written = (tmp_path / f"hang-rank{rank}.txt").read_text()
        assert "rank 1 (host" in written
        assert "all_reduce" in written
    assert trouble.__name__ in (tmp_path / "hang-rank1.txt").read_text()


@pytest.mark.parametrize(("trouble", "culprit"), [(stops_itself, CULPRIT), (stops_the_store, 0)])
def test_a_stopped_rank_is_named_by_the_others(
    tmp_path: Path, trouble: Trouble, culprit: int
) -> None:
    processes = start(2, tmp_path, trouble)
    other = processes[1 - culprit]
    other.join(PATIENCE)
    os.kill(processes[culprit].pid or 0, signal.SIGKILL)
    assert end(processes)[1 - culprit] == EXIT_CODE
    (said,) = reports(tmp_path)
    assert f"rank {culprit} (host {os.uname().nodename}, process {processes[culprit].pid})" in said
    assert "stopped" in said or "has not answered" in said


def test_one_process_alone_says_where_it_stands(tmp_path: Path) -> None:
    def hangs(_: int, step: int, *__: object) -> None:
        time.sleep(PATIENCE if step == 1 else 0)

    assert end(start(1, tmp_path, hangs)) == [EXIT_CODE]
    (said,) = reports(tmp_path)
    assert 'has stood after step 1 in phase "load"' in said
    assert "in hangs" in (tmp_path / "hang-rank0.txt").read_text()


def test_a_long_validation_is_no_hang(tmp_path: Path) -> None:
    assert end(start(2, tmp_path, pauses_for_long)) == [0, 0]
    assert not reports(tmp_path)


def test_a_run_that_was_stopped_as_a_whole_goes_on(tmp_path: Path) -> None:
    """As by a scheduler that suspends a job: the time away does not count."""

    def slow(rank: int, step: int, *_: object) -> None:
        (tmp_path / f"at-{rank}-{step}").touch()
        time.sleep(0.3 * TIMEOUT)

    processes = start(2, tmp_path, slow)
    while not all((tmp_path / f"at-{rank}-1").exists() for rank in range(2)):
        time.sleep(0.05)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in processes:
            os.kill(process.pid or 0, number)
        if number == signal.SIGSTOP:
            time.sleep(1.5 * TIMEOUT)
    assert end(processes) == [0, 0]
    assert not reports(tmp_path)
