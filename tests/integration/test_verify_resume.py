"""`verify --images all`, killed at any moment, goes on where it was, and leaves nobody behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from torchvision.io import encode_jpeg

from bagreid.cli.main import main
from bagreid.shards.writer import TarWriter

FOLDERS, IMAGES = 6, 1024
PATIENCE = 300.0
"""Seconds to wait for another process on a busy machine; nothing is judged by them."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6,144 images in two tars; the fifth of each folder is cut."""
    root = tmp_path_factory.mktemp("archives") / "many"
    (root / "train").mkdir(parents=True)
    noise = torch.randint(0, 255, (3, 160, 80), generator=torch.Generator().manual_seed(1))
    jpeg = encode_jpeg(noise.to(torch.uint8)).numpy().tobytes()
    for part in (0, 1):
        with TarWriter(root / "train" / f"sysu_train_set_all_part{part + 1}.tar") as tar:
            for folder in range(3 * part + 1, 3 * part + 4):
                for image in range(IMAGES):
                    data = jpeg[:500] if image == 4 else jpeg
                    tar.add(f"sysu_train_set_all/{folder:010d}/{image:06d}.jpg", data)
    return root


def wait_for(what: str, journal: Path, lines: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, f"it ended before {what}"
        assert time.monotonic() < until, f"{what} took too long"
        time.sleep(0.002)


def test_a_killed_check_goes_on(root: Path, tmp_path: Path) -> None:
    cache, report = tmp_path / "cache", tmp_path / "report.json"
    options = [str(root), "--images", "all", "--cache", str(cache), "--json", str(report)]
    command = [sys.executable, "-m", "bagreid", "verify", *options, "--workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    try:
        while not (found := list(cache.glob("*/soundness.jsonl"))):
            assert process.poll() is None, "it ended before it decoded anything"
            time.sleep(0.01)
        wait_for("the second portion", found[0], 3, process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive, "a worker outlived its killed parent"
    assert not report.exists()

    assert main(["verify", *options, "--workers", "0"]) == 1
    decoded = json.loads(report.read_text())["decoded"]
    assert 2 * IMAGES <= decoded["resumed"] < FOLDERS * IMAGES
    assert decoded["images"] == FOLDERS * IMAGES
    assert [entry["image"] for entry in decoded["broken"]] == [
        f"sysu_train_set_all/{folder:010d}/000004.jpg" for folder in range(1, FOLDERS + 1)
    ]
    assert not found[0].exists(), "a finished check begins anew next time"
    listed = (found[0].parent / "quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in listed] == [
        entry["image"] for entry in decoded["broken"]
    ]
