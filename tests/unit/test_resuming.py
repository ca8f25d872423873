"""Where a run goes on from, and when it is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import torch

from bagreid.contracts import BagreidError
from bagreid.resuming import find_checkpoint
from bagreid.training.saving import CheckpointWriter
from bagreid.training.status import RunStatus, process_at_work


def saved(work_dir: Path, *steps: int) -> list[Path]:
    writer = CheckpointWriter(
        work_dir / "checkpoints", keep=9, describe={"config": {}, "identities": [1]}
    )
    with writer:
        return [writer.save(step, {"model": {"w": torch.ones(3) * step}}) for step in steps]


def spoil(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_new_run_begins_whether_asked_to_resume_or_not(tmp_path: Path) -> None:
    said: list[str] = []
    for resume_from in (None, "auto"):
        assert find_checkpoint(tmp_path / "new", resume_from, False, said.append) is None  # type: ignore[arg-type]
    assert not said


def test_a_run_that_is_there_is_never_overwritten_by_accident(tmp_path: Path) -> None:
    paths = saved(tmp_path, 3, 7)
    with pytest.raises(BagreidError, match=r"step-000000007\..*--resume-from auto.*--anew"):
        find_checkpoint(tmp_path, None, False, print)
    assert all(path.exists() for path in paths)
    assert find_checkpoint(tmp_path, "auto", False, print) == paths[1]
    assert find_checkpoint(tmp_path, tmp_path, False, print) == paths[1]
    assert find_checkpoint(tmp_path, tmp_path / "checkpoints", False, print) == paths[1]
    assert find_checkpoint(tmp_path, paths[0], False, print) == paths[0]
    assert find_checkpoint(tmp_path, None, True, print) is None
    assert all(path.exists() for path in paths), "they go when the new run can begin"


def test_a_damaged_newest_one_is_told_and_passed_over(tmp_path: Path) -> None:
    old, new = saved(tmp_path, 3, 7)
    spoil(new)
    said: list[str] = []
    assert find_checkpoint(tmp_path, "auto", False, said.append) == old
    assert any("step-000000007" in line for line in said)
    spoil(old)
    with pytest.raises(BagreidError, match="none of the 2 checkpoints here is whole"):
        find_checkpoint(tmp_path, "auto", False, said.append)


def test_a_folder_without_any_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match="no checkpoint here that can be read"):
        find_checkpoint(tmp_path / "new", tmp_path, False, print)


def test_a_run_at_work_is_left_alone(tmp_path: Path) -> None:
    """Another process that trains there now; once it is gone, the run may be resumed."""
    code = (
        "import sys; from pathlib import Path; from bagreid.training.status import RunStatus\n"
        f"with RunStatus(Path({str(tmp_path)!r}), 5, epochs=1): print('at work', flush=True); "
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "at work\n"
        assert process_at_work(tmp_path) == other.pid
        for anew in (False, True):
            with pytest.raises(BagreidError, match=f"process {other.pid} is training"):
                find_checkpoint(tmp_path, None, anew, print)
    finally:
        other.kill()
        other.wait()
    assert orjson.loads((tmp_path / "state.json").read_bytes())["state"] == "running"
    assert find_checkpoint(tmp_path, "auto", False, print) is None
    with RunStatus(tmp_path, 5, epochs=1):
        assert process_at_work(tmp_path) is None, "a process does not stand in its own way"
