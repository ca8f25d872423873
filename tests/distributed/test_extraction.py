"""Extraction killed at any moment, on any number of processes, gives the features of one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import psutil
import pytest
import torch
from ranks import PATIENCE, end, free_port, journalled, run, start, wait_for_batches

from bagreid.evaluation import cooperation, open_features, shards
from bagreid.evaluation.sources import as_source

SIDES = ("query", "gallery")


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same_features(found: Path, wanted: Path) -> None:
    """Equal to the bit, whatever the shards."""
    for side in SIDES:
        one, two = open_features(found / side), open_features(wanted / side)
        sources = as_source(one.features), as_source(two.features)
        assert sources[0].shape == sources[1].shape
        rows = [source.block(0, source.shape[0]) for source in sources]
        assert torch.equal(*rows)
        for name in ("rows", "pids", "camids", "norms"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert one.broken == two.broken


@pytest.mark.parametrize("workers", ["0", "1"])
def test_killed_again_and_again_it_ends_in_the_same_bytes(
    options: list[str], undisturbed: Path, tmp_path: Path, workers: str
) -> None:
    dice = random.Random(int(workers))
    out, seen = tmp_path / "out", []
    command = ["extract", out, *options, "--workers", workers]
    for _ in range(3):
        (process,) = start(command, 1, tmp_path / "said")
        more = dice.randrange(8)
        if wait_for_batches(out, journalled(out) + more, process.is_alive):
            time.sleep(dice.random() * 0.02)
        process.kill()
        process.join()
        seen.append(journalled(out))
    run(command, 1, tmp_path / "said")
    assert content(out) == content(undisturbed)
    assert max(seen) > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_stop_says_how_to_go_on(
    options: list[str], undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    (process,) = start(["extract", out, *options], 1, tmp_path / "said")
    assert wait_for_batches(out, 3, process.is_alive)
    assert process.pid is not None
    os.kill(process.pid, number)
    assert end([process]) == [3]
    said = (tmp_path / "said" / "0").read_text()
    assert "bagreid extract: stopped; all whole batches are kept" in said
    (said,) = run(["extract", out, *options], 1, tmp_path / "said")
    assert "going on, " in said
    assert content(out) == content(undisturbed)


@pytest.mark.parametrize("size", [3])
def test_many_processes_extract_what_one_does(
    options: list[str], undisturbed: Path, tmp_path: Path, size: int
) -> None:
    out = tmp_path / "out"
    texts = run(["extract", out, *options], size, tmp_path / "said")
    assert_same_features(out, undisturbed)
    assert len(list((out / "gallery").glob("features-*.npy"))) == size
    assert "gallery: 60 × 512 in" in texts[0]
    assert not any(texts[1:]), "of many processes one speaks"
    before = content(out)
    (said, *_) = run(["extract", out, *options], size, tmp_path / "said")
    assert "all 60 images are done already" in said
    assert content(out) == before


def test_going_on_with_other_numbers_of_processes(
    options: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    out, kept = tmp_path / "out", 0
    for size in (2, 1, 4):
        processes = start(["extract", out, *options], size, tmp_path / "said")
        last = size == 4
        if not last and wait_for_batches(out, kept + 4, lambda: processes[0].is_alive()):  # noqa: B023
            for process in processes:
                process.kill()
        codes = end(processes)
        if last:
            assert codes == [0] * 4, (tmp_path / "said" / "0").read_text()
        else:
            assert journalled(out) >= kept
            kept = journalled(out)
    assert kept >= 8
    assert_same_features(out, undisturbed)


def test_one_process_that_fails_stops_all_with_one_line(
    options: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    def full_disk_of_the_second(rank: int) -> None:
        if rank == 1:
            real, left = shards._write_all, [12_000]

            def write(file: object, data: bytes) -> None:
                left[0] -= len(data)
                if left[0] < 0:
                    raise OSError(28, "No space left on device")
                real(file, data)  # type: ignore[arg-type]

            shards._write_all = write  # type: ignore[assignment]

    out = tmp_path / "out"
    processes = start(["extract", out, *options], 3, tmp_path / "said", full_disk_of_the_second)
    assert end(processes) == [2, 2, 2]
    first, *others = ((tmp_path / "said" / str(rank)).read_text() for rank in range(3))
    lines = [line for line in first.splitlines() if line.startswith("bagreid extract:")]
    assert len(lines) == 1
    assert "process 1 of 3 stopped: " in lines[0]
    assert "No space left on device" in lines[0]
    assert others == ["", ""]
    run(["extract", out, *options], 3, tmp_path / "said")
    assert_same_features(out, undisturbed)


def test_a_bug_in_one_process_reaches_all(options: list[str], tmp_path: Path) -> None:
    def divide_by_zero_in_the_third(rank: int) -> None:
        if rank == 2:
            shards._write_all = lambda *_: 1 // 0  # type: ignore[assignment]

    processes = start(
        ["extract", tmp_path / "out", *options], 3, tmp_path / "said", divide_by_zero_in_the_third
    )
    codes = end(processes)
    assert codes[:2] == [2, 2]
    assert codes[2] not in (0, None)
    assert "process 2 of 3 stopped: ZeroDivisionError" in (tmp_path / "said" / "0").read_text()


def test_a_process_that_vanished_is_given_up(
    options: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    """Without torchrun nobody tells the others; they stop when they have long heard nothing."""

    def impatient_and_the_second_slow(rank: int) -> None:
        cooperation.SILENCE = 1.0
        cooperation._VOICE_SECONDS = 0.2
        if rank == 1:
            real = shards._write_all

            def write(file: object, data: bytes) -> None:
                time.sleep(0.1)
                real(file, data)  # type: ignore[arg-type]

            shards._write_all = write  # type: ignore[assignment]

    out = tmp_path / "out"
    processes = start(
        ["extract", out, *options], 2, tmp_path / "said", impatient_and_the_second_slow
    )
    assert wait_for_batches(out, 10, processes[1].is_alive)
    processes[1].kill()
    assert end(processes) == [2, -signal.SIGKILL]
    said = (tmp_path / "said" / "0").read_text()
    assert "nothing was heard of 1 of 2 processes" in said
    run(["extract", out, *options], 2, tmp_path / "said")
    assert_same_features(out, undisturbed)


def test_another_checkpoint_or_size_of_image_is_refused(
    options: list[str], checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (process,) = start(["extract", out, *options], 1, tmp_path / "said")
    assert wait_for_batches(out, 3, process.is_alive)
    process.kill()
    process.join()
    before = content(out)
    other = torch.load(checkpoint, weights_only=True)
    other["model"]["classifier.bias"] += 1
    torch.save(other, tmp_path / "other.pt")
    larger = torch.load(checkpoint, weights_only=True)
    larger["config"]["augment"]["height"] = 48
    torch.save(larger, tmp_path / "larger.pt")
    for name, words in (("other.pt", "weights"), ("larger.pt", "view 32×16")):
        command = ["extract", out, *options, "--checkpoint", tmp_path / name]
        assert end(start(command, 2, tmp_path / "said")) == [2, 2]
        said = (tmp_path / "said" / "0").read_text()
        assert "holds other features, which are not mixed with these" in said
        assert words in said
    assert content(out) == before


def test_torchrun_with_a_process_killed_ends_and_goes_on(
    options: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
        "--master-addr", "127.0.0.1", "--master-port", free_port(),
        "-m", "bagreid", "extract", str(out), *options,
    ]  # fmt: skip
    agent = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        assert wait_for_batches(out, 6, lambda: agent.poll() is None)
        ranks = psutil.Process(agent.pid).children()
        second = [rank for rank in ranks if rank.environ().get("RANK") == "1"]
        second[0].kill()
        _, said = agent.communicate(timeout=PATIENCE)
    finally:
        agent.kill()
        agent.wait()
    assert agent.returncode != 0, said
    _, alive = psutil.wait_procs(ranks, timeout=PATIENCE)
    assert not alive, "a process outlived torchrun"
    kept = journalled(out)
    assert kept >= 6
    assert not (out / "gallery" / "meta.json").exists()
    texts = run(["extract", out, *options], 3, tmp_path / "said")
    assert "going on, " in texts[0]
    assert_same_features(out, undisturbed)
    meta = orjson.loads((out / "gallery" / "meta.json").read_bytes())
    assert sum(shard["rows"] for shard in meta["shards"]) == 60
