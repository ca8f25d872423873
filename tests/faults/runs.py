"""Whole training runs in forked processes: started, disturbed, resumed, compared bit for bit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import orjson
import ranks
import torch

# loaded here, or every process would load them anew
import bagreid.cli.train
import bagreid.experiment  # noqa: F401
from bagreid.training.checkpoint import list_checkpoints, read_checkpoint

CONFIG = """\
import dataclasses
from pathlib import Path
from bagreid.plan import PlanConfig
from bagreid.recipes import DataConfig, demo
base = demo()
config = dataclasses.replace(base,
    data=DataConfig(root=Path({root!r})),
    plan=PlanConfig(groups=4, images_per_group=4),
    augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),
    train=dataclasses.replace(base.train, epochs=4, precision='fp32', log_every=1,
        checkpoint_every=2, keep_checkpoints=2, validate_every=2, workers=0, device='cpu'))
"""


def write_config(folder: Path, archive: Path) -> Path:
    """A run of some twenty small steps, with checkpoints and validations in between."""
    path = folder / "configs" / "faults.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.format(root=str(archive)))
    return path


def _own_session(rank: int) -> None:  # noqa: ARG001
    os.setsid()  # so that its loader's workers can be killed along with it, and nobody else


@dataclass
class Run:
    """One work dir, and the command that fills it.

    Attributes:
        config: The configuration file.
        work_dir: The work dir.
        size: Processes that train together.
        options: More of the command line.
    """

    config: Path
    work_dir: Path
    size: int = 1
    options: tuple[str, ...] = ()

    def start(self, *more: str, before: Callable[[int], None] = _own_session) -> list[BaseProcess]:
        """Starts it, or goes on with it."""
        command: Sequence[object] = [
            "train", self.config, "--work-dir", self.work_dir, "--deterministic",
            *self.options, *more,
        ]  # fmt: skip
        return ranks.start(command, self.size, self.said, before)

    def finish(self, *more: str) -> str:
        """Brings it to its good end; what the first process said."""
        codes = ranks.end(self.start("--resume-from", "auto", *more))
        assert codes == [0] * self.size, self.words()
        return self.words()

    @property
    def said(self) -> Path:
        """Where what the processes say goes."""
        return self.work_dir.with_name(self.work_dir.name + "-said")

    def words(self) -> str:
        """What the processes said when they were started last."""
        return "\n".join((self.said / str(rank)).read_text() for rank in range(self.size))

    def log(self, kind: str) -> list[dict[str, Any]]:
        """The whole lines of a kind in the log."""
        lines = []
        with suppress(FileNotFoundError):
            for line in (self.work_dir / "log.jsonl").read_bytes().splitlines():
                with suppress(orjson.JSONDecodeError):
                    lines.append(orjson.loads(line))
        return [line for line in lines if line["kind"] == kind]

    def steps(self) -> list[int]:
        """The steps that the log tells of."""
        return [line["step"] for line in self.log("step")]

    def checkpoints(self) -> list[Path]:
        """Its checkpoints, oldest first."""
        return list_checkpoints(self.work_dir / "checkpoints")

    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return any((self.work_dir / "checkpoints").glob("*.partial"))

    def is_tested(self) -> bool:
        """Whether the result of the test is there."""
        return (self.work_dir / "evaluation.json").exists()


def wait_until(true: Callable[[], object], processes: list[BaseProcess]) -> bool:
    """Waits for something; False where the processes ended before."""
    until = time.monotonic() + ranks.PATIENCE
    while not true():
        if not all(process.is_alive() for process in processes):
            return bool(true())
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.001)
    return True


def kill(process: BaseProcess, *, group: bool) -> None:
    """SIGKILL to a process, or to its workers as well."""
    with suppress(ProcessLookupError):
        if group:
            os.killpg(process.pid or 0, signal.SIGKILL)
        else:
            os.kill(process.pid or 0, signal.SIGKILL)


def assert_equal_ends(run: Run, undisturbed: Run) -> None:
    """Whether a run ended in the same bits, told every step once and tested the same."""
    ends = [read_checkpoint(each.checkpoints()[-1]) for each in (run, undisturbed)]
    assert ends[0].step == ends[1].step
    assert_equal(ends[0].state, ends[1].state)
    assert run.steps() == undisturbed.steps() == list(range(1, ends[0].step + 1))
    for name in ("loss", "learning_rate", "pseudo_label_accuracy"):
        told = [[line[name] for line in each.log("step")] for each in (run, undisturbed)]
        assert told[0] == told[1], name
    results = [
        orjson.loads((each.work_dir / "evaluation.json").read_bytes())
        for each in (run, undisturbed)
    ]
    assert results[0] == results[1]


def assert_equal(one: object, two: object, name: str = "") -> None:
    """Whether two states are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert isinstance(two, torch.Tensor), name
        assert torch.equal(one, two), name
    elif isinstance(one, dict):
        assert isinstance(two, dict), name
        assert one.keys() == two.keys(), name
        for key in one:
            assert_equal(one[key], two[key], f"{name}/{key}")
    elif isinstance(one, list | tuple):
        assert isinstance(two, list | tuple), name
        assert len(one) == len(two), name
        for index, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_equal(a, b, f"{name}/{index}")
    else:
        assert one == two, name
