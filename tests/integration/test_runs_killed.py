"""Real trainings that are killed, stopped and frozen, as bagreid runs shows and resumes them.

The trainings are forked, so that none has to load torch anew.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

import bagreid.experiment  # noqa: F401 - loaded here, or every process would load it anew
from bagreid.cli.main import main
from bagreid.cli.runs import state_of
from bagreid.report.runs import Run, list_runs

PATIENCE = 300.0
"""Seconds to wait for another process on a busy machine; nothing is judged by them."""

CONFIG = """
import dataclasses
from bagreid.plan import PlanConfig
from bagreid.recipes import demo

base = demo()
config = dataclasses.replace(
    base,
    plan=PlanConfig(groups=4, images_per_group=4),
    augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),
    train=dataclasses.replace(
        base.train, workers=0, checkpoint_every=1, log_every=1, precision="fp32", epochs=200
    ),
)
"""


def _train(arguments: list[str], said: Path) -> None:
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["bagreid", *arguments]
    code = 1
    try:
        code = main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., BaseProcess]]:
    """Starts a training by its command line."""
    torch.set_num_threads(1)  # more would not survive the fork
    (tmp_path / "small.py").write_text(CONFIG)
    started: list[BaseProcess] = []

    def begin(*arguments: str) -> BaseProcess:
        process = multiprocessing.get_context("fork").Process(
            target=_train, args=(list(arguments), tmp_path / "said.txt")
        )
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


def command(archive: Path, tmp_path: Path) -> list[str]:
    config = str(tmp_path / "small.py")
    work_dir = str(tmp_path / "runs" / "one")
    return ["train", config, "--data.root", str(archive), "--work-dir", work_dir]


def only(tmp_path: Path, now: float | None = None) -> Run:
    (run,) = list_runs(tmp_path / "runs", now)
    return run


def wait_for(process: BaseProcess, tmp_path: Path, done: Callable[[Run], bool]) -> Run:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.is_alive(), (tmp_path / "said.txt").read_text()
        runs = list_runs(tmp_path / "runs")
        if runs and done(runs[0]):
            return runs[0]
        time.sleep(0.02)
    raise AssertionError((tmp_path / "said.txt").read_text())


def trains(run: Run) -> bool:
    return run.has_checkpoint and (run.step or 0) > 2


def test_a_killed_run_is_shown_as_resumable_and_its_command_resumes_it(
    small_archive: Path, tmp_path: Path, start: Callable[..., BaseProcess]
) -> None:
    process = start(*command(small_archive, tmp_path))
    running = wait_for(process, tmp_path, trains)
    assert state_of(running) == "running"
    assert running.resume is None, "a run is not resumed beside itself"
    os.kill(process.pid or 0, signal.SIGSTOP)
    assert state_of(only(tmp_path)) == "running"
    frozen = only(tmp_path, time.time() + 200)
    assert (state_of(frozen), frozen.resume) == ("hung", None)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    killed = only(tmp_path)
    assert state_of(killed) == "killed, resumable"
    assert killed.resume is not None
    words = shlex.split(killed.resume)
    assert words[:2] == ["bagreid", "train"]
    # its own command goes on, and says so; then it is asked to stop
    again = start(*words[1:])
    wait_for(again, tmp_path, lambda run: (run.step or 0) > (killed.step or 0) + 2)
    os.kill(again.pid or 0, signal.SIGTERM)
    again.join(PATIENCE)
    assert again.exitcode == 3
    assert "Resuming" in (tmp_path / "said.txt").read_text()
    stopped = only(tmp_path)
    assert state_of(stopped) == "stopped, resumable"
    assert (stopped.seconds or 0) > (killed.seconds or 0)
    assert stopped.resume == killed.resume


def test_a_finished_run_shows_its_result_and_a_failed_one_why(
    small_archive: Path, tmp_path: Path, start: Callable[..., BaseProcess]
) -> None:
    process = start(*command(small_archive, tmp_path), "--train.epochs", "1")
    process.join(PATIENCE)
    assert process.exitcode == 0, (tmp_path / "said.txt").read_text()
    finished = only(tmp_path)
    assert (state_of(finished), finished.resume) == ("finished", None)
    assert finished.step == finished.total_steps
    assert finished.gallery == 12
    assert 0 <= (finished.rank1 or 0) <= 1
    bad = ["--optimizer.learning-rate", "1e30", "--train.most-skipped", "2", "--anew"]
    process = start(*command(small_archive, tmp_path), *bad)
    process.join(PATIENCE)
    assert process.exitcode == 2
    failed = only(tmp_path)
    assert failed.state == "failed"
    assert "no finite numbers" in str(failed.why)
