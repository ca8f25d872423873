"""Workers end, are killed, outlive nobody, and never speak out of turn."""

from __future__ import annotations

import errno
import faulthandler
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch

from bagreid.catalog import Catalog
from bagreid.contracts import BagBatch, BagreidError
from bagreid.data import AugmentConfig, loader
from bagreid.data.workers import AHEAD, WorkerDiedError, Workers
from bagreid.plan import BatchPlan, PlanConfig, make_bag_plan

PATIENCE = 60.0
"""Seconds to wait for another process; nothing is judged by them."""
AUGMENT = AugmentConfig(height=64, width=32)


def children() -> list[BaseProcess]:
    return [child for child in multiprocessing.active_children() if "loader-" in child.name]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


@contextmanager
def workers_of(do: Callable[[int], object], number: int) -> Iterator[Workers[object]]:
    pool: Workers[object] = Workers(do, number)
    try:
        yield pool
    finally:
        pool.end()
    assert not children()


def heavy(number: int) -> np.ndarray:  # type: ignore[type-arg]
    """So large that a worker is writing it most of the time."""
    return np.full(2_000_000, number, dtype=np.uint8)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("pieces", [0, 1, 5, 20])
def test_all_work_is_done_in_order(number: int, pieces: int) -> None:
    with workers_of(lambda piece: (piece * piece, os.getpid()), number) as pool:
        made = list(pool.make(range(pieces)))
    assert [square for square, _ in made] == [piece**2 for piece in range(pieces)]  # type: ignore[misc]
    assert len({pid for _, pid in made}) == min(number, pieces)  # type: ignore[misc]


def test_work_is_taken_when_a_worker_is_about_to_be_free_for_it() -> None:
    taken: list[int] = []

    def works() -> Iterator[int]:
        for piece in count():
            taken.append(piece)
            yield piece

    with workers_of(lambda piece: piece, 2) as pool:
        made = pool.make(works())
        for done in range(10):
            assert next(made) == done
            assert len(taken) == 2 * AHEAD + done + 1


@pytest.mark.parametrize("seed", range(12))
def test_a_worker_killed_at_any_moment_is_told_of_in_its_turn(seed: int) -> None:
    chance = random.Random(seed)
    before = signal.getsignal(signal.SIGCHLD)
    with workers_of(heavy, 2) as pool:
        made = pool.make(count())
        seen = 0
        for _ in range(chance.randrange(3)):
            assert next(made)[0] == seen  # type: ignore[index]
            seen += 1
        time.sleep(chance.random() * 0.02)
        pid = children()[chance.randrange(2)].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))  # no error comes here, out of turn
        try:
            for piece in made:
                assert (piece == seen).all()  # type: ignore[attr-defined]
                seen += 1
        except WorkerDiedError as error:
            said = str(error)
    assert re.search(rf"process {pid}.* SIGKILL.*memory runs out", said)
    assert signal.getsignal(signal.SIGCHLD) is before


def test_how_a_worker_ended_is_said() -> None:
    def leave(number: int) -> None:
        os._exit(number)

    def crash(number: int) -> None:
        faulthandler.disable()
        os.kill(os.getpid(), number)

    with workers_of(leave, 1) as pool, pytest.raises(WorkerDiedError, match="exit code 7") as told:
        next(pool.make([7]))
    assert "fewer workers" in str(told.value)
    with workers_of(crash, 1) as pool, pytest.raises(WorkerDiedError, match="SIGSEGV: an image"):
        next(pool.make([signal.SIGSEGV]))


def test_what_goes_wrong_in_a_worker_is_raised_here() -> None:
    def refuse(number: int) -> None:
        raise BagreidError(f"number {number}", path="a/b", remedy="Count again")

    def slip(number: int) -> float:
        return 1 / number

    with workers_of(refuse, 2) as pool, pytest.raises(BagreidError) as told:
        next(pool.make([5]))
    assert str(told.value) == "a/b: number 5. Count again"
    with workers_of(slip, 2) as pool:
        made = pool.make([2, 0])
        assert next(made) == 0.5
        with pytest.raises(RuntimeError, match=r"in slip\n[^Z]*ZeroDivisionError"):
            next(made)


def test_signals_to_the_whole_group_do_not_reach_the_work() -> None:
    with workers_of(heavy, 1) as pool:
        made = pool.make(range(6))
        next(made)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            pid = children()[0].pid
            assert pid is not None
            os.kill(pid, number)
        assert len(list(made)) == 5


def test_a_stuck_worker_does_not_keep_the_end_waiting() -> None:
    with workers_of(lambda _: time.sleep(10_000), 2) as pool:
        pool.make([1, 2])


@pytest.mark.parametrize("seed", range(4))
def test_workers_end_when_the_training_process_is_killed(seed: int) -> None:
    """Whatever they were at, and with no one left to tell them to."""
    chance = random.Random(seed)
    told, tell = os.pipe()
    trainer = os.fork()
    if trainer == 0:
        pool: Workers[object] = Workers(heavy, 3)
        made = pool.make(count())
        next(made)
        os.write(tell, " ".join(str(child.pid) for child in children()).encode())
        while True:
            next(made)
    os.close(tell)
    pids = [int(pid) for pid in os.read(told, 100).split()]
    os.close(told)
    assert len(pids) == 3
    time.sleep(chance.random() * 0.05)
    os.kill(trainer, signal.SIGKILL)
    os.waitpid(trainer, 0)
    wait_until(lambda: not any(map(is_running, pids)))


def test_a_program_that_forgets_its_workers_ends() -> None:
    program = (
        "from bagreid.data.workers import Workers\n"
        "pool = Workers(str, 2)\n"
        "made = pool.make(range(100))\n"
        "print(next(made))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=True
    )
    assert ran.stdout == b"0\n"
    assert ran.stderr == b""


def test_a_copy_of_the_program_ends_nobodys_workers() -> None:
    with workers_of(heavy, 2) as pool:
        made = pool.make(range(6))
        next(made)
        child = os.fork()
        if child == 0:
            pool.end()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert len(list(made)) == 5


def test_workers_that_cannot_be_started_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fork = os.fork
    left = iter([True, False])

    def no_memory() -> int:
        if next(left):
            return fork()
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(os, "fork", no_memory)
    with pytest.raises(BagreidError, match=r"worker 2 of 3 .*: Cannot allocate memory.*fewer"):
        Workers(heavy, 3)
    assert not children()


def plan_of(catalog: Catalog) -> BatchPlan:
    bags = catalog.bags.folder_offset, catalog.bags.folder
    config = PlanConfig(groups=4, images_per_group=8)
    return make_bag_plan(catalog.folder_start, catalog.folder_stop, bags, config, seed=1)


def test_a_new_loader_goes_on_where_a_worker_died(make_catalog: Callable[..., Catalog]) -> None:
    catalog = make_catalog()
    plan = plan_of(catalog)
    chance = random.Random(0)

    def load(start: int, workers: int) -> Iterator[BagBatch]:
        epoch, step = divmod(start, plan.steps_per_epoch)
        return loader.bag_loader(
            catalog, plan, AUGMENT, seed=1, epoch=epoch, start_step=step, epochs=30 - epoch,
            workers=workers,
        )  # fmt: skip

    whole = list(load(0, 0))
    made: list[BagBatch] = []
    deaths = 0
    while len(made) < len(whole):
        try:
            for batch in load(len(made), 2):
                made.append(batch)
                if chance.random() < 0.1:
                    pid = chance.choice(children()).pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
        except WorkerDiedError:
            deaths += 1
        assert not children()
    assert deaths > 2
    for one, other in zip(made, whole, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.views, other.views)
        assert torch.equal(one.rows, other.rows)
