"""Which checkpoints stay: the newest few, and the one of the best score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import orjson

from bagreid.contracts import BagreidError
from bagreid.files import write_json
from bagreid.training.checkpoint import checkpoint_path, list_checkpoints, step_of
from bagreid.training.durable import flush_folder

SCHEMA = "bagreid.best/1"
_BEST = "best.json"


@dataclass(frozen=True, slots=True)
class Best:
    """The checkpoint of the best score.

    Attributes:
        step: Steps done when it was saved.
        score: How good it is; higher is better.
    """

    step: int
    score: float

    def beats(self, other: Best | None) -> bool:
        """Whether this one is to be kept instead; a score that is no number never is."""
        return not math.isnan(self.score) and (other is None or self.score > other.score)


def read_best(folder: Path) -> Best | None:
    """The best checkpoint of a folder, as ``best.json`` tells.

    Args:
        folder: The folder of the checkpoints.

    Returns:
        None where none is recorded, the record cannot be read, or its checkpoint is gone.
    """
    try:
        found = orjson.loads((folder / _BEST).read_bytes())
        best = Best(int(found["step"]), float(found["score"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return best if checkpoint_path(folder, best.step).exists() else None


def write_best(folder: Path, best: Best) -> None:
    """Records the best checkpoint.

    Raises:
        BagreidError: The record cannot be written.
    """
    name = checkpoint_path(folder, best.step).name
    record = {"schema": SCHEMA, "step": best.step, "score": best.score, "file": name}
    write_json(folder / _BEST, record, flush=True)


def forget_best(folder: Path) -> None:
    """Removes the record of the best checkpoint."""
    (folder / _BEST).unlink(missing_ok=True)


def remove_others(folder: Path, step: int, keep: int, best: Best | None) -> None:
    """Removes all checkpoints but the newest up to a step, and the best.

    Those of later steps are left over from a run that this one replaces, or that it takes up from
    an earlier step: they would pass for the newest.

    Args:
        folder: The folder of the checkpoints.
        step: The step just saved.
        keep: How many of the newest stay.
        best: The one that stays, too.

    Raises:
        BagreidError: One cannot be removed.
    """
    found = [path for path in list_checkpoints(folder) if step_of(path) <= step][-keep:]
    stay = {*found, *([] if best is None else [checkpoint_path(folder, best.step)])}
    for path in list_checkpoints(folder):
        if path not in stay:
            remove(path)
    flush_folder(folder)


def remove_partial(folder: Path) -> None:
    """Removes what a killed writer left behind.

    Raises:
        BagreidError: It cannot be removed.
    """
    for pattern in ("step-*.pt.partial", f"{_BEST}.partial"):
        for path in folder.glob(pattern):
            remove(path)


def remove(path: Path) -> None:
    """Removes a file that may be gone already.

    Raises:
        BagreidError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise BagreidError(
            f"cannot be removed ({error.strerror})", path=path, remedy="Check the folder's rights"
        ) from error
