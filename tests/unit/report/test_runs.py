"""The list of runs: what became of each is judged rightly, whatever lies in the folders."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bagreid.cli.main import main
from bagreid.cli.runs import ago, remarks, size, state_of, table
from bagreid.report.again import resume_command
from bagreid.report.runs import Run, list_runs
from bagreid.training.status import this_process

NOW = 2_000_000_000.0


def make(
    path: Path,
    *,
    state: str = "running",
    checkpoint: bool = True,
    result: bool = False,
    seen: float = NOW - 5,
    **told: Any,
) -> Path:
    """The folder of a run."""
    path.mkdir(parents=True)
    content = {
        "schema": "bagreid.state/1", "state": state, "why": None, "step": 40, "epoch": 1,
        "total_steps": 100, "epochs": 4, "phase": "forward", "moved": seen, "beat": seen,
        "seconds": 3700.0, "started": seen - 60, "beat_seconds": 10.0, "processes": 1,
        "processes_here": 1, "folder": str(Path.cwd()), "command": ["train", "configs/x.py"],
    }  # fmt: skip
    (path / "state.json").write_text(json.dumps(content | asdict(this_process()) | told))
    (path / "config.json").write_text(json.dumps({"train": {"epochs": 4}}))
    step = {"kind": "step", "epoch": 1, "step": 40, "images_per_second": 512.4}
    step |= {"pseudo_label_accuracy": 0.8123, "time": seen}
    lines = [step | {"step": 10, "time": seen - 100}, step]
    lines.insert(1, {"kind": "validation", "step": 25, "rank1": 0.3, "mean_ap": 0.2, "time": seen})
    (path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if checkpoint:
        (path / "checkpoints").mkdir()
        (path / "checkpoints" / "step-000000030.pt").write_bytes(b"x" * 1_500_000)
    if result:
        totals = {"counts": {"queries": 2, "gallery": 480_730}, "cmc": [0.625, 0.7]}
        totals |= {"mean_ap": 0.5, "queries": [{"name": "x" * 50}] * 5000}
        (path / "evaluation.json").write_text(json.dumps(totals, indent=2))
    return path


def only(folder: Path) -> Run:
    (run,) = list_runs(folder, NOW)
    return run


def gone() -> dict[str, Any]:
    """A process of this machine that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return {"pid": child.pid, "process_start": 12345}


@pytest.mark.parametrize(
    ("told", "said", "why"),
    [
        ({}, "running", None),
        ({"state": "finished", "seen": NOW - 9e5}, "finished", None),
        ({"state": "stopped", "why": "SIGTERM"}, "stopped, resumable", "SIGTERM"),
        ({"state": "failed", "why": "no room"}, "failed, resumable", "no room"),
        ({"state": "failed", "checkpoint": False}, "failed, no checkpoint yet", None),
        (gone, "killed, resumable", None),
        (lambda: gone() | {"checkpoint": False}, "killed, no checkpoint yet", None),
        # its number now belongs to another process
        ({"process_start": 1}, "killed, resumable", None),
        # the machine has started anew since
        ({"boot": "other"}, "killed, resumable", None),
        # another machine, or a container's own numbering: only the sign of life tells
        ({"host": "far", "boot": "other"}, "running", None),
        ({"space": "pid:[1]"}, "running", None),
        (
            {"host": "far", "boot": "other", "seen": NOW - 300},
            "killed, resumable",
            "nothing heard of it from far for 5 min 0 s",
        ),
        # a clock that is ahead
        ({"host": "far", "boot": "other", "seen": NOW + 500}, "running", None),
        ({"seen": NOW - 300}, "hung", "silent for 5 min 0 s"),
        ({"moved": NOW - 3600}, "hung", "in phase forward for 59 min 55 s"),
        ({"moved": NOW - 3600, "phase": "validate"}, "running", None),
        ({"moved": NOW - 3600, "phase": "between steps"}, "running", None),
        ({"state": "dancing"}, "unfinished, resumable", "names no state"),
        ({"state": None, "beat": "x", "pid": "y"}, "unfinished, resumable", "names no state"),
        ({"beat": "never", "pid": None}, "killed, resumable", None),
    ],
)
def test_what_became_of_a_run(
    tmp_path: Path,
    told: dict[str, Any] | Callable[[], dict[str, Any]],
    said: str,
    why: str | None,
) -> None:
    make(tmp_path / "run", **(told() if callable(told) else told))
    run = only(tmp_path)
    assert state_of(run) == said
    assert (why or "") in (run.why or "")
    assert (run.why is None) == (why is None)
    assert (run.resume is not None) == said.endswith("resumable")


def test_a_run_that_hangs_is_not_resumed_beside_itself(tmp_path: Path) -> None:
    make(tmp_path / "run", seen=NOW - 300)
    run = only(tmp_path)
    assert run.resume is None
    assert f"process {os.getpid()} on" in str(run.why)
    assert str(run.why).endswith("is still there: end it first")


def test_a_run_ended_by_its_watchdog_hung(tmp_path: Path) -> None:
    path = make(tmp_path / "run", seen=time.time(), **gone())
    (path / "hang-rank1.txt").write_text("stacks")
    run = only(tmp_path)
    assert state_of(run) == "hung, resumable"
    assert "1 rank" in str(run.why)
    os.utime(path / "hang-rank1.txt", (1, 1))  # of an earlier part of the run
    assert state_of(only(tmp_path)) == "killed, resumable"


def test_what_is_known_of_a_run(tmp_path: Path) -> None:
    make(tmp_path / "run")
    run = only(tmp_path)
    assert (run.step, run.total_steps, run.epoch, run.epochs) == (40, 100, 2, 4)
    assert (run.rank1, run.mean_ap, run.gallery) == (0.3, 0.2, None)
    assert (run.labels_right, run.images_per_second) == (0.8123, 512.4)
    assert (run.seconds, run.seen) == (3700.0, NOW - 5)
    assert 1_500_000 < run.size < 1_510_000
    shown = shown_of([run])
    for part in (
        "2/4",
        "40/100",
        "30.0 in validation",
        "20.0",
        "81.2",
        "512",
        "1 h 1 min",
        "1.5 MB",
    ):
        assert part in shown
    make(tmp_path / "tested", state="finished", result=True)
    tested = next(run for run in list_runs(tmp_path, NOW) if run.name == "tested")
    assert (tested.rank1, tested.mean_ap, tested.gallery) == (0.625, 0.5, 480_730)
    assert "62.5 among 481k" in shown_of([tested])


def shown_of(runs: list[Run]) -> str:
    said = io.StringIO()
    Console(file=said, width=150).print(table(runs, NOW))
    return said.getvalue()


def test_runs_lie_within_each_other_and_the_latest_comes_first(tmp_path: Path) -> None:
    make(tmp_path / "a" / "old", seen=NOW - 9000, state="stopped")
    make(tmp_path / "a" / "old" / "inner", seen=NOW - 5)
    make(tmp_path / "b", seen=NOW - 100, state="stopped")
    make(tmp_path / ".hidden" / "c")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "config.json").write_text("{}")  # of something else
    assert [run.name for run in list_runs(tmp_path, NOW)] == ["a/old/inner", "b", "a/old"]
    assert [run.name for run in list_runs(tmp_path / "a" / "old", NOW)] == ["inner", "."]
    assert list_runs(tmp_path / "nowhere", NOW) == []


def test_an_archive_among_the_runs_is_not_walked_through(tmp_path: Path) -> None:
    for number in range(1_001):
        (tmp_path / "archive" / f"{number:09}").mkdir(parents=True)
    make(tmp_path / "archive" / "000000007" / "run")
    make(tmp_path / "run")
    assert [run.name for run in list_runs(tmp_path, NOW)] == ["run"]


def test_runs_of_before_there_was_a_state(tmp_path: Path) -> None:
    for name in ("done", "cut", "growing"):
        path = make(tmp_path / name, result=name == "done", seen=NOW - 3 * (name == "growing"))
        (path / "state.json").unlink()
    growing = tmp_path / "growing" / "log.jsonl"
    cut = (tmp_path / "cut" / "log.jsonl").read_text().replace(str(NOW), str(NOW - 5000))
    (tmp_path / "cut" / "log.jsonl").write_text(cut + '{"kind": "st')
    runs = {run.name: run for run in list_runs(tmp_path, NOW)}
    said = {name: state_of(run) for name, run in runs.items()}
    assert said == {
        "done": "finished", "cut": "unfinished, resumable", "growing": "running",
    }  # fmt: skip
    assert (runs["cut"].step, runs["cut"].epochs, runs["cut"].total_steps) == (40, 4, None)
    assert runs["done"].seconds == 100.0
    assert growing.exists()


@pytest.mark.parametrize("name", ["state.json", "config.json", "log.jsonl", "evaluation.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"text"', b"\x00" * 100, b"\xff\xfe{}", b"{}", b'{"schema": 3}'],
)
def test_damage_is_a_remark_on_its_run(tmp_path: Path, name: str, content: bytes) -> None:
    path = make(tmp_path / "run", result=True)
    make(tmp_path / "whole")
    (path / name).write_bytes(content)
    runs = {run.name: run for run in list_runs(tmp_path, NOW)}
    assert set(runs) == {"run", "whole"}
    shown_of(list(runs.values()))
    if name in ("state.json", "config.json", "evaluation.json") and content not in (b"{}",):
        expected = content != b'{"schema": 3}' or name == "state.json"
        assert any(name in line for line in remarks([runs["run"]])) == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    changes=st.dictionaries(
        st.sampled_from(
            [
                *("state", "why", "step", "epoch", "phase", "moved", "beat", "seconds", "host"),
                *("pid", "process_start", "boot", "space", "total_steps", "epochs", "processes"),
                *("processes_here", "command", "folder", "started", "beat_seconds"),
            ]
        ),
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False)
        | st.integers()
        | st.text(max_size=4)
        | st.lists(st.text(max_size=3) | st.integers(), max_size=3)
        | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    )
)
def test_strange_values_never_crash(tmp_path_factory: Any, changes: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("strange")
    make(folder / "run", **{key: value for key, value in changes.items() if key != "state"})
    if "state" in changes:
        told = json.loads((folder / "run" / "state.json").read_text())
        (folder / "run" / "state.json").write_text(json.dumps(told | changes))
    runs = list_runs(folder, NOW)
    assert len(runs) == 1
    shown_of(runs)
    remarks(runs)


def test_files_that_may_not_be_read(tmp_path: Path) -> None:
    path = make(tmp_path / "run")
    (path / "log.jsonl").unlink()
    (path / "log.jsonl").mkdir()
    (line,) = remarks([only(tmp_path)])
    assert line == "run: log.jsonl Is a directory"


def test_long_logs_are_read_at_their_ends(tmp_path: Path) -> None:
    path = make(tmp_path / "run")
    lines = (path / "log.jsonl").read_bytes().splitlines(keepends=True)
    with (path / "log.jsonl").open("wb") as file:
        file.write(lines[0])
        file.seek(40 << 30)  # a hole: to read it would take minutes
        file.write(b"\n" + b"".join(lines[1:]))
    run = only(tmp_path)
    assert (run.labels_right, run.rank1) == (0.8123, 0.3)


def test_results_with_many_queries_are_read_at_their_beginnings(tmp_path: Path) -> None:
    path = make(tmp_path / "run", result=True)
    with (path / "evaluation.json").open("ab") as file:
        file.truncate(40 << 30)
    assert only(tmp_path).rank1 == 0.625


@pytest.mark.parametrize(
    ("told", "command"),
    [
        (
            {"command": ["train", "configs/x.py", "--train.epochs", "3"]},
            "bagreid train configs/x.py --train.epochs 3 --work-dir runs/x --resume-from auto",
        ),
        (
            {
                "command": [
                    *("train", "my file.py", "--work-dir", "elsewhere", "--resume-from=old.pt"),
                    *("--anew", "--profile", "--resume_from", "auto", "--deterministic"),
                ],
            },
            "bagreid train 'my file.py' --deterministic --work-dir runs/x --resume-from auto",
        ),
        (
            {"command": ["train", "c.py"], "processes": 4, "processes_here": 4},
            "torchrun --standalone --nproc-per-node 4 -m bagreid train c.py --work-dir runs/x "
            "--resume-from auto",
        ),
        (
            {"command": ["train", "c.py"], "processes": 8, "processes_here": 4},
            "torchrun --nnodes 2 --nproc-per-node 4 [as before] -m bagreid train c.py --work-dir "
            "runs/x --resume-from auto",
        ),
        ({}, "bagreid train CONFIG --work-dir runs/x --resume-from auto"),
        ({"command": ["-q", "tests"]}, "bagreid train CONFIG --work-dir runs/x --resume-from auto"),
        ({"command": ["demo"]}, None),
    ],
)
def test_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], command: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resume_command(Path("runs/x"), {"folder": str(tmp_path)} | told) == command


def test_the_command_goes_to_the_folder_it_was_given_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    told = {"folder": str(tmp_path / "home"), "command": ["train", "c.py"]}
    assert resume_command(Path("home/runs/x"), told) == (
        f"cd {tmp_path}/home && bagreid train c.py --work-dir runs/x --resume-from auto"
    )


def test_the_configuration_is_guessed_from_the_work_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "dgl").mkdir(parents=True)
    (tmp_path / "configs" / "dgl" / "r50.py").write_text("")
    assert str(resume_command(Path("work_dirs/dgl/r50"), {})).startswith(
        "bagreid train configs/dgl/r50.py --work-dir work_dirs/dgl/r50 "
    )


def test_the_verb_prints_a_table_commands_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "dgl" / "r50", state="stopped", seen=time.time(), why="asked [to] stop")
    assert main(["runs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "dgl/r50" in said
    assert "stopped, resumable" in said
    assert "dgl/r50: asked [to] stop" in said
    assert "--resume-from auto" in said
    assert main(["runs", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "bagreid.runs/1"
    assert found["runs"][0]["name"] == "dgl/r50"
    assert found["runs"][0]["state"] == "stopped"
    (tmp_path / "none").mkdir()
    assert main(["runs", str(tmp_path / "none")]) == 0
    assert "There are no runs below" in capsys.readouterr().out
    assert main(["runs", str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-400, "now"), (3, "now"), (40, "40 s ago"), (200, "3 min ago"), (9000, "2 h ago")],
)
def test_when_it_was_seen(seconds: float, said: str) -> None:
    assert ago(seconds) == said


def test_sizes_have_few_digits() -> None:
    assert [size(n) for n in (0, 999, 1500, 25_000, 3e8, 4.2e9, 5e12, 6e15)] == [
        "0 B", "999 B", "1.5 kB", "25 kB", "300 MB", "4.2 GB", "5.0 TB", "6,000.0 TB",
    ]  # fmt: skip
