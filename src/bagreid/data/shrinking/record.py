"""What a shrinking was begun with, on disk: whoever goes on must have the same."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from bagreid.catalog.remote import source_of
from bagreid.contracts import BagreidError
from bagreid.data.shrinking.config import ShrinkConfig
from bagreid.data.shrinking.job import present_state, state_change
from bagreid.data.shrinking.plan import RECORD, ShrinkPlan
from bagreid.files import write_json
from bagreid.shards import header_probe, open_source

SCHEMA = "bagreid.shrink/1"

LOCK = "lock"
"""File that a shrinking at work holds locked."""

_LIBRARIES = ("pillow", "torch", "torchvision")
"""What decodes, resizes and encodes: other versions may give other bytes."""

_ANEW = "shrink into a new folder"


def describe(plan: ShrinkPlan, config: ShrinkConfig) -> dict[str, Any]:
    """All that the bytes of the new archive follow from.

    Args:
        plan: What is read.
        config: Size and quality.

    Returns:
        Plain values, as they are stored.

    Raises:
        BagreidError: If a file cannot be read.
    """
    return {
        "schema": SCHEMA,
        "source": source_of(plan.source),
        "settings": {name.replace("_", "-"): value for name, value in asdict(config).items()},
        "made_with": {name: version(name) for name in _LIBRARIES},
        "tars": {pair.name: _tar_state(pair.source) for pair in plan.tars},
        "files": {pair.name: list(present_state(pair.source)) for pair in plan.copies},
    }


def _tar_state(path: Path) -> list[int | str]:
    with closing(open_source(path)) as source:
        return [*source.state, header_probe(source)]


def read_record(plan: ShrinkPlan) -> dict[str, Any] | None:
    """What an earlier run was begun with.

    Args:
        plan: What is written.

    Returns:
        The values of `describe`, and `behind_end`; None where no run was begun.

    Raises:
        BagreidError: If the file is not what it should be.
    """
    path = plan.folder / RECORD
    try:
        value = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError):
        value = None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise BagreidError(
            "this is no record of this version of bagreid", path=path, remedy=_ANEW.capitalize()
        )
    return value


def write_record(plan: ShrinkPlan, record: Mapping[str, Any]) -> None:
    """Writes what the run is begun with.

    Args:
        plan: What is written.
        record: The values of `describe`, and `behind_end`.

    Raises:
        BagreidError: If it cannot be written.
    """
    write_json(plan.folder / RECORD, record)


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], plan: ShrinkPlan) -> None:
    """Makes sure that what goes on is what was begun.

    Args:
        before: The values of `describe` at the beginning.
        now: The same now.
        plan: What is written.

    Raises:
        BagreidError: If anything differs; the message names it.
    """
    for key, what in (("settings", "--{}"), ("made_with", "{}")):
        for name, value in now[key].items():
            old = before[key].get(name)
            if old != value:
                kind = what.format(name)
                raise BagreidError(
                    f"this shrinking was begun with {kind} {old}, and now it is {value}",
                    path=plan.folder / RECORD,
                    remedy=f"Go on with {kind} {old}, or {_ANEW}",
                )
    for key, kind in (("tars", "tar"), ("files", "file")):
        _check_files(before[key], now[key], kind, plan)


def _check_files(
    before: Mapping[str, list[Any]], now: Mapping[str, list[Any]], kind: str, plan: ShrinkPlan
) -> None:
    if before.keys() != now.keys():
        gone, new = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
        which = f"'{gone[0]}' is gone" if gone else f"'{new[0]}' is new"
        raise BagreidError(
            f"the archive has other {kind}s than when this shrinking was begun: {which}",
            path=plan.source,
            remedy=f"Put them as they were, or {_ANEW}",
        )
    for name, state in now.items():
        if before[name] != state:
            raise BagreidError(
                f"the {kind} '{name}' changed since this shrinking was begun: "
                f"{state_change(before[name], state)}",
                path=plan.source,
                remedy=f"Put it as it was, or {_ANEW}",
            )


@contextmanager
def locked(plan: ShrinkPlan) -> Iterator[None]:
    """Keeps other processes from writing the same archive; the system ends it with the process.

    Args:
        plan: What is written.

    Yields:
        Nothing.

    Raises:
        BagreidError: If another process is at work, or the place cannot be written.
    """
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(plan.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BagreidError(
            f"cannot be written ({error.strerror})",
            path=plan.folder,
            remedy="Name a place that can",
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BagreidError(
                "another process is shrinking into this place"
                if isinstance(error, BlockingIOError)
                else f"cannot be locked ({error.strerror})",
                path=plan.folder,
                remedy="Wait for it to end, or name another place",
            ) from error
        yield
    finally:
        os.close(lock)
