"""The logs: lines that parse, a file for TensorBoard, nothing told twice after a resume."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bagreid.training.log import RunLog, flatten


def lines(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines()]


def write(folder: Path, steps: range, done: int = 0) -> None:
    with RunLog(folder, None, total_steps=10, done_steps=done) as log:
        for step in steps:
            loss = {"total": np.float32(step), "unary": 0.5}
            log.write("step", step, epoch=0, loss=loss, pseudo_label_accuracy=None)
            log.advance(step, "going on")


def test_every_line_parses_and_says_when(tmp_path: Path) -> None:
    write(tmp_path / "new" / "run", range(1, 4))
    found = lines(tmp_path / "new" / "run")
    assert [line["step"] for line in found] == [1, 2, 3]
    assert found[1]["loss"] == {"total": 2.0, "unary": 0.5}
    assert found[0]["pseudo_label_accuracy"] is None
    assert all(line["kind"] == "step" and line["time"] > 1e9 for line in found)


def test_lines_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    with RunLog(tmp_path, None, total_steps=10, done_steps=0) as log:
        log.write("validation", 4, epoch=0, rank1=0.25)
        assert lines(tmp_path)[0]["rank1"] == 0.25


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    (event_file,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    events = EventAccumulator(str(event_file)).Reload()
    assert set(events.Tags()["scalars"]) == {"step/loss/total", "step/loss/unary"}
    assert [(e.step, e.value) for e in events.Scalars("step/loss/total")] == [
        (1, 1.0), (2, 2.0), (3, 3.0),
    ]  # fmt: skip


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


def test_without_a_terminal_the_last_step_is_told_in_a_plain_line(tmp_path: Path) -> None:
    said = io.StringIO()
    with RunLog(tmp_path, Console(file=said, width=100), total_steps=3, done_steps=0) as log:
        for step in (1, 2, 3):
            log.advance(step, f"loss {step}.5")
    assert "step 3/3  loss 3.5  0 s left" in said.getvalue()


def test_nested_numbers_get_names_of_their_path() -> None:
    entry = {"a": {"b": 1, "c": {"d": 2.5}}, "e": None, "f": "text", "g": True, "h": 3}
    assert flatten(entry) == {"a/b": 1, "a/c/d": 2.5, "h": 3}
