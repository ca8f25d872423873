"""Where a run goes on from: which checkpoint, whether it may, and what will not be the same."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from bagreid import __version__
from bagreid.contracts import BagreidError
from bagreid.files import write_beside
from bagreid.recipes import RunConfig, as_plain
from bagreid.training.checkpoint import (
    Checkpoint,
    list_checkpoints,
    newest_whole,
    read_checkpoint,
)
from bagreid.training.loop import Trainer
from bagreid.training.status import process_at_work
from bagreid.world import World, all_objects, of_main, on_all

FREE_ON_RESUME = (
    "data.root",
    "data.cache",
    "data.quarantine",
    "data.most_broken",
    "test.",
    "train.device",
    "train.workers",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.validate_every",
    "train.most_skipped",
    "train.most_worker_deaths",
    "train.hang_minutes",
    "train.compile",
)
"""Options that may change when a run is resumed: they do not change what it means."""


def restarted() -> bool:
    """Whether torchrun has started these processes again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def find_checkpoint(
    work_dir: Path,
    resume_from: Literal["auto"] | Path | None,
    anew: bool,
    tell: Callable[[str], None],
) -> Path | None:
    """Decides where a run goes on from.

    Args:
        work_dir: The run's folder.
        resume_from: What was asked for; see `bagreid.experiment.run_training`.
        anew: Whether a run that is there gives way.
        tell: Told of damaged checkpoints that are passed over.

    Returns:
        The checkpoint; None: the run begins.

    Raises:
        BagreidError: There is none, all are damaged, a run is there that nobody spoke of, or one
            is at work there.
    """
    if (pid := process_at_work(work_dir)) is not None:
        raise BagreidError(
            f"process {pid} is training in this folder",
            path=work_dir,
            remedy="End it first, or choose another --work-dir",
        )
    own = work_dir / "checkpoints"
    if resume_from is not None and resume_from != "auto":
        if not resume_from.is_dir():
            return resume_from
        folder = resume_from if list_checkpoints(resume_from) else resume_from / "checkpoints"
        found = newest_whole(folder, tell)
        if found is None:
            raise BagreidError(
                "no checkpoint here that can be read",
                path=resume_from,
                remedy="Name a step-*.pt file or its work dir; --resume-from auto begins where "
                "there is none",
            )
        return found.path
    there = list_checkpoints(own)
    if resume_from == "auto":
        found = newest_whole(own, tell)
        return None if found is None else found.path
    if there and not anew:
        raise BagreidError(
            f"a run is here already, saved up to {there[-1].stem}",
            path=work_dir,
            remedy="Continue it with --resume-from auto, replace it with --anew, or choose "
            "another --work-dir",
        )
    return None


def check_shared(work_dir: Path, world: World) -> None:
    """Makes sure that all machines see one work dir, before hours are spent.

    Raises:
        BagreidError: They do not, or it cannot be made.
    """
    if world.size == 1:
        return
    mark = work_dir / ".shared"
    token = of_main(world, lambda: _leave(mark))
    seen = all_objects(mark.read_text() if mark.is_file() else None, world)
    blind = [rank for rank, found in enumerate(seen) if found != token]
    if world.is_main:
        mark.unlink(missing_ok=True)
    if blind:
        raise BagreidError(
            f"processes {', '.join(map(str, blind))} of {world.size} do not see this folder",
            path=work_dir,
            remedy="Name one on a disk that all machines see with --work-dir",
        )


def _leave(mark: Path) -> str:
    token = secrets.token_hex(8)
    with write_beside(mark) as file:
        file.write(token.encode())
    return token


def read_together(path: Path, world: World) -> Checkpoint:
    """Reads a checkpoint on every rank, and makes sure that it is the same one.

    Raises:
        BagreidError: It cannot be read, or the machines do not see the same file.
    """
    checkpoint = on_all(world, lambda: read_checkpoint(path))
    digests = all_objects(checkpoint.digest, world)
    if len(set(digests)) > 1:
        raise BagreidError(
            "the processes read different files under this name",
            path=path,
            remedy="Put the work dir on a disk that all machines see",
        )
    return checkpoint


def flat_options(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat |= flat_options(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def check_resumable(config: RunConfig, checkpoint: Checkpoint) -> list[str]:
    """Compares a configuration with the one that a checkpoint was written under.

    Returns:
        The options that differ and may.

    Raises:
        BagreidError: An option differs that would change what the run means.
    """
    now, then = flat_options(as_plain(config)), flat_options(checkpoint.config)
    differing = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    fatal = [name for name in differing if not name.startswith(FREE_ON_RESUME)]
    if fatal:
        shown = ", ".join(f"{name} was {then.get(name)} and is {now.get(name)}" for name in fatal)
        raise BagreidError(
            f"the run was begun under another configuration: {shown}",
            path=checkpoint.path,
            remedy="Resume under the old options, or start anew from its weights by --pretrained",
        )
    return differing


def other_arithmetic(checkpoint: Checkpoint, trainer: Trainer) -> list[str]:
    """What will make the numbers differ in their last digits from those of an undisturbed run."""
    now = trainer.described()["world"]
    assert isinstance(now, dict)
    then = checkpoint.world
    changed = [
        f"{name} {then[name]} → {now[name]}"
        for name in now
        if name in then and then[name] != now[name]
    ]
    if not changed:
        return []
    return [f"Same images and learning rates, other rounding from here on: {', '.join(changed)}."]


def code_versions() -> dict[str, object]:
    """Which code computes; kept in every checkpoint."""
    code = {"bagreid": __version__, "torch": str(torch.__version__)}
    commit = _commit()
    return {"code": code | ({"commit": commit} if commit else {})}


def _commit() -> str | None:
    """The commit of a checkout that the code runs from; None where it was installed."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
