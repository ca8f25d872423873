"""The logs: lines that parse, a file for TensorBoard, nothing told twice after a resume."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bagreid.contracts import BagreidError
from bagreid.training import log_files
from bagreid.training.log import RunLog
from bagreid.training.log_files import flatten


def lines(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines()]


def open_log(folder: Path | None, done: int = 0, console: Console | None = None) -> RunLog:
    return RunLog(folder, console, total_steps=10, done_steps=done, epochs=2)


def write(folder: Path, steps: range, done: int = 0) -> None:
    with open_log(folder, done) as log:
        for step in steps:
            loss = {"total": np.float32(step), "unary": 0.5}
            log.step(step, epoch=0, loss=loss, pseudo_label_accuracy=None)


def test_every_line_parses_and_says_when(tmp_path: Path) -> None:
    write(tmp_path / "new" / "run", range(1, 4))
    found = lines(tmp_path / "new" / "run")
    assert [line["step"] for line in found] == [1, 2, 3]
    assert found[1]["loss"] == {"total": 2.0, "unary": 0.5}
    assert found[0]["pseudo_label_accuracy"] is None
    assert all(line["kind"] == "step" and line["time"] > 1e9 for line in found)


def test_lines_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.write("validation", 4, epoch=0, rank1=0.25)
        for _ in range(3000):  # nobody asks for it: the thread writes by itself
            if lines(tmp_path):
                break
            time.sleep(0.01)
        assert lines(tmp_path)[0]["rank1"] == 0.25
        log.write("validation", 5, epoch=0, rank1=0.5)
        log.flush()
        assert lines(tmp_path)[1]["rank1"] == 0.5


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    (event_file,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    events = EventAccumulator(str(event_file)).Reload()
    assert set(events.Tags()["scalars"]) == {"step/loss/total", "step/loss/unary"}
    assert [(e.step, e.value) for e in events.Scalars("step/loss/total")] == [
        (1, 1.0), (2, 2.0), (3, 3.0),
    ]  # fmt: skip


def test_tensorboard_shows_every_step_of_a_resumed_run_once(tmp_path: Path) -> None:
    write(tmp_path, range(1, 7))
    write(tmp_path, range(5, 8), done=4)
    # in the end a run opens its log once more, in the same second, for the final test
    with open_log(tmp_path, 7) as log:
        log.write("validation", 7, rank1=0.5)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6, 7, 7]
    board = tmp_path / "tensorboard"
    assert len(list(board.iterdir())) == 3
    events = EventAccumulator(str(board)).Reload()
    assert [e.step for e in events.Scalars("step/loss/total")] == [1, 2, 3, 4, 5, 6, 7]
    assert [e.value for e in events.Scalars("validation/rank1")] == [0.5]


def test_what_a_resumed_run_will_tell_again_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, range(1, 7))
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"kind": "step", "step": 7, "lo')  # cut by a kill
    write(tmp_path, range(5, 8), done=4)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]
    assert not list(tmp_path.glob("*.partial"))


def test_a_new_run_in_an_old_folder_starts_an_empty_log(tmp_path: Path) -> None:
    write(tmp_path, range(1, 7))
    write(tmp_path, range(1, 2))
    assert [line["step"] for line in lines(tmp_path)] == [1]


def slow_drop(data: bytes, done: int) -> bytes:
    """All lines up to the last one of the steps done."""
    kept, so_far = b"", b""
    for line in data.splitlines(keepends=True):
        so_far += line
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict) and isinstance(found.get("step"), int) and found["step"] <= done:
            kept = so_far
    return kept + b"\n" if kept and not kept.endswith(b"\n") else kept


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    steps=st.lists(st.integers(1, 30), max_size=30).map(sorted),
    done=st.integers(1, 30),
    padding=st.lists(st.integers(0, 200), min_size=30, max_size=30),
    garbage=st.dictionaries(
        st.integers(0, 29), st.sampled_from([b"\n", b"\0\0\0\n", b"[1]\n", b'{"a": 1}\n'])
    ),
    cut=st.integers(0, 3),
    block=st.sampled_from([1, 7, 64, 1 << 20]),
)
def test_dropping_from_the_end_equals_reading_it_all(
    tmp_path: Path, steps: list[int], done: int, padding: list[int],
    garbage: dict[int, bytes], cut: int, block: int,
) -> None:  # fmt: skip
    data = b"".join(
        garbage.get(place, b"") + orjson.dumps({"step": step, "x": "y" * padding[place]}) + b"\n"
        for place, step in enumerate(steps)
    )
    data = data[: len(data) - cut]
    path = tmp_path / "log.jsonl"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "_BLOCK", block)
        log_files.drop_later_lines(path, done)
    assert path.read_bytes() == slow_drop(data, done)


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with path.open("wb") as file:
        file.truncate(40 << 30)  # a hole: to read it all would take minutes
        file.seek(0, 2)
        file.write(b'\n{"step": 9}\n{"step": 11}\n')
    log_files.drop_later_lines(path, 9)
    assert path.stat().st_size == (40 << 30) + 13


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_one_error_and_no_cut_line(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def for_ever() -> None:
        with open_log(small_disk) as log:
            for step in itertools.count(1):
                log.step(step, epoch=0, loss={"total": 0.5})
                if step % 100 == 0:
                    log.flush()

    with pytest.raises(BagreidError, match=r"No space left on device.*Make room on the disk"):
        for_ever()
    steps = [line["step"] for line in lines(small_disk)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > 100
    assert "Traceback" not in capfd.readouterr().err
    events = EventAccumulator(str(small_disk / "tensorboard")).Reload()
    assert len(events.Scalars("step/loss/total")) >= len(steps) - 101
    # with room again the run is taken up where it was saved
    for path in (small_disk / "tensorboard").iterdir():
        path.unlink()
    write(small_disk, range(51, 54), done=50)
    assert [line["step"] for line in lines(small_disk)] == list(range(1, 54))


def test_a_full_disk_does_not_hide_why_a_run_ended(small_disk: Path) -> None:
    def fail() -> None:
        with open_log(small_disk) as log, (small_disk / "ballast").open("wb", 0) as file:
            with suppress(OSError):
                while True:
                    file.write(b"x" * 4096)
            for step in range(200):
                log.write("step", step, text="x" * 100)
            raise KeyError("another")

    with pytest.raises(KeyError, match="another"):
        fail()


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(BagreidError, match=r"tensorboard: cannot be written"):
        open_log(tmp_path)


def test_a_value_that_cannot_be_written_is_no_silence(tmp_path: Path) -> None:
    with pytest.raises(TypeError), open_log(tmp_path) as log:
        log.write("step", 1, strange=object())


def test_without_a_terminal_the_last_step_is_told_in_a_plain_line(tmp_path: Path) -> None:
    said = io.StringIO()
    with open_log(tmp_path, console=Console(file=said, width=40)) as log:
        for step in range(1, 11):
            log.step(step, epoch=1, loss={"total": step + 0.5, "unary": 1.0})
    # in full, however narrow: it goes to a file
    assert said.getvalue() == "  epoch 2/2  step 10/10  loss 10.50  (unary 1.00)\n"


def test_on_a_terminal_one_line_stays(tmp_path: Path) -> None:
    said = io.StringIO()
    console = Console(file=said, width=100, force_terminal=True, color_system=None)
    with open_log(tmp_path, console=console) as log:
        log.step(1, epoch=0, loss={"total": 1.5})
        console.print("something else")
        log.advance(2)
    shown = [line for line in said.getvalue().splitlines() if "step" in line]
    assert "epoch 1/2  step 2/10" in shown[-1]
    assert "something else" in said.getvalue()


def test_nested_numbers_get_names_of_their_path() -> None:
    entry = {"a": {"b": 1, "c": {"d": 2.5}}, "e": None, "f": "text", "g": True, "h": 3}
    assert flatten(entry) == {"a/b": 1, "a/c/d": 2.5, "h": 3}
