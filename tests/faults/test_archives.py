"""Broken images, a rotten archive, numbers that are no numbers: told of, counted, survived."""

from __future__ import annotations

from pathlib import Path

import pytest
import ranks
import torch
from account import Account
from damage import break_images, copy_archive, larger_archive
from runs import Run, assert_equal_ends, write_config

from bagreid.training.checkpoint import read_checkpoint

AUTO = ("--resume-from", "auto")


def test_one_broken_image_in_a_hundred_is_replaced_counted_and_known_next_time(
    tmp_path: Path, account: Account
) -> None:
    archive = larger_archive(tmp_path / "archive")
    broken = break_images(archive, 0.01)
    config = write_config(tmp_path, archive)
    options = ("--train.epochs", "1", "--data.cache", str(tmp_path / "cache"))
    first = Run(config, tmp_path / "first", 1, options)
    first.finish()
    told = {name for line in first.log("broken") for name in line["images"]}
    assert told == set(broken)
    assert first.log("step")[-1]["replaced"] >= len(broken)
    second = Run(config, tmp_path / "second", 1, options)
    second.finish()
    assert not second.log("broken"), "they were known before"
    assert_equal_ends(second, first)
    account.note("1 % of the JPEGs broken", "replaced, listed, known to the next run; same bits")
    account.note("broken JPEGs among them", "told by name in the log", len(broken))


def test_a_rotten_archive_stops_the_run(
    small_archive: Path, tmp_path: Path, account: Account
) -> None:
    archive = copy_archive(small_archive, tmp_path / "archive")
    broken = break_images(archive, 0.5)
    run = Run(write_config(tmp_path, archive), tmp_path / "run")
    assert ranks.end(run.start(*AUTO)) == [2], run.words()
    assert "train images" in run.words()
    assert "are broken, more than the" in run.words()
    assert len(broken) > 10
    account.note("half of the JPEGs broken", "stopped with exit code 2, counted")


def test_a_run_without_finite_numbers_stops_and_lists_its_images(
    config: Path, tmp_path: Path, account: Account
) -> None:
    """Weights that somebody gave as infinite: no step of theirs is ever finite."""
    good = Run(config, tmp_path / "good", 1, ("--train.epochs", "1"))
    good.finish()
    weights = dict(read_checkpoint(good.checkpoints()[-1]).state["model"])
    name = next(name for name, value in weights.items() if value.dim() == 4)
    weights[name] = torch.full_like(weights[name], torch.inf)
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    options = ("--pretrained", str(path), "--train.most-skipped", "3")
    run = Run(config, tmp_path / "run", 1, options)
    assert ranks.end(run.start()) == [2], run.words()
    assert "3 steps in a row" in run.words()
    listed = (run.work_dir / "not_finite.txt").read_text().split()
    assert listed
    assert len(run.log("skipped")) == 3
    state = read_checkpoint(run.checkpoints()[-1]).state
    for key, value in weights.items():
        if key.endswith("num_batches_tracked"):  # torch counts; nothing depends on it
            continue
        assert torch.equal(state["model"][key], value), f"{key} was changed by a skipped step"
    account.note("loss not finite", "3 steps skipped, then stopped, images listed, weights kept")


@pytest.mark.parametrize("size", [1, 2])
def test_single_steps_that_are_not_finite_are_skipped(
    config: Path, tmp_path: Path, size: int, account: Account
) -> None:
    """A learning rate far too high: where the network blows up, the run says so and stops."""
    options = ("--optimizer.learning-rate", "1e30", "--train.most-skipped", "3")
    run = Run(config, tmp_path / "run", size, options)
    assert ranks.end(run.start(*AUTO)) == [2] * size, run.words()
    assert "in a row" in run.words()
    assert "optimizer.learning_rate" in run.words()
    account.note("learning rate far too high", "stopped after steps that were not finite")
