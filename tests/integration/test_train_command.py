"""`bagreid train` and the released form: overrides, both spellings, two processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from bagreid.cli.main import main
from bagreid.cli.train import default_work_dir, load_config, parse
from bagreid.recipes import RunConfig, as_plain
from bagreid.training.checkpoint import list_checkpoints, read_checkpoint

PROJECT = Path(__file__).parents[2]
TINY = """
import dataclasses
from pathlib import Path
from bagreid.plan import PlanConfig
from bagreid.recipes import DataConfig, demo

base = demo()
config = dataclasses.replace(
    base,
    data=DataConfig(root=Path({root!r})),
    plan=PlanConfig(groups=4, images_per_group=4),
    augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),
    train=dataclasses.replace(base.train, epochs=2, precision="fp32", workers=0, log_every=1),
)
"""


@pytest.fixture
def config(small_archive: Path, tmp_path: Path) -> Path:
    path = tmp_path / "configs" / "sets" / "tiny.py"
    path.parent.mkdir(parents=True)
    path.write_text(TINY.format(root=str(small_archive)))
    return path


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(path.read_bytes())
    return content


def test_overrides_override_and_all_else_is_the_files(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    options = {
        "train.epochs": "1",
        "optimizer.learning-rate": "0.003",
        "augment.resize": "40 20",
        "supervision.posterior.sweeps": "2",
        "loss.triplet_weight": "0.5",
        "model.neck": "none",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", *value.split())]
    assert main(["train", str(config), *words]) == 0
    work_dir = tmp_path / "work_dirs" / "sets" / "tiny"
    resolved = read(work_dir / "config.json")
    expected = as_plain(load_config(config))
    expected["train"]["epochs"] = 1
    expected["optimizer"]["learning_rate"] = 0.003
    expected["augment"]["resize"] = [40, 20]
    expected["supervision"]["posterior"]["sweeps"] = 2
    expected["loss"]["triplet_weight"] = 0.5
    expected["model"]["neck"] = "none"
    assert {part: resolved[part] for part in expected} == expected
    (checkpoint,) = list_checkpoints(work_dir / "checkpoints")
    saved = read_checkpoint(checkpoint)
    assert saved.config == expected
    assert "neck.weight" not in saved.state["model"]
    lines = [orjson.loads(line) for line in (work_dir / "log.jsonl").read_bytes().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    assert {line["epoch"] for line in steps} == {0}
    assert max(line["learning_rate"] for line in steps) == pytest.approx(0.003)


@pytest.mark.parametrize("dash", ["-", "_"])
def test_both_spellings_are_understood(config: Path, dash: str) -> None:
    words = [f"--resume{dash}from", "a.pt", f"--work{dash}dir", "there"]
    words += [f"--train.log{dash}every", "7", "--deterministic", "--pretrained", "b.pt"]
    args = parse([str(config), *words], "bagreid train")
    assert (args.resume_from, args.pretrained) == (Path("a.pt"), Path("b.pt"))
    assert (args.work_dir, args.deterministic) == (Path("there"), True)
    assert args.run.train.log_every == 7


@pytest.mark.parametrize(
    ("path", "work_dir"),
    [
        ("configs/demo.py", "work_dirs/demo"),
        ("configs/dgl/r50_sysu30k.py", "work_dirs/dgl/r50_sysu30k"),
        ("/somewhere/configs/dgl/mine.py", "work_dirs/dgl/mine"),
        ("/configs/a/configs/b.py", "work_dirs/b"),
        ("mine.py", "work_dirs/mine"),
        ("../mine.py", "work_dirs/mine"),
    ],
)
def test_results_go_to_the_same_path_under_work_dirs(path: str, work_dir: str) -> None:
    assert default_work_dir(Path(path)) == Path(work_dir)


CONFIGURATIONS = sorted((PROJECT / "configs").rglob("*.py"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_configuration_of_the_project_holds(path: Path) -> None:
    assert isinstance(load_config(path), RunConfig)


def released_form(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = os.environ | {
        "PYTHON": sys.executable,
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        ["bash", str(PROJECT / "tools" / "dist_train.sh"), *words],
        check=False, capture_output=True, text=True, env=environment, cwd=folder, timeout=300,
    )  # fmt: skip


def test_the_released_form_trains_on_two_processes_and_resumes(
    config: Path, tmp_path: Path
) -> None:
    """The release's command line, on gloo: train, then go on from an early step."""
    more = ["--train.device", "cpu", "--train.epochs", "1", "--train.checkpoint_every", "2"]
    more += ["--train.keep_checkpoints", "9"]
    done = released_form(str(config), "2", "--deterministic", *more, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    work_dir = tmp_path / "work_dirs" / "sets" / "tiny"
    result = read(work_dir / "evaluation.json")
    assert result["counts"]["queries"] == 4
    started = read(work_dir / "config.json")["started"]
    assert (started["processes"], started["deterministic"]) == (2, True)
    lines = [orjson.loads(line) for line in (work_dir / "log.jsonl").read_bytes().splitlines()]
    steps = [line["step"] for line in lines if line["kind"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert done.stdout.count("mAP") == done.stdout.count("See the run") == 1
    assert not list(work_dir.glob("rank*"))
    first, *_, last = list_checkpoints(work_dir / "checkpoints")
    whole = read_checkpoint(last)

    resumed = released_form(str(config), "2", "--resume_from", str(first), *more, folder=tmp_path)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert f"at step {read_checkpoint(first).step}" in resumed.stdout
    again = read_checkpoint(last)
    for name, value in whole.state["model"].items():
        assert torch.equal(value, again.state["model"][name]), name
    assert read(work_dir / "evaluation.json") == result


def test_a_new_run_starts_from_weights_and_says_what_fitted(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    first, second = tmp_path / "first", tmp_path / "second"
    command = ["train", str(config), "--train.epochs", "1", "--work-dir"]
    assert main([*command, str(first)]) == 0
    (weights,) = list_checkpoints(first / "checkpoints")
    more = ["--pretrained", str(weights), "--optimizer.learning-rate", "1e-12"]
    assert main([*command, str(second), *more]) == 0
    assert f"{weights}: a network of bagreid; " in capsys.readouterr().out
    (end,) = list_checkpoints(second / "checkpoints")
    (learned, kept) = (read_checkpoint(path).state for path in (weights, end))
    name = "classifier.weight"  # the moving average is taken, not the network it follows
    torch.testing.assert_close(kept["model"][name], learned["teacher"][name])
    assert (second / "evaluation.json").exists()


def test_the_released_form_says_how_it_is_called(tmp_path: Path) -> None:
    done = released_form("only-a-config.py", folder=tmp_path)
    assert done.returncode == 2
    assert "usage: bash tools/dist_train.sh CONFIG GPUS" in done.stderr
