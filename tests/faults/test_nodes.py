"""Two machines: the same curve as on one, and one of them lost and brought back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from account import Account
from nodes import Node, two_nodes, why_no_nodes
from ranks import PATIENCE
from runs import Run, assert_equal_ends

from bagreid.data.synthetic import SyntheticConfig, write_archive
from bagreid.training.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]
PORT = "29500"
HANG_MINUTES = 0.15
SECONDS = 40.0
FIRST, FIRST_TOLERANCE = 5, 1e-3
"""Steps in which the curves agree closely, and how closely: relative. Two processes take the sums
of float32 in another order than one, so that a step's gradients differ by some 1e-7 of the largest;
each later step multiplies what the last one left."""
TOLERANCE = 1e-2
"""Absolute, of every term of every later loss (the whole is near 2), and relative of the length of
all weights together, after up to 200 steps."""

CONFIG = """\
import dataclasses
from pathlib import Path
from bagreid.plan import PlanConfig
from bagreid.recipes import DataConfig, demo
base = demo()
config = dataclasses.replace(base,
    data=DataConfig(root=Path({root!r})),
    plan=PlanConfig(groups=8, images_per_group=8),
    augment=dataclasses.replace(base.augment, height=64, width=32),
    optimizer=dataclasses.replace(base.optimizer, name='sgd', learning_rate=1e-2),
    train=dataclasses.replace(base.train, epochs={epochs}, precision='fp32', log_every=1,
        checkpoint_every=2, workers=0, device='cpu'))
"""

pytestmark = pytest.mark.skipif(why_no_nodes() is not None, reason=str(why_no_nodes()))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that takes one process here so long that a machine can be lost and come back."""
    folder = tmp_path_factory.mktemp("nodes")
    write_archive(
        folder / "archive",
        SyntheticConfig(
            people=8, images_per_folder=16, queries=4, distractors=8, shortest_edge=48, seed=3
        ),
    )
    path = folder / "configs" / "nodes.py"
    path.parent.mkdir()

    def write(epochs: int) -> None:
        path.write_text(CONFIG.format(root=str(folder / "archive"), epochs=epochs))

    write(epochs=3)
    probe = Run(path, folder / "probe")
    probe.finish()
    epochs_told = [line for line in probe.log("step") if line["step"] % 2 == 0]
    pace = (epochs_told[-1]["time"] - epochs_told[0]["time"]) / (len(epochs_told) - 1)
    write(epochs=int(np.clip(SECONDS / pace, 20, 100)))
    return path


@pytest.fixture(scope="module")
def one_process(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(config, tmp_path_factory.mktemp("one") / "run")
    run.finish()
    return run


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    with two_nodes() as made:
        yield made


def launch(node: Node, run: Run, **variables: str) -> subprocess.Popen[bytes]:
    """Types the command of tools/dist_train.sh on a machine."""
    return node.start(
        ["bash", str(ROOT / "tools/dist_train.sh"), str(run.config), "1",
         "--work-dir", str(run.work_dir), "--deterministic",
         "--train.hang-minutes", str(HANG_MINUTES)],
        os.environ | {"OMP_NUM_THREADS": "1", "PYTHON": sys.executable, "MASTER_PORT": PORT}
        | variables,
        run.work_dir.with_name(f"{node.name}.txt"),
    )  # fmt: skip


def wait_until(true: Callable[[], object], process: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, said.read_text()[-3000:]
        assert time.monotonic() < until, said.read_text()[-3000:]
        time.sleep(0.05)


def assert_same_curve(run: Run, other: Run) -> float:
    """Whether both told every step once and agree to rounding; the largest difference of a loss."""
    assert run.steps() == other.steps() == list(range(1, len(other.steps()) + 1))
    curves = [
        np.array([list(line["loss"].values()) for line in each.log("step")])
        for each in (run, other)
    ]
    first = [curve[:FIRST] for curve in curves]
    np.testing.assert_allclose(*first, rtol=FIRST_TOLERANCE, atol=1e-6)
    np.testing.assert_allclose(*curves, rtol=0, atol=TOLERANCE)
    weights = [
        torch.cat([value.double().flatten() for value in each.values()])
        for each in (
            read_checkpoint(run.checkpoints()[-1]).state["model"],
            read_checkpoint(other.checkpoints()[-1]).state["model"],
        )
    ]
    assert (weights[0] - weights[1]).norm() <= TOLERANCE * weights[1].norm()
    return float(np.max(np.abs(curves[0] - curves[1])))


def test_two_machines_learn_what_one_process_learns(
    config: Path, one_process: Run, nodes: tuple[Node, Node], tmp_path: Path, account: Account
) -> None:
    run = Run(config, tmp_path / "two")
    agents = [
        launch(node, run, NNODES="2", NODE_RANK=str(number), MASTER_ADDR=nodes[0].name)
        for number, node in enumerate(nodes)
    ]
    codes = [agent.wait(PATIENCE) for agent in agents]
    assert codes == [0, 0], (tmp_path / f"{nodes[0].name}.txt").read_text()[-3000:]
    worst = assert_same_curve(run, one_process)
    pair = Run(config, tmp_path / "pair", size=2)
    pair.finish()
    assert_equal_ends(run, pair)
    account.note("two nodes", f"the curve of one process, to {worst:.0e}")
    account.note("two nodes", "the bits of two processes of one machine")


def test_a_lost_machine_is_done_without_and_comes_back(
    config: Path, one_process: Run, nodes: tuple[Node, Node], tmp_path: Path, account: Account
) -> None:
    run = Run(config, tmp_path / "elastic")
    one, two = nodes
    said = [tmp_path / f"{node.name}.txt" for node in nodes]
    # seconds where a cluster takes minutes
    conf = "last_call_timeout=3,keep_alive_interval=1,keep_alive_max_attempt=3,read_timeout=30"
    variables = {"NNODES": "1:2", "MASTER_ADDR": one.name, "RDZV_CONF": conf}
    agent = launch(one, run, NODE_RANK="0", **variables)
    launch(two, run, NODE_RANK="1", **variables)
    wait_until(lambda: len(run.steps()) >= 6, agent, said[0])
    assert processes_of(run) == 2
    two.power_off()
    at = run.steps()[-1]
    wait_until(lambda: processes_of(run) == 1 and run.steps()[-1] > at, agent, said[0])
    assert f"host {two.name}" in said[0].read_text()
    two.plug(up=True)
    other = launch(two, run, NODE_RANK="1", **variables)
    wait_until(lambda: processes_of(run) == 2, agent, said[0])
    joined = run.steps()[-1]
    codes = [each.wait(PATIENCE) for each in (agent, other)]
    assert codes == [0, 0], said[0].read_text()[-3000:]
    worst = assert_same_curve(run, one_process)
    assert joined < len(run.steps()), "it came back too late to learn anything"
    account.note("one of two nodes lost (SIGKILL, cable cut)", "went on with one, then with both")
    account.note("one of two nodes lost (SIGKILL, cable cut)", f"curve the same, to {worst:.0e}")


def processes_of(run: Run) -> int:
    """How many processes the run was started on last."""
    import orjson

    started = orjson.loads((run.work_dir / "config.json").read_bytes())["started"]
    return int(started["processes"])
