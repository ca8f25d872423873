"""Saving while training goes on: the state of the moment, whatever comes between."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from states import same, small_state

from bagreid.contracts import BagreidError
from bagreid.training.checkpoint import list_checkpoints, newest_whole, read_checkpoint, step_of
from bagreid.training.durable import write_durably
from bagreid.training.retention import read_best
from bagreid.training.saving import CheckpointWriter

DESCRIBE = {"config": {"a": 1}, "identities": [4, 9], "code": {"bagreid": "1"}, "world": {"n": 2}}


def writer_of(folder: Path, keep: int = 2) -> CheckpointWriter:
    return CheckpointWriter(folder, keep=keep, describe=DESCRIBE)


def steps(folder: Path) -> list[int]:
    return [step_of(path) for path in list_checkpoints(folder)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def say_nothing(line: str) -> None:
    raise AssertionError(line)


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    with writer_of(tmp_path / "new" / "run") as writer:
        path = writer.save(7, small_state())
    again = read_checkpoint(path)
    same(small_state(), again.state)
    assert (again.step, again.config, again.identities) == (7, {"a": 1}, [4, 9])
    assert (again.code, again.world) == ({"bagreid": "1"}, {"n": 2})


def test_training_goes_on_while_the_file_gets_the_moment(tmp_path: Path) -> None:
    """Everything changes at once after `save` returns; every file has its own step's values."""
    weight, label = torch.zeros(400_000), np.zeros(100_000, np.int32)
    state: dict[str, Any] = {"weight": weight, "label": label, "counts": {"seen": 0}}
    under_way = 0
    with writer_of(tmp_path, keep=99) as writer:
        for step in range(1, 13):
            weight.fill_(step)
            label[:] = step
            state["counts"]["seen"] = step
            writer.save(step, state)
            weight.fill_(-1)
            label[:] = -1
            state["counts"]["seen"] = -1
            under_way += any(t.name == f"checkpoint-{step}" for t in threading.enumerate())
    assert under_way, "nothing was written beside the training"
    for path in list_checkpoints(tmp_path):
        found = read_checkpoint(path)
        assert found.state["weight"].eq(found.step).all()
        assert (found.state["label"] == found.step).all()
        assert found.state["counts"] == {"seen": found.step}


def test_never_two_are_written_at_once(tmp_path: Path) -> None:
    most = 0
    with writer_of(tmp_path) as writer:
        for step in range(8):
            writer.save(step, {"weight": torch.zeros(200_000)})
            writing = [t for t in threading.enumerate() if t.name.startswith("checkpoint-")]
            most = max(most, len(writing))
    assert most <= 1
    assert steps(tmp_path) == [6, 7]


def test_the_last_few_and_the_best_stay(tmp_path: Path) -> None:
    scores = {3: 0.5, 5: 0.9, 7: 0.4, 8: float("nan"), 9: 0.9}
    with writer_of(tmp_path) as writer:
        for step in range(1, 11):
            writer.save(step, {}, best=scores.get(step))
    assert steps(tmp_path) == [5, 9, 10]
    record = orjson.loads((tmp_path / "best.json").read_bytes())
    assert record == {
        "schema": "bagreid.best/1", "step": 5, "score": 0.9, "file": "step-000000005.pt",
    }  # fmt: skip


def test_a_score_may_come_later(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.save(1, {})
        assert writer.note_score(1, 0.2)
        writer.save(2, {"weight": torch.zeros(1_000_000)})
        assert writer.note_score(2, 0.1) is False
        writer.save(3, {})
        writer.save(4, {})
        writer.finish()
        assert writer.note_score(2, 9.0) is False, "that one is gone"
        assert writer.note_score(77, 9.0) is False, "that one never was"
        assert steps(tmp_path) == [1, 3, 4]
        assert writer.note_score(3, 0.3)
        assert steps(tmp_path) == [3, 4]
    with writer_of(tmp_path) as again:
        again.save(5, {})
        again.save(6, {})
        assert again.note_score(5, 0.25) is False, "another program knows the best, too"
        assert again.note_score(6, 0.5), "one under way is known"
    assert steps(tmp_path) == [5, 6]
    best = read_best(tmp_path)
    assert best is not None
    assert (best.step, best.score) == (6, 0.5)


def test_those_of_a_run_that_is_taken_up_from_an_earlier_step_go(tmp_path: Path) -> None:
    with writer_of(tmp_path, keep=3) as writer:
        for step in (100, 800, 900):
            writer.save(step, {}, best=step / 1000)
    with writer_of(tmp_path, keep=3) as writer:
        assert steps(tmp_path) == [100, 800, 900]
        writer.save(200, {})
    assert steps(tmp_path) == [100, 200]
    assert not (tmp_path / "best.json").exists()


def test_a_damaged_record_of_the_best_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "best.json").write_bytes(b'{"step": 3')
    with writer_of(tmp_path) as writer:
        writer.save(1, {}, best=0.1)
    assert read_best(tmp_path) is not None


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    for name in ("step-000000009.pt.partial", "best.json.partial"):
        (tmp_path / name).write_bytes(b"cut")
    with writer_of(tmp_path) as writer:
        assert len(names(tmp_path)) == 2, "who saves nothing touches nothing"
        writer.save(1, {})
    assert names(tmp_path) == ["step-000000001.pt"]


def test_what_cannot_be_saved_is_refused_at_once(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        path = writer.save(3, {"model": torch.zeros(2)})
        writer.finish()
        before = path.read_bytes()
        with pytest.raises(TypeError, match="at state → unsaveable"):
            writer.save(3, {"model": torch.ones(10_000), "unsaveable": lambda: None})
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    writer = writer_of(tmp_path / "file" / "run")
    with pytest.raises(BagreidError, match=r"cannot be made \(Not a directory\).*--work-dir"):
        writer.save(1, {})


# ---- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_without_room_is_told_before_anything_is_written(small_disk: Path) -> None:
    folder = small_disk / "checkpoints"
    with writer_of(folder) as writer:
        good = writer.save(1, {"weight": torch.ones(500_000)})
        writer.finish()
        writer.save(2, {"weight": torch.ones(700_000)})
        with pytest.raises(BagreidError) as caught:
            writer.finish()
        text = str(caught.value)
        assert f"{folder / 'step-000000002.pt'}: the disk is full: about 2,8" in text
        assert "bytes are needed and 2,1" in text
        assert "Make room, or move the work dir" in text
        assert "--resume-from auto" in text
        writer.poll()  # once is enough
        assert names(folder) == [good.name]
        assert read_checkpoint(good).state["weight"].eq(1).all()
        good.unlink()
        writer.save(3, {"weight": torch.ones(700_000)})
    found = newest_whole(folder, say_nothing)
    assert found is not None
    assert found.step == 3


def test_a_disk_that_fills_up_while_writing_is_survived(small_disk: Path) -> None:
    good = small_disk / "step-000000001.pt"
    write_durably(good, lambda file: torch.save(torch.ones(500_000), file), needed=1)
    new, told, fitting = good.with_name("step-000000002.pt"), [], 0
    for size in range(536_000, 550_000, 500):
        content = {"many": [torch.ones(100) for _ in range(50)], "one": torch.zeros(size)}
        try:
            write_durably(new, lambda file: torch.save(content, file), needed=1)  # noqa: B023
        except BagreidError as error:
            told.append(str(error))
        else:
            fitting += 1
            torch.load(new)
            new.unlink()
        assert names(small_disk) == [good.name]
    assert fitting
    assert len(told) > 10
    assert all("2.pt: the disk is full: about 1 bytes are needed and 2," in text for text in told)
    assert torch.load(good).eq(1).all()


def test_what_any_other_disk_says_is_passed_on(tmp_path: Path) -> None:
    """A limit of the file's size stands for the errors that nobody thought of."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = writer_of(tmp_path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        writer.save(2, {"model": torch.randn(100_000)})
        while any(thread.name == "checkpoint-2" for thread in threading.enumerate()):
            time.sleep(0.001)
        with pytest.raises(BagreidError, match=r"2\.pt: cannot be written \(File too large\)"):
            writer.poll()
        writer.poll()
        writer.save(3, {"model": torch.randn(100_000)})
        with pytest.raises(BagreidError, match=r"3\.pt: cannot be written \(File too large\)"):
            writer.save(4, {})
        writer.save(5, {})
        with pytest.raises(KeyError), writer:
            raise KeyError  # what the caller met comes before what the thread met
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == ["step-000000005.pt"]


# ---- kills


def _save_for_ever(folder: Path, first: int) -> None:
    with writer_of(folder) as writer:
        for step in range(first, 10**6):
            state = {"weight": torch.full((300_000,), step), "many": [torch.ones(9)] * 30}
            writer.save(step, state, best=step if step % 3 == 0 else None)


def test_a_kill_at_any_moment_leaves_the_old_files_or_the_new(tmp_path: Path) -> None:
    torch.set_num_threads(1)  # more would not survive the fork
    draw, context, first, partial = random.Random(2), multiprocessing.get_context("fork"), 1, 0
    before: set[int] = set()
    for _ in range(40):
        process = context.Process(target=_save_for_ever, args=(tmp_path, first))
        process.start()
        while first not in steps(tmp_path):
            assert process.is_alive()
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.04))
        process.kill()
        process.join()
        found = newest_whole(tmp_path, say_nothing)
        assert found is not None
        assert found.step >= first
        assert found.state["weight"].eq(found.step).all()
        there = steps(tmp_path)
        older = {step for step in there if step < first}
        assert older <= before
        assert len(there) - len(older) <= 4, "two, the best, and a new one"
        assert there[-1] == found.step
        for path in list_checkpoints(tmp_path):
            read_checkpoint(path)
        best = read_best(tmp_path)
        assert best is None or best.step % 3 == 0
        partial += any(name.endswith(".partial") for name in names(tmp_path))
        first, before = found.step + 1, set(there)
    assert partial, "none was killed while it wrote"
    with writer_of(tmp_path) as writer:
        writer.save(first, {})
    best = read_best(tmp_path)
    assert best is not None
    assert set(steps(tmp_path)) == {first - 1, first, best.step}
    assert len(names(tmp_path)) == len(steps(tmp_path)) + 1


PROGRAM = """
import resource, signal, sys, torch
from pathlib import Path
from bagreid.training.saving import CheckpointWriter
describe = {"config": {}, "identities": []}
whole, cut = (CheckpointWriter(Path(name), keep=1, describe=describe) for name in sys.argv[1:])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000_000, 30_000_000))
whole.save(1, {"weight": torch.ones(5_000_000)})
cut.save(1, {"weight": torch.ones(9_000_000)})
raise SystemExit("leaving")
"""


def test_a_program_that_ends_meanwhile_ends_when_the_file_is_whole(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(whole), str(cut)],
        check=False, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found = newest_whole(whole, say_nothing)
    assert found is not None
    assert found.state["weight"].eq(1).all()
    lines = done.stderr.strip().splitlines()
    assert lines[0] == "leaving"
    assert lines[1].startswith(f"the last checkpoint was not saved: {cut}/step-000000001.pt: ")
    assert len(lines) == 2
    assert names(cut) == []
