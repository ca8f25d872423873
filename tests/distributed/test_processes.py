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


def gradients(
    archive: Path, out: Path, method: str, processes: int, parts: int = 1
) -> dict[str, dict]:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command += ["--master-addr", "127.0.0.1", "--master-port", free_port()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(WORKER), str(archive), str(out), method, str(parts)],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(out, weights_only=True)


@pytest.mark.parametrize(
    ("method", "processes", "parts"),
    [
        ("dgl", 3, 1),  # 4 groups: one rank has two of them
        ("dgl", 2, 2),
        ("balanced", 3, 1),
        ("mgn", 2, 1),  # with argmax
    ],
)
def test_many_processes_give_the_gradients_of_one(
    small_archive: Path, tmp_path: Path, method: str, processes: int, parts: int
) -> None:
    one = gradients(small_archive, tmp_path / "one.pt", method, 1, parts)
    many = gradients(small_archive, tmp_path / "many.pt", method, processes, parts)
    assert one["gradients"].keys() == many["gradients"].keys()
    assert sum(float(g.abs().sum()) for g in one["gradients"].values()) > 0
    assert torch.equal(one["seen"]["all"][:, :2], many["seen"]["all"][:, :2])
    for part in ("facts", "gradients", "buffers", "prior"):
        for name, value in one[part].items():
            torch.testing.assert_close(
                many[part][name], value, rtol=1e-5 if part == "prior" else 1e-7, atol=1e-8,
                msg=lambda text, name=name: f"{name}: {text}",
            )  # fmt: skip
