"""SIGKILL at any moment of a run: what is resumed ends in the undisturbed run's bits."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from account import Account
from runs import Run, assert_equal_ends, kill, wait_until

CASES = 45
TWICE_EVERY = 9
"""One of so many runs is killed twice: 50 kills in all."""

OUTCOME = "resumed to the undisturbed run's bits"

Wait = Callable[[Run, list[BaseProcess]], object]
"""Waits for the moment of a kill."""


@dataclass(frozen=True)
class Kind:
    """A way to run, and a way to die.

    Attributes:
        name: For the account.
        size: Processes.
        workers: Loader's workers of each.
        group: Whether the workers are killed along.
        all_at_once: Whether all processes are killed, or one and the others only if they go on.
    """

    name: str
    size: int = 1
    workers: int = 0
    group: bool = True
    all_at_once: bool = True


KINDS = (
    Kind("one process"),
    Kind("one process, its 2 workers left behind", workers=2, group=False),
    Kind("one process and its 2 workers", workers=2),
    Kind("both of 2 processes", size=2),
    Kind("one of 2 processes, then the other", size=2, all_at_once=False),
)


@dataclass(frozen=True)
class Times:
    """Seconds after the start at which an undisturbed run logs its first step, its last, ends."""

    first: float
    last: float
    end: float


@pytest.fixture(scope="module")
def times(config: Path, tmp_path_factory: pytest.TempPathFactory, undisturbed: Run) -> Times:
    run = Run(config, tmp_path_factory.mktemp("timed") / "run")
    begun = time.monotonic()
    processes = run.start()
    wait_until(run.steps, processes)
    first = time.monotonic() - begun
    wait_until(lambda: run.steps()[-1:] == undisturbed.steps()[-1:], processes)
    last = time.monotonic() - begun
    processes[0].join()
    return Times(first, last, time.monotonic() - begun)


def moment(case: int, times: Times, random: np.random.Generator, factor: float) -> Wait:
    """When a run is killed: most at any time, some where it would hurt most.

    The factor shortens it for one that turned out faster than the one that was timed.
    """
    share = (case + random.random()) / CASES

    def after(seconds: float) -> Wait:
        return lambda _, processes: _sleep(seconds, processes)

    if case % 5 == 3:
        delay, which = random.uniform(0, 0.004), random.integers(1, 8)
        return lambda run, processes: _while_writing(run, processes, int(which), delay)
    if case % 15 == 4:
        return after(random.uniform(0, times.first) * factor)
    if case % 15 == 9:
        delay = random.uniform(0, times.end - times.last) * factor
        return lambda run, processes: _after_last_step(run, processes, delay)
    return after(share * times.end * factor)


def _sleep(seconds: float, processes: list[BaseProcess]) -> None:
    processes[0].join(seconds)


def _while_writing(run: Run, processes: list[BaseProcess], which: int, delay: float) -> None:
    for _ in range(which):
        wait_until(lambda: not run.is_writing(), processes)
        wait_until(run.is_writing, processes)
    time.sleep(delay)


def _after_last_step(run: Run, processes: list[BaseProcess], delay: float) -> None:
    wait_until((run.work_dir / "pseudo_labels.npz").exists, processes)  # written before the test
    _sleep(delay, processes)


def stage(run: Run, undisturbed: Run) -> str:
    """What a run is doing."""
    with suppress(FileNotFoundError):
        if run.is_writing():
            return "while a checkpoint is written"
    steps = run.steps()
    if not steps:
        return "before the first step"
    return "after the last step" if steps[-1] == undisturbed.steps()[-1] else "between the steps"


def kill_all(processes: list[BaseProcess], kind: Kind, random: np.random.Generator) -> None:
    order = random.permutation(len(processes))
    for number in order:
        kill(processes[number], group=kind.group)
        if not kind.all_at_once:  # the others see the connection break, or torchrun ends them
            for other in processes:
                other.join(1.0)
    for process in processes:
        kill(process, group=True)
        process.join()


def kill_once(
    run: Run, wait: Wait, kind: Kind, random: np.random.Generator, undisturbed: Run
) -> str | None:
    """Starts or resumes a run and kills it; what it was doing, None where it ended before."""
    processes = run.start("--resume-from", "auto")
    wait(run, processes)
    found = stage(run, undisturbed)
    alive = all(process.is_alive() for process in processes)
    kill_all(processes, kind, random)
    return found if alive else None


@pytest.mark.parametrize("case", range(CASES))
def test_a_killed_run_ends_in_the_same_bits(
    case: int,
    config: Path,
    tmp_path: Path,
    times: Times,
    undisturbed: Run,
    undisturbed_pair: Run,
    account: Account,
) -> None:
    random = np.random.Generator(np.random.Philox(key=case))
    kind = KINDS[case % len(KINDS)] if case % 5 != 3 else KINDS[case // 5 % len(KINDS)]
    whole = undisturbed if kind.size == 1 else undisturbed_pair
    options = ("--train.workers", str(kind.workers))
    run = Run(config, tmp_path / "run", kind.size, options)
    kills, factor = [], 1.0
    while len(kills) < (2 if case % TWICE_EVERY == 0 else 1):
        if run.is_tested():  # it ended before it was killed: that does not count
            folder = tmp_path / f"again-{random.integers(1 << 30)}"
            run, kills = Run(config, folder / "run", kind.size, options), []
        found = kill_once(run, moment(case, times, random, factor), kind, random, whole)
        factor *= 0.8
        kills += [] if found is None else [found]
    run.finish()
    assert_equal_ends(run, whole)
    for found in kills:
        account.note(f"SIGKILL {found}", OUTCOME)
    account.note(f"SIGKILL of {kind.name}", OUTCOME, len(kills))
