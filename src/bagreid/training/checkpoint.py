"""The file of a checkpoint: one zip of torch with a digest of all that it says inside.

It is written whole or not at all, read without running code from it, and believed only if its
digest is right. Format 2 holds::

    format    "bagreid.checkpoint/2"
    bytes     of all tensors together
    step      steps done
    config, identities, code, world    what the run was
    state     everything that the next step depends on
    arrays    where in all this a tensor stands for a NumPy array
    digest    of everything else, by `bagreid.training.digest`
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.training.damage import FOREIGN, DamagedCheckpointError, check_container, damaged
from bagreid.training.digest import digest_of
from bagreid.training.durable import write_durably
from bagreid.training.snapshot import Place, Snapshot

FORMAT = "bagreid.checkpoint/2"
_ANY_FORMAT = re.compile(r"bagreid\.checkpoint/\d+")
_NAME = re.compile(r"step-(\d{9,})\.pt")
_FIELDS = ("step", "config", "identities", "state")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run continues from.

    Attributes:
        path: The file.
        step: Steps done.
        state: Everything that the next step depends on, as it was given to be saved.
        config: The resolved configuration of the run.
        identities: Person number of each class.
        code: Versions of the code that wrote it.
        world: Ranks, precision and device that the run had.
        digest: Of all its content; tells checkpoints apart.
    """

    path: Path
    step: int
    state: dict[str, Any]
    config: dict[str, Any]
    identities: list[int]
    code: dict[str, Any]
    world: dict[str, Any]
    digest: str


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:09d}.pt"


def step_of(path: Path) -> int:
    """The step that a checkpoint's name tells."""
    name = _NAME.fullmatch(path.name)
    assert name is not None, "a name by checkpoint_path"
    return int(name[1])


def list_checkpoints(folder: Path) -> list[Path]:
    """The finished checkpoints of a folder, oldest first; none where there is no folder.

    Raises:
        BagreidError: The folder may not be read.
    """
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BagreidError(
            f"the folder cannot be read ({error.strerror})", path=folder, remedy="Check its rights"
        ) from error
    return sorted(found, key=step_of)


def write_checkpoint(path: Path, snapshot: Snapshot) -> None:
    """Writes a snapshot of ``config``, ``identities``, ``step``, ``state`` and so on.

    Args:
        path: The file: complete and on the disk afterwards, or as it was.
        snapshot: What to write; it is waited for.

    Raises:
        BagreidError: There is no room, or the file cannot be written.
    """
    snapshot.wait()
    content = {
        "format": FORMAT, "bytes": snapshot.size, "arrays": snapshot.arrays, **snapshot.content,
    }  # fmt: skip
    content["digest"] = digest_of(content)
    # the zip's heads, alignment and directory, and the pickle that names the tensors
    needed = snapshot.size + 1024 * snapshot.tensors + (64 << 10)
    write_durably(path, lambda file: torch.save(content, file), needed=needed)


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint of `bagreid train` and checks its digest.

    Args:
        path: The file, or a work dir (or its ``checkpoints`` folder), whose newest is taken.

    Raises:
        DamagedCheckpointError: It is not as it was written; says what is wrong as far as known.
        BagreidError: There is none, it may not be read, or it is something else.
    """
    if _is_folder(path):
        found = list_checkpoints(path) or list_checkpoints(path / "checkpoints")
        if not found:
            raise BagreidError(
                "no checkpoint here", path=path, remedy="Name a step-*.pt file or its work dir"
            )
        path = found[-1]
    content, digest = _read_content(path)
    state = _with_arrays(content, (), {tuple(place) for place in content.pop("arrays")})
    identities = state["identities"]
    return Checkpoint(
        path=path,
        step=state["step"],
        state=state["state"],
        config=state["config"],
        identities=identities if isinstance(identities, list) else identities.tolist(),
        code=state.get("code", {}),
        world=state.get("world", {}),
        digest=digest,
    )


def newest_whole(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that is as it was written.

    Args:
        folder: A work dir, or its ``checkpoints`` folder; it need not exist.
        say: Told of each damaged one that is passed over.

    Returns:
        The checkpoint; None where there is none at all.

    Raises:
        BagreidError: All there are are damaged, or the newest may not be read or is of an older
            format: to pass those over would throw work away that can be had.
    """
    found = list_checkpoints(folder) or list_checkpoints(folder / "checkpoints")
    for path in reversed(found):
        try:
            return read_checkpoint(path)
        except DamagedCheckpointError as error:
            damage = f"{error.path}: {error.message}"
            say(f"{damage}. It is passed over for the one before it")
    if found:
        raise BagreidError(
            f"none of the {len(found)} checkpoints here is whole",
            path=folder,
            remedy="Begin the run anew with --anew, or get a whole one from elsewhere",
        )
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no right to look; reading the file says so
        return False


def _read_content(path: Path) -> tuple[dict[str, Any], str]:
    """What a checkpoint says, and its digest, which is right."""
    check_container(path)
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise damaged(path, f"reading it fails ({error.strerror})") from error
    except Exception as error:
        # damaged bytes can make an unpickler raise anything, from IndexError to AssertionError
        raise _unreadable(path, error) from error
    form = content.get("format") if isinstance(content, dict) else None
    if form != FORMAT:
        raise _of_other_format(path, form)
    noted = content.pop("digest", None)
    try:
        digest = digest_of(content)
    except TypeError:
        digest = None
    if digest is None or digest != noted or not all(name in content for name in _FIELDS):
        raise damaged(path, "its digest is not that of its content: bytes in it have changed")
    return content, digest


def _unreadable(path: Path, error: Exception) -> BagreidError:
    if "GLOBAL " in str(error):
        return BagreidError(
            "the file wants to run pickled code, which is refused", path=path, remedy=FOREIGN
        )
    return damaged(path, f"its content cannot be read ({type(error).__name__})")


def _of_other_format(path: Path, form: object) -> BagreidError:
    if isinstance(form, str) and _ANY_FORMAT.fullmatch(form):
        number = int(form.rpartition("/")[2])
        other = "an older" if number < int(FORMAT.rpartition("/")[2]) else "a newer"
        return BagreidError(
            f"this checkpoint was written by {other} version of bagreid ({form}; here {FORMAT}), "
            f"which a run cannot be resumed from",
            path=path,
            remedy="Resume with that version, or start anew from its weights by --pretrained",
        )
    return BagreidError("this is no checkpoint of bagreid train", path=path, remedy=FOREIGN)


def _with_arrays(value: Any, place: Place, arrays: set[Place]) -> Any:
    """Puts NumPy arrays back where tensors stand for them."""
    if isinstance(value, Tensor):
        return value.numpy() if place in arrays else value
    if isinstance(value, dict):
        return {key: _with_arrays(item, (*place, key), arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arrays(item, (*place, at), arrays) for at, item in enumerate(value)]
    if isinstance(value, tuple):
        return tuple(_with_arrays(item, (*place, at), arrays) for at, item in enumerate(value))
    return value
