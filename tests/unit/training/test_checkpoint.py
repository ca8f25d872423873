"""Checkpoints: whole or absent, the newest kept, nothing foreign taken up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bagreid.contracts import BagreidError
from bagreid.training.checkpoint import (
    checkpoint_path,
    list_checkpoints,
    read_checkpoint,
    save_checkpoint,
)

FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from bagreid.training.checkpoint import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
save_checkpoint(Path(sys.argv[1]), 2, {"model": torch.randn(100_000)}, {}, [], keep=2)
"""


def save(folder: Path, step: int, keep: int = 2, **state: Any) -> Path:
    config = {"train": {"epochs": 3}}
    return save_checkpoint(folder, step, state, config, [4, 9], keep=keep)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    state = {"model": {"weight": torch.randn(3, 2)}, "replaced": {5: 2}}
    path = save(tmp_path / "new", 7, **state)
    again = read_checkpoint(path)
    assert (again.path, again.step, again.identities) == (path, 7, [4, 9])
    assert again.config == {"train": {"epochs": 3}}
    assert again.state.keys() == state.keys()
    assert torch.equal(again.state["model"]["weight"], state["model"]["weight"])
    assert again.state["replaced"] == {5: 2}


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 5, 9, 10):
        save(tmp_path, step, keep=3)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-000000005.pt", "step-000000009.pt", "step-000000010.pt",
    ]  # fmt: skip


def test_those_of_a_run_that_is_replaced_go(tmp_path: Path) -> None:
    """Else the new run would delete its own, and the old one's would count as the newest."""
    save(tmp_path, 800)
    save(tmp_path, 900)
    save(tmp_path, 100)
    assert names(tmp_path) == ["step-000000100.pt"]


def test_an_error_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    path = save(tmp_path, 3, model=torch.zeros(2))
    before = path.read_bytes()
    with pytest.raises(Exception, match="unsaveable"):
        save(tmp_path, 3, model=torch.ones(10_000), unsaveable=lambda: None)
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name]


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = save(tmp_path, 1, model=torch.zeros(2))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "BagreidError" in last
    assert "step-000000002.pt: cannot be written" in last
    assert "Make room" in last
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("below", ["", "checkpoints"])
def test_a_folder_stands_for_its_newest(tmp_path: Path, below: str) -> None:
    for step in (2, 30):
        save(tmp_path / below, step)
    (tmp_path / below / "step-000000099.pt.partial").write_bytes(b"cut")
    (tmp_path / below / "step-best.pt").write_bytes(b"not ours")
    assert read_checkpoint(tmp_path).path == checkpoint_path(tmp_path / below, 30)


def test_a_folder_without_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match=r"no checkpoint here.*step-\*\.pt"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [{"conv1.weight": torch.zeros(2)}, [1, 2], torch.zeros(3)])
def test_foreign_files_are_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "net_6.pth"
    torch.save(content, path)
    with pytest.raises(BagreidError, match=r"net_6\.pth: this is no checkpoint of bagreid"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04cut"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "step-000000001.pt"
    path.write_bytes(content)
    with pytest.raises(BagreidError, match=r"step-000000001\.pt: damaged: .*--resume-from auto"):
        read_checkpoint(path)
