"""Checkpoints: written whole or not at all, kept by number, read without running code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bagreid.contracts import BagreidError
from bagreid.files import write_beside
from bagreid.models.weights import read_file

FORMAT = "bagreid.checkpoint/1"
_NAME = re.compile(r"step-(\d{9})\.pt")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run continues from.

    Attributes:
        path: The file.
        step: Steps done.
        state: Name → state of model, teacher, optimiser, prior and record.
        config: The resolved configuration of the run.
        identities: Person number of each class.
    """

    path: Path
    step: int
    state: dict[str, Any]
    config: dict[str, Any]
    identities: list[int]


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:09d}.pt"


def list_checkpoints(folder: Path) -> list[Path]:
    """The finished checkpoints of a folder, oldest first."""
    found = [path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name)]
    return sorted(found)


def write_atomically(content: Any, path: Path) -> None:
    """Saves tensors and plain values: the file is complete and on the disk, or absent."""
    remedy = "Make room on the disk, or choose another --work-dir"
    with write_beside(path, flush=True, remedy=remedy) as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch does not pass on why its writer failed
            raise BagreidError("cannot be written whole", path=path, remedy=remedy) from error


def save_checkpoint(
    folder: Path,
    step: int,
    state: dict[str, Any],
    config: dict[str, Any],
    identities: list[int],
    *,
    keep: int,
) -> Path:
    """Writes the checkpoint of a step and removes all but the newest ``keep``.

    Checkpoints of later steps are left over from a run that this one replaces, or that it takes up
    from an earlier step; they go too, or they would pass for the newest.

    Returns:
        The file written.
    """
    path = checkpoint_path(folder, step)
    content = {
        "format": FORMAT,
        "step": step,
        "config": config,
        "identities": identities,
        **state,
    }
    write_atomically(content, path)
    found = list_checkpoints(folder)
    here = found.index(path) + 1
    for other in (*found[: max(here - keep, 0)], *found[here:]):
        other.unlink()
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint of `bagreid train`.

    Args:
        path: The file, or a work dir (or its ``checkpoints`` folder), whose newest is taken.

    Raises:
        BagreidError: There is none, it cannot be read, or it is only a weight file.
    """
    if path.is_dir():
        found = list_checkpoints(path) or list_checkpoints(path / "checkpoints")
        if not found:
            raise BagreidError(
                "no checkpoint here", path=path, remedy="Name a step-*.pt file or its work dir"
            )
        path = found[-1]
    content = read_file(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BagreidError(
            "this is no checkpoint of bagreid train",
            path=path,
            remedy="To start from other weights use --pretrained instead of --resume-from",
        )
    fields = ("format", "step", "config", "identities")
    state = {name: value for name, value in content.items() if name not in fields}
    return Checkpoint(path, content["step"], state, content["config"], content["identities"])
