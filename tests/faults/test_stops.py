"""Signals, full disks, damaged checkpoints, dead workers, a hanging rank: the run survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import ranks
from account import Account
from damage import flip_byte
from runs import Run, assert_equal_ends, wait_until

from bagreid.training.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]
AUTO = ("--resume-from", "auto")


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("after", [0, 5, 9])
def test_sigterm_saves_and_loses_nothing(
    config: Path, tmp_path: Path, size: int, after: int,
    undisturbed: Run, undisturbed_pair: Run, account: Account,
) -> None:  # fmt: skip
    run = Run(config, tmp_path / "run", size, ("--train.checkpoint-every", "1000"))
    processes = run.start(*AUTO)
    assert wait_until(lambda: len(run.steps()) > after, processes)
    for process in processes if after else processes[-1:]:  # one rank's signal is enough
        os.kill(process.pid or 0, signal.SIGTERM)
    assert ranks.end(processes) == [3] * size, run.words()
    saved = run.checkpoints()[-1]
    assert run.steps()[-1] == step_of(saved) == read_checkpoint(saved).step
    assert not run.is_tested()
    run.finish("--train.checkpoint-every", "2")
    assert_equal_ends(run, undisturbed if size == 1 else undisturbed_pair)
    account.note("SIGTERM", "saved, exit code 3, no step lost, same bits")


def test_sigusr1_saves_and_goes_on(
    config: Path, tmp_path: Path, undisturbed: Run, account: Account
) -> None:
    run = Run(config, tmp_path / "run", 1, ("--train.checkpoint-every", "1000"))
    processes = run.start(*AUTO)
    assert wait_until(lambda: len(run.steps()) > 2, processes)
    os.kill(processes[0].pid or 0, signal.SIGUSR1)
    assert wait_until(run.checkpoints, processes)
    assert 0 < step_of(run.checkpoints()[0]) < undisturbed.steps()[-1]
    assert ranks.end(processes) == [0], run.words()
    assert_equal_ends(run, undisturbed)
    account.note("SIGUSR1", "saved and went on, same bits")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", str(folder)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_cleanly_and_the_run_goes_on_after(
    config: Path, tmp_path: Path, small_disk: Path, undisturbed: Run, account: Account
) -> None:
    run = Run(config, small_disk / "run")
    run.said.symlink_to(tmp_path)  # what it says must not need the room
    processes = run.start(*AUTO)
    assert wait_until(run.checkpoints, processes)
    ballast = small_disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    assert ranks.end(processes) == [2]
    errors = [line for line in run.words().splitlines() if line.startswith("bagreid train:")]
    assert len(errors) == 1, run.words()
    assert "the disk is full" in errors[0]
    for path in run.checkpoints():
        read_checkpoint(path)
    assert run.checkpoints()
    ballast.unlink()
    run.finish()
    assert_equal_ends(run, undisturbed)
    account.note("disk full", "exit code 2 and one line, last checkpoint whole; then the same bits")


@pytest.mark.parametrize("damage", ["a bit flipped", "cut short", "empty"])
def test_a_damaged_newest_checkpoint_is_told_of_and_the_one_before_used(
    config: Path, tmp_path: Path, undisturbed: Run, account: Account, damage: str
) -> None:
    run = Run(config, tmp_path / "run")
    processes = run.start(*AUTO)
    assert wait_until(lambda: len(run.checkpoints()) >= 2, processes)
    os.kill(processes[0].pid or 0, signal.SIGTERM)
    ranks.end(processes)
    before, newest = run.checkpoints()[-2:]
    if damage == "a bit flipped":
        flip_byte(newest)
    else:
        os.truncate(newest, 0 if damage == "empty" else newest.stat().st_size // 2)
    said = run.finish()
    assert newest.name in said
    assert str(before) in said
    assert_equal_ends(run, undisturbed)
    account.note("newest checkpoint " + damage, "told of, the one before used, same bits")


def children_of(pid: int) -> list[int]:
    """The processes that the main thread of a process has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_dead_worker_is_replaced(
    config: Path, tmp_path: Path, undisturbed: Run, account: Account
) -> None:
    run = Run(config, tmp_path / "run", 1, ("--train.workers", "2"))
    processes = run.start(*AUTO)
    deaths = 0
    for after in (2, 5):
        assert wait_until(lambda after=after: len(run.steps()) > after, processes)
        for pid in children_of(processes[0].pid or 0)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                deaths += 1
    assert ranks.end(processes) == [0], run.words()
    assert 1 <= len(run.log("worker_death")) <= deaths
    assert_equal_ends(run, undisturbed)
    account.note("loader's worker killed", "started anew, told in the log, same bits", deaths)


def test_a_hanging_rank_is_named_and_torchrun_brings_the_run_to_its_end(
    config: Path, tmp_path: Path, undisturbed_pair: Run, account: Account
) -> None:
    run = Run(config, tmp_path / "run")
    said = tmp_path / "said.txt"
    command = [
        "bash", str(ROOT / "tools/dist_train.sh"), str(config), "2", "--deterministic",
        "--work-dir", str(run.work_dir), "--train.hang-minutes", "0.08",
    ]  # fmt: skip
    variables = {
        "MAX_RESTARTS": "1", "MASTER_PORT": ranks.free_port(), "PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    with said.open("wb") as file:
        agent = subprocess.Popen(command, env=os.environ | variables, stdout=file, stderr=file)
    until = time.monotonic() + ranks.PATIENCE
    while len(run.checkpoints()) < 2:
        assert agent.poll() is None, said.read_text()[-3000:]
        assert time.monotonic() < until
        time.sleep(0.01)
    hung = children_of(agent.pid)[-1]
    os.kill(hung, signal.SIGSTOP)  # torchrun waits 30 s for it to end before it kills it
    assert agent.wait(ranks.PATIENCE) == 0, said.read_text()[-3000:]
    lines = [line for line in said.read_text().splitlines() if "training stands still" in line]
    assert len(lines) == 1, lines
    assert f"process {hung})" in lines[0]
    (stacks,) = run.work_dir.glob("hang-rank*.txt")
    assert "most recent call first" in stacks.read_text()
    assert_equal_ends(run, undisturbed_pair)
    account.note("hanging rank", "named, exit code 4, restarted by torchrun, same bits")
