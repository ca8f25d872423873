"""Many real gloo processes compute what one computes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).parent / "worker_gradients.py"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def gradients(archive: Path, out: Path, method: str, processes: int) -> dict[str, dict]:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command += ["--master-addr", "127.0.0.1", "--master-port", free_port()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(WORKER), str(archive), str(out), method],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize("method", ["dgl", "argmax", "balanced"])
def test_two_processes_give_the_gradients_of_one(
    small_archive: Path, tmp_path: Path, method: str
) -> None:
    one = gradients(small_archive, tmp_path / "one.pt", method, 1)
    two = gradients(small_archive, tmp_path / "two.pt", method, 2)
    assert one["gradients"].keys() == two["gradients"].keys()
    assert sum(float(g.abs().sum()) for g in one["gradients"].values()) > 0
    for part in ("loss", "gradients", "buffers", "prior"):
        for name, value in one[part].items():
            torch.testing.assert_close(
                two[part][name], value, rtol=1e-5 if part == "prior" else 1e-7, atol=1e-8,
                msg=lambda text, name=name: f"{name}: {text}",
            )  # fmt: skip
