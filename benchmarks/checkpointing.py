"""How long a checkpoint holds training up: ours, written beside it, and a plain torch.save.

The state is that of a ResNet-50 with 28,310 classes: network, moving average and momentum of SGD,
about 1 GB. For memory (/dev/shm) and for a disk three ways are timed in turn:

- ``torch.save``: as most training code does it, while training waits; the bytes need not be on the
  disk afterwards;
- ``torch.save and fsync``: the same, and they are;
- ``ours``: what `CheckpointWriter.save` waits for (a copy), and the whole until the file is on the
  disk with its digest; once more beside matrix products, which stand for training: the median and
  the longest of them during the save, and the median of as many without one.

The first save, which allocates the copy's memory, is told apart. Takes a minute or two.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import write_result

from bagreid.models import ModelConfig, build_model
from bagreid.training.checkpoint import read_checkpoint
from bagreid.training.config import OptimizerConfig
from bagreid.training.optimizer import build_optimizer
from bagreid.training.saving import CheckpointWriter
from bagreid.training.teacher import Teacher

CLASSES = 28_310
MEMORY = Path("/dev/shm")  # noqa: S108 - the files are made in a folder of our own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=Path, nargs="+", default=[MEMORY, Path()])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    state, size = state_of(args.classes, torch.device(args.device))
    print(f"state: {size / 1e9:.2f} GB on {args.device}")
    places = {}
    for place in args.places:
        folder = Path(tempfile.mkdtemp(prefix="bagreid-checkpoints-", dir=place))
        try:
            kind = file_system(folder)
            places[kind] = measure(folder, state, args.repeats)
        finally:
            shutil.rmtree(folder)
        for name, seconds in places[kind].items():
            print(f"{kind:>10}  {name:<45} {seconds:8.3f} s")
    write_result(
        "checkpointing",
        {
            "classes": args.classes,
            "state_bytes": size,
            "device": args.device,
            "repeats": args.repeats,
            "seconds_median": places,
        },
    )


def state_of(classes: int, device: torch.device) -> tuple[dict[str, Any], int]:
    """The state of a run after its first step, and its bytes."""
    network = build_model(ModelConfig(backbone="resnet50"), classes).to(device)
    teacher = Teacher(network, 0.98)
    optimizer = build_optimizer(network, OptimizerConfig())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    state = {
        "model": network.state_dict(),
        "teacher": teacher.network.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    tensors = [*state["model"].values(), *state["teacher"].values()]
    tensors += [entry["momentum_buffer"] for entry in state["optimizer"]["state"].values()]
    return state, sum(tensor.nbytes for tensor in tensors)


def file_system(folder: Path) -> str:
    """The type of the file system that a folder is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [str(folder.resolve()), *map(str, folder.resolve().parents)]
    kind = dict(mounts)
    return next(kind[path] for path in above if path in kind)


def measure(folder: Path, state: dict[str, Any], repeats: int) -> dict[str, float]:
    """Seconds by what took them: the median of several times, in turn."""
    times: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        times.setdefault(name, []).append(seconds)

    path = folder / "plain.pt"
    writer = CheckpointWriter(
        folder, keep=1, describe={"config": {}, "identities": list(range(CLASSES))}
    )
    for number in range(repeats + 1):
        if number:
            note("torch.save: training waits", timed(lambda: torch.save(state, path)))
            path.unlink()
            note("torch.save and fsync: training waits", timed(lambda: save_and_sync(state, path)))
            path.unlink()
        when = "" if number else ", the first time"
        begun = time.perf_counter()
        writer.save(2 * number, state)
        note(f"ours: training waits{when}", time.perf_counter() - begun)
        writer.finish()
        if number:
            note("ours: until it is on the disk", time.perf_counter() - begun)
            writer.save(2 * number + 1, state)
            beside = products(lambda _: writer.is_writing)
            writer.finish()
            alone = products(len(beside).__gt__)
            note("ours: a product meanwhile, median", statistics.median(beside))
            note("ours: a product meanwhile, longest", max(beside))
            note("a product alone, median", statistics.median(alone))
            note("a product alone, longest", max(alone))
    newest = folder / f"step-{2 * repeats + 1:09d}.pt"
    note("ours: reading and checking it", timed(lambda: read_checkpoint(newest)))
    return {name: statistics.median(values) for name, values in times.items()}


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def save_and_sync(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def products(go_on: Callable[[int], bool]) -> list[float]:
    """Multiplies matrices as long as it is told to; the seconds of each."""
    matrix, seconds = torch.ones(512, 512), [timed(lambda: torch.ones(512, 512) @ torch.eye(512))]
    while go_on(len(seconds)):
        seconds.append(timed(lambda: matrix @ matrix))
    return seconds


if __name__ == "__main__":
    main()
