"""All runs below a folder: what became of each, how far it came, and how good it is.

Of every run only a few small files and the end of its log are read. What is damaged or foreign
becomes a remark on its run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bagreid.contracts import printable
from bagreid.report.again import resume_command
from bagreid.report.run_state import Judgement, State, judge_state
from bagreid.report.tail import LogEnd, read_log_end, read_object, read_totals
from bagreid.training.status import FILE_NAME, SCHEMA

DEEPEST = 6
"""Folders below the given one in which runs are looked for."""

MOST_FOLDERS = 1_000
"""A folder with more folders in it is an archive, not a shelf of runs."""

_PARTS = ("checkpoints", "tensorboard", "profile", "model", "testing")
"""Folders of a run that hold no runs."""

_FRESH = 120.0
"""Seconds after its last line of the log that a run which left no state may still be running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One work dir. What is not known is None.

    Attributes:
        path: The folder.
        name: The folder below the one that was asked for.
        state: What became of it.
        why: More about that.
        has_checkpoint: Whether there is a checkpoint.
        resume: The command that goes on with it; None where none does.
        step: Steps done.
        total_steps: Steps of the whole run.
        epoch: Its epoch, from 1.
        epochs: Epochs of the whole run.
        rank1: Share of queries answered right first: of the test, else of the last validation.
        mean_ap: Likewise the mean average precision.
        gallery: Images of the test's gallery; None for a validation.
        labels_right: Share of the last pseudo labels that are right.
        images_per_second: When it last told.
        seconds: Time spent on training.
        seen: Unix time of its last sign of life.
        size: Bytes on the disk.
        problems: What could not be read.
    """

    path: Path
    name: str
    state: State
    why: str | None = None
    has_checkpoint: bool = False
    resume: str | None = None
    step: int | None = None
    total_steps: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    rank1: float | None = None
    mean_ap: float | None = None
    gallery: int | None = None
    labels_right: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    seen: float | None = None
    size: int = 0
    problems: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it neither runs nor has finished."""
        return self.state not in ("running", "finished")


def list_runs(folder: Path, now: float | None = None) -> list[Run]:
    """Reads every run below a folder, the folder itself included.

    Args:
        folder: Where to look.
        now: Unix time; the present where not given.

    Returns:
        The runs, the one heard of last first.
    """
    runs = [read_run(path, folder, now) for path in _find(folder, DEEPEST)]
    return sorted(runs, key=lambda run: (-(run.seen or 0.0), run.name))


def _find(folder: Path, deep: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError:
        return
    is_run = FILE_NAME in found or (
        "config.json" in found and ("log.jsonl" in found or "checkpoints" in found)
    )
    if is_run:
        yield folder
    below = [name for name, is_dir in found.items() if is_dir and not name.startswith(".")]
    if deep == 0 or len(below) > MOST_FOLDERS:
        return
    for name in sorted(below):
        if not (is_run and name in _PARTS):
            yield from _find(folder / name, deep - 1)


@dataclass(slots=True)
class _Reader:
    """Reads the files of a run and keeps what went wrong."""

    path: Path
    problems: list[str] = field(default_factory=list)

    def read(self, name: str, how: Callable[[Path], Any]) -> Any:
        """What a file holds; None where it is missing or cannot be read."""
        try:
            return how(self.path / name)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            self.problems.append(f"{name} {said or 'cannot be read'}")
            return None


def read_run(path: Path, folder: Path, now: float | None = None) -> Run:
    """Reads one run.

    Args:
        path: Its folder.
        folder: The folder that its name is said from.
        now: Unix time; the present where not given.

    Returns:
        What is known of it; nothing in the folder makes this fail.
    """
    reader = _Reader(path)
    told: dict[str, Any] = reader.read(FILE_NAME, _read_state) or {}
    log = reader.read("log.jsonl", read_log_end) or LogEnd({}, {}, None, None)
    totals: dict[str, Any] = reader.read("evaluation.json", read_totals) or {}
    config: dict[str, Any] = reader.read("config.json", read_object) or {}
    judged = judge_state(path, told, now) if told else _without_state(log, totals, now)
    has_checkpoint = _has_checkpoint(path)
    is_over = judged.state not in ("running", "finished") and not judged.is_there
    command = resume_command(path, told) if is_over and has_checkpoint else None
    size, changed = _size(path)
    steps = told.get("step"), log.step.get("step")
    train = config.get("train")
    epochs = told.get("epochs", train.get("epochs") if isinstance(train, dict) else None)
    return Run(
        path=path,
        name=printable(str(path.relative_to(folder))) if path != folder else ".",
        state=judged.state,
        why=None if judged.why is None else printable(judged.why),
        has_checkpoint=has_checkpoint,
        resume=None if command is None else printable(command),
        # of a killed run the log tells more: the state is told now and then
        step=max((n for n in map(_whole, steps) if n is not None), default=None),
        total_steps=_whole(told.get("total_steps")),
        epoch=_epoch(_whole(told.get("epoch", log.step.get("epoch"))), _whole(epochs)),
        epochs=_whole(epochs),
        **_result(totals, log),
        labels_right=_share(log.step.get("pseudo_label_accuracy")),
        images_per_second=_share(log.step.get("images_per_second")),
        seconds=_share(told.get("seconds", _between(log))),
        seen=_share(told.get("beat")) or log.last_time or changed,
        size=size,
        problems=tuple(map(printable, reader.problems)),
    )


def _read_state(path: Path) -> dict[str, Any]:
    told = read_object(path)
    if told.get("schema") != SCHEMA:
        raise ValueError(f"is of another kind than {SCHEMA}")
    return told


def _without_state(log: LogEnd, totals: dict[str, Any], now: float | None) -> Judgement:
    """Judges a run of before there was a ``state.json``, or whose file is damaged."""
    if totals:
        return Judgement("finished")
    if log.last_time is not None and now is not None and now - log.last_time < _FRESH:
        return Judgement("running", "its log has just grown")
    return Judgement("unknown", "it left no state and no result")


def _has_checkpoint(path: Path) -> bool:
    with suppress(OSError):
        return any(file.stat().st_size for file in (path / "checkpoints").glob("step-*.pt"))
    return False


def _result(totals: dict[str, Any], log: LogEnd) -> dict[str, Any]:
    """Rank-1, mean AP and gallery: of the test, else of the last validation."""
    cmc, counts = totals.get("cmc"), totals.get("counts")
    if isinstance(cmc, list) and cmc:
        gallery = _whole(counts.get("gallery")) if isinstance(counts, dict) else None
        ap = _share(totals.get("mean_ap"))
        return {"rank1": _share(cmc[0]), "mean_ap": ap, "gallery": gallery}
    told = log.validation
    return {"rank1": _share(told.get("rank1")), "mean_ap": _share(told.get("mean_ap"))}


def _size(path: Path) -> tuple[int, float | None]:
    """Bytes of a run, runs inside it aside, and when it last changed."""
    size, changed = 0, None
    with suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False):
                    size += about.st_size
                    changed = max(changed or 0.0, about.st_mtime)
                elif entry.is_dir(follow_symlinks=False) and entry.name in _PARTS:
                    size += sum(
                        file.lstat().st_size for file in Path(entry).rglob("*") if file.is_file()
                    )
    return size, changed


def _between(log: LogEnd) -> float | None:
    if log.first_time is None or log.last_time is None:
        return None
    return log.last_time - log.first_time


def _share(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _epoch(begun: int | None, epochs: int | None) -> int | None:
    """From 1; behind the last step it is the last one still."""
    return None if begun is None else min(begun + 1, epochs or begun + 1)
