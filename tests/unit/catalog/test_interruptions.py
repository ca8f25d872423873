"""Builds that are killed, interrupted, or not alone: real processes and real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_archives import write_tar

from bagreid.catalog import Catalog, open_catalog
from bagreid.catalog.store import cache_directory

TARS = 6

BUILD = """
import signal, sys, time
from pathlib import Path
from bagreid.catalog import open_catalog
from bagreid.contracts import BagreidError

def slow(path, members, passed, total):
    if members:
        time.sleep(float(sys.argv[4]))

if __name__ == "__main__":
    # Whoever starts the tests in the background leaves them deaf to Ctrl-C; a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        root, cache = Path(sys.argv[1]), Path(sys.argv[2])
        open_catalog(root, cache=cache, workers=int(sys.argv[3]), progress=slow)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in range(1, TARS + 1):
        names = [f"sysu_train_set_all/{part:010d}/{n}.jpg" for n in range(300)]
        write_tar(tmp_path / "root/train" / f"sysu_train_set_all_part{part}.tar", names)
    return tmp_path / "root"


@pytest.fixture
def build(root: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    script = tmp_path / "build.py"
    script.write_text(BUILD)

    def start(workers: int, pause: float) -> subprocess.Popen[str]:
        arguments = [root, tmp_path / "cache", workers, pause]
        return subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def scans(root: Path, tmp_path: Path) -> dict[str, int]:
    """Finished scans with their inodes, which change when they are written anew."""
    folder = cache_directory(root, tmp_path / "cache") / "scans"
    return {path.name: path.stat().st_ino for path in folder.glob("*.arrow")}


def wait_for_scans(root: Path, tmp_path: Path, number: int) -> dict[str, int]:
    deadline = time.monotonic() + 120
    while len(found := scans(root, tmp_path)) < number:
        assert time.monotonic() < deadline, "the build does not get on"
        time.sleep(0.01)
    return found


def leftovers(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache").rglob("*.partial"))


def complete(root: Path, tmp_path: Path) -> Catalog:
    catalog = open_catalog(root, cache=tmp_path / "cache")
    assert len(catalog) == TARS * 300
    assert catalog.name(len(catalog) - 1) == "sysu_train_set_all/0000000006/299.jpg"
    return catalog


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_kill_finished_tars_are_not_scanned_again(
    root: Path, tmp_path: Path, build: Callable[..., subprocess.Popen[str]], workers: int
) -> None:
    process = build(workers, 0.4)
    finished = wait_for_scans(root, tmp_path, 3)
    helpers = children_of(process.pid)
    process.kill()
    process.communicate()
    finished = scans(root, tmp_path)
    assert len(finished) < TARS, "the build was faster than the test"
    deadline = time.monotonic() + 60
    while any(map(alive, helpers)):
        assert time.monotonic() < deadline, "a scanning process outlives its build"
        time.sleep(0.05)
    complete(root, tmp_path)
    assert finished.items() <= scans(root, tmp_path).items()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_all_of_it_and_keeps_what_is_finished(
    root: Path, tmp_path: Path, build: Callable[..., subprocess.Popen[str]], workers: int
) -> None:
    process = build(workers, 0.4)
    wait_for_scans(root, tmp_path, 2)
    helpers = children_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: the whole group gets it
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    deadline = time.monotonic() + 60
    while any(map(alive, helpers)):
        assert time.monotonic() < deadline, "a scanning process outlives its build"
        time.sleep(0.05)
    assert not leftovers(tmp_path)
    finished = scans(root, tmp_path)
    assert 2 <= len(finished) < TARS
    complete(root, tmp_path)
    assert finished.items() <= scans(root, tmp_path).items()


def test_killed_at_any_moment_it_is_complete_or_absent(
    root: Path, tmp_path: Path, build: Callable[..., subprocess.Popen[str]]
) -> None:
    place = cache_directory(root, tmp_path / "cache")
    for moment in range(4):
        process = build(1, 0.02)
        while process.poll() is None and not place.exists():
            time.sleep(0.005)
        time.sleep(0.06 * moment)
        process.kill()
        process.communicate()
        for path in place.glob("*/catalog.json"):
            if not path.parent.name.endswith(".partial"):
                complete(root, tmp_path)
    complete(root, tmp_path)
    assert not leftovers(tmp_path)


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(
    root: Path, tmp_path: Path, build: Callable[..., subprocess.Popen[str]]
) -> None:
    place = cache_directory(root, tmp_path / "cache")
    process = build(1, 0.5)
    wait_for_scans(root, tmp_path, 1)
    unfinished = [place / "tmpabc.partial", place / "scans" / "tmp123.0011.partial"]
    unfinished[0].mkdir()
    unfinished[1].touch()
    complete(root, tmp_path)  # a second build while the first is at work
    assert all(path.exists() for path in unfinished)
    process.kill()
    process.communicate()
    open_catalog(root, cache=tmp_path / "cache", rebuild=True)
    assert not leftovers(tmp_path)


def test_builds_at_once_do_no_harm_to_each_other(
    root: Path, tmp_path: Path, build: Callable[..., subprocess.Popen[str]]
) -> None:
    builds = [build(workers, 0.05) for workers in (1, 2, 1)]
    for process in builds:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    complete(root, tmp_path)
    assert len(scans(root, tmp_path)) == TARS
    assert not leftovers(tmp_path)
