"""The state of a run: whole at every moment, silent about a full disk, sure of its process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from bagreid.contracts import BagreidError
from bagreid.training.phases import Phases
from bagreid.training.status import RunStatus, start_of, this_process


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((folder / "state.json").read_bytes())
    return found


def until(folder: Path, key: str, value: object) -> dict[str, Any]:
    for _ in range(3000):
        if (found := state(folder))[key] == value:
            return found
        time.sleep(0.01)
    raise AssertionError(found)


def test_a_run_tells_where_it_is_and_how_it_ended(tmp_path: Path) -> None:
    phases = Phases()
    with RunStatus(
        tmp_path, 40, epochs=4, phases=phases, command=["train", "x.py"], beat_seconds=0.01
    ) as status:
        begun = state(tmp_path)
        assert (begun["state"], begun["step"], begun["total_steps"]) == ("running", 0, 40)
        assert begun["command"] == ["train", "x.py"]
        assert (begun["pid"], begun["process_start"]) == (os.getpid(), start_of(os.getpid()))
        status.at(11, 1)
        with phases("forward"):
            found = until(tmp_path, "phase", "forward")
        assert (found["step"], found["epoch"]) == (11, 1)
        assert found["beat"] >= begun["beat"]
        assert found["moved"] > begun["moved"]
    found = state(tmp_path)
    assert (found["state"], found["why"]) == ("finished", None)
    time.sleep(0.05)
    assert state(tmp_path) == found, "no sign of life after the end"
    assert not list(tmp_path.glob("*.partial"))


def test_an_error_and_a_polite_stop_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BagreidError), RunStatus(tmp_path, 4, epochs=1):
        raise BagreidError("the loss is nan", remedy="Lower the rate")
    assert (state(tmp_path)["state"], state(tmp_path)["why"]) == (
        "failed", "the loss is nan. Lower the rate",
    )  # fmt: skip
    with RunStatus(tmp_path, 4, epochs=1) as status:
        status.end("stopped", "SIGTERM")
    assert (state(tmp_path)["state"], state(tmp_path)["why"]) == ("stopped", "SIGTERM")


def test_names_that_are_no_unicode_are_spelled_out(tmp_path: Path) -> None:
    with RunStatus(tmp_path, 4, epochs=1, command=["train", "a\udcff.py"]) as status:
        status.end("failed", "b\udcff")
    assert (state(tmp_path)["command"][1], state(tmp_path)["why"]) == ("a\\udcff.py", "b\\udcff")


def test_the_time_of_earlier_parts_is_added_up(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"seconds": 100.5}')
    with RunStatus(tmp_path, 4, epochs=1, done_steps=2):
        assert 100.5 < state(tmp_path)["seconds"] < 150
    with RunStatus(tmp_path, 4, epochs=1):
        assert state(tmp_path)["seconds"] < 50, "a new run begins at nothing"
    (tmp_path / "state.json").write_text('{"secon')
    with RunStatus(tmp_path, 4, epochs=1, done_steps=2):
        assert state(tmp_path)["seconds"] < 50


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with RunStatus(None, 4, epochs=1) as status:
        status.at(1, 0)
    assert not list(tmp_path.iterdir())


def test_a_process_that_waits_for_its_parent_runs_no_more() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    begun = start_of(child.pid)
    assert begun is not None
    assert begun >= (this_process().process_start or 0)
    child.kill()
    for _ in range(3000):  # it is not waited for, so that it stays in the table of processes
        if start_of(child.pid) is None:
            break
        time.sleep(0.01)
    assert start_of(child.pid) is None
    child.wait()
    assert start_of(child.pid) is None


def _beat_for_ever(folder: Path) -> None:
    with RunStatus(folder, 4, epochs=1, beat_seconds=1e-4):
        time.sleep(600)


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    for delay in (0.0, 0.003, 0.01, 0.02, 0.03):
        folder = tmp_path / str(delay)
        folder.mkdir()
        process = multiprocessing.get_context("fork").Process(target=_beat_for_ever, args=[folder])
        process.start()
        while not (folder / "state.json").exists():
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert state(folder)["state"] == "running"
        assert start_of(state(folder)["pid"]) != state(folder)["process_start"]


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "ballast").open("wb", 0) as file:
        while True:
            file.write(b"x" * 4096)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_neither_stops_the_run_nor_cuts_the_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with RunStatus(disk, 4, epochs=1, beat_seconds=0.005) as status:
            fill(disk)
            status.at(3, 0)
            time.sleep(0.1)
            assert state(disk)["state"] == "running"
            (disk / "ballast").unlink()
            until(disk, "step", 3)
        assert state(disk)["state"] == "finished"
    finally:
        subprocess.run(["umount", disk], check=True)
