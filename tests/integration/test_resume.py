"""A run stopped at any step and resumed gives the same weights, bit for bit."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
import torch
from rich.console import Console

from bagreid.catalog import open_catalog
from bagreid.contracts import BagreidError
from bagreid.plan import PlanConfig
from bagreid.recipes import DataConfig, RunConfig, demo, training_setup
from bagreid.resuming import check_resumable
from bagreid.training.checkpoint import list_checkpoints, read_checkpoint, write_checkpoint
from bagreid.training.loop import Trainer
from bagreid.training.snapshot import Snapshot
from bagreid.training.wishes import Wish, Wishes
from bagreid.world import World


def small_run(root: Path, **train: object) -> RunConfig:
    base = demo()
    options: dict[str, object] = {
        "epochs": 2, "workers": 0, "checkpoint_every": 1, "keep_checkpoints": 99, "log_every": 2,
        "precision": "fp32",
    }  # fmt: skip
    return dataclasses.replace(
        base,
        data=DataConfig(root=root),
        plan=PlanConfig(groups=4, images_per_group=4),
        augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),
        train=dataclasses.replace(base.train, **(options | train)),  # type: ignore[arg-type]
    )


def trainer_of(config: RunConfig, work_dir: Path) -> Trainer:
    return Trainer(open_catalog(config.data.root), training_setup(config), World(), work_dir)


def equal_states(one: object, two: object, name: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert isinstance(two, torch.Tensor)
        assert torch.equal(one, two), name
    elif isinstance(one, dict):
        assert isinstance(two, dict)
        assert one.keys() == two.keys(), name
        for key in one:
            equal_states(one[key], two[key], f"{name}/{key}")
    elif isinstance(one, list | tuple):
        for index, (a, b) in enumerate(zip(one, two, strict=True)):  # type: ignore[call-overload]
            equal_states(a, b, f"{name}/{index}")
    else:
        assert one == two, name


@pytest.fixture(scope="module")
def undisturbed(
    small_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunConfig, Path]:
    config, work_dir = small_run(small_archive), tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    trainer_of(config, work_dir).run()
    return config, work_dir


def test_resuming_from_any_step_ends_in_the_same_bits(
    undisturbed: tuple[RunConfig, Path], tmp_path: Path
) -> None:
    config, work_dir = undisturbed
    checkpoints = list_checkpoints(work_dir / "checkpoints")
    assert len(checkpoints) >= 6
    final = read_checkpoint(checkpoints[-1])
    for path in checkpoints[:-1]:
        again = trainer_of(config, tmp_path / path.stem)
        again.restore(read_checkpoint(path))
        end = again.run().checkpoint
        equal_states(read_checkpoint(end).state, final.state, path.name)


def test_an_error_after_a_step_saves_the_state_of_that_very_step(
    undisturbed: tuple[RunConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, work_dir = undisturbed
    config = small_run(config.data.root, checkpoint_every=1000)
    asked = iter([Wish()] * 2)

    def agreed(self: Wishes) -> Wish:  # noqa: ARG001
        return next(asked)

    monkeypatch.setattr(Wishes, "agreed", agreed)
    torch.set_num_threads(1)
    with pytest.raises(StopIteration):
        trainer_of(config, tmp_path).run()
    (saved,) = list_checkpoints(tmp_path / "checkpoints")
    undisturbed_one = list_checkpoints(work_dir / "checkpoints")[2]
    equal_states(read_checkpoint(saved).state, read_checkpoint(undisturbed_one).state)


@pytest.mark.parametrize("failures", [1, 99])
def test_a_last_save_that_fails_is_tried_again_and_never_called_saved(
    small_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    tries = []

    def write(path: Path, snapshot: Snapshot) -> None:
        tries.append(path)
        if len(tries) <= failures:
            raise BagreidError("the disk is full", path=path)
        write_checkpoint(path, snapshot)

    monkeypatch.setattr("bagreid.training.saving.write_checkpoint", write)
    said = io.StringIO()
    trainer = trainer_of(small_run(small_archive, checkpoint_every=1000), tmp_path)
    with pytest.raises(BagreidError, match="the disk is full"):
        trainer.run(console=Console(file=said, width=1000))
    assert len(tries) == 2
    assert len(list_checkpoints(tmp_path / "checkpoints")) == (failures == 1)
    if failures == 1:
        assert f"is saved: {tries[-1]}" in said.getvalue()
    else:
        assert "could not be saved" in said.getvalue()
        assert "Kept: no checkpoint" in said.getvalue()


def test_another_number_of_workers_gives_the_same_bits(
    undisturbed: tuple[RunConfig, Path], tmp_path: Path
) -> None:
    config, work_dir = undisturbed
    two = small_run(config.data.root, workers=2)
    end = trainer_of(two, tmp_path).run().checkpoint
    final = read_checkpoint(list_checkpoints(work_dir / "checkpoints")[-1])
    equal_states(read_checkpoint(end).state, final.state)


def test_the_log_of_a_resumed_run_tells_every_step_once(
    undisturbed: tuple[RunConfig, Path], tmp_path: Path
) -> None:
    config, work_dir = undisturbed
    copy = tmp_path / "copy"
    shutil.copytree(work_dir, copy)
    with (copy / "log.jsonl").open("ab") as file:
        file.write(b'{"kind": "step", "st')  # cut by a kill
    again = trainer_of(config, copy)
    again.restore(read_checkpoint(list_checkpoints(copy / "checkpoints")[2]))
    again.run()
    lines = [orjson.loads(line) for line in (copy / "log.jsonl").read_bytes().splitlines()]
    steps = [line["step"] for line in lines if line["kind"] == "step"]
    assert steps == list(range(2, again.total_steps + 1, 2))
    assert {"unary", "pairwise", "triplet", "total"} == set(lines[0]["loss"])
    assert lines[0]["pseudo_label_accuracy"] is not None


def test_a_killed_process_resumes_from_the_command_line(
    small_archive: Path, tmp_path: Path
) -> None:
    """SIGTERM saves and says how to go on; the end equals an undisturbed run's."""
    config = tmp_path / "configs" / "tiny.py"
    config.parent.mkdir()
    config.write_text(
        "import dataclasses\n"
        "from pathlib import Path\n"
        "from bagreid.plan import PlanConfig\n"
        "from bagreid.recipes import DataConfig, demo\n"
        "base = demo()\n"
        "config = dataclasses.replace(base,\n"
        f"    data=DataConfig(root=Path({str(small_archive)!r})),\n"
        "    plan=PlanConfig(groups=4, images_per_group=4),\n"
        "    augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),\n"
        "    train=dataclasses.replace(base.train, epochs=12, precision='fp32', log_every=1))\n"
    )
    command = [sys.executable, "-m", "bagreid", "train", str(config)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(
        [*command, "--work-dir", str(whole)], check=True, env=environment, capture_output=True
    )
    process = subprocess.Popen(
        [*command, "--work-dir", str(broken)], env=environment,
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not (broken / "log.jsonl").exists() or not (broken / "log.jsonl").read_bytes():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)  # the loader's workers get it too
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 3, said
    assert "--resume-from" in said
    assert not (broken / "evaluation.json").exists()
    subprocess.run(
        [*command, "--work-dir", str(broken), "--resume-from", str(broken)],
        check=True, env=environment, capture_output=True,
    )  # fmt: skip
    ends = [list_checkpoints(folder / "checkpoints")[-1] for folder in (whole, broken)]
    equal_states(*(read_checkpoint(end).state for end in ends))
    results = [
        orjson.loads((folder / "evaluation.json").read_bytes()) for folder in (whole, broken)
    ]
    assert results[0] == results[1]


def test_resuming_under_another_meaning_is_refused(undisturbed: tuple[RunConfig, Path]) -> None:
    config, work_dir = undisturbed
    checkpoint = read_checkpoint(work_dir)
    harmless = small_run(config.data.root, workers=1)
    assert check_resumable(harmless, checkpoint) == ["train.workers"]
    with pytest.raises(BagreidError, match=r"train\.epochs was 2 and is 5"):
        check_resumable(small_run(config.data.root, epochs=5), checkpoint)


def test_a_weight_file_is_no_checkpoint_to_resume(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(BagreidError, match=r"no checkpoint of bagreid train.*--pretrained"):
        read_checkpoint(tmp_path / "weights.pth")


def test_every_epoch_is_validated_whatever_ends_the_run(
    small_archive: Path, tmp_path: Path
) -> None:
    """A run that falls while it validates has saved before, and validates when it goes on."""
    config = small_run(small_archive, epochs=3, validate_every=1, checkpoint_every=999)
    told: list[int] = []

    def falls_once(network: torch.nn.Module, epoch: int) -> dict[str, float]:  # noqa: ARG001
        told.append(epoch)
        if len(told) == 1:
            raise RuntimeError("the machine is taken away")
        return {"rank1": 0.5, "mean_ap": 0.25}

    with pytest.raises(RuntimeError, match="taken away"):
        trainer_of(config, tmp_path).run(falls_once)
    (saved,) = list_checkpoints(tmp_path / "checkpoints")
    again = trainer_of(config, tmp_path)
    again.restore(read_checkpoint(saved))
    assert again.step * 3 == again.total_steps
    again.run(falls_once)
    assert told == [0, 0, 1]
    lines = map(orjson.loads, (tmp_path / "log.jsonl").read_bytes().splitlines())
    assert [line["epoch"] for line in lines if line["kind"] == "validation"] == [0, 1]


def test_going_back_turns_the_back_on_later_checkpoints(
    undisturbed: tuple[RunConfig, Path], tmp_path: Path
) -> None:
    config, work_dir = undisturbed
    shutil.copytree(work_dir, tmp_path, dirs_exist_ok=True)
    early = list_checkpoints(tmp_path / "checkpoints")[1]
    again = trainer_of(config, tmp_path)
    again.restore(read_checkpoint(early))

    again.total_steps = again.step  # it ends at once
    again.run()
    assert list_checkpoints(tmp_path / "checkpoints")[-1] == early
