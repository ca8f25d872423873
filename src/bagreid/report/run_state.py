"""What became of a run: by its ``state.json``, its process, and when it was last heard of."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bagreid.report.wording import count, duration
from bagreid.training.phases import IDLE
from bagreid.training.status import start_of, this_process

State = Literal["running", "finished", "stopped", "killed", "failed", "hung", "unknown"]

MISSED_BEATS = 9
"""Signs of life that may be missing before a run counts as silent: disks of a network show files
late, and clocks of machines differ."""

STILL_SECONDS = 600.0
"""Seconds that a step may take before its run counts as hanging."""

_MAY_TAKE_LONG = (None, IDLE, "validate", "save", "log")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a run.

    Attributes:
        state: In one word.
        why: More about it, where there is more.
        is_there: Whether its process is known to be there still.
    """

    state: State
    why: str | None = None
    is_there: bool = False


def judge_state(folder: Path, told: dict[str, Any], now: float | None = None) -> Judgement:
    """Judges a run by its ``state.json``.

    Args:
        folder: Its work dir.
        told: What the file holds; what is missing or of another type is not known.
        now: Unix time; the present where not given.

    Returns:
        What became of it. A run that says it is running is believed only if its process is there,
        or, where that cannot be seen from here, if it was heard of lately.
    """
    now = time.time() if now is None else now
    state, why = told.get("state"), told.get("why")
    why = why if isinstance(why, str) else None
    if state in ("finished", "stopped", "failed"):
        return Judgement(state, why)
    if state != "running":
        return Judgement("unknown", "its state.json names no state")
    silent = now - number(told, "beat", 0.0)
    is_silent = silent > MISSED_BEATS * number(told, "beat_seconds", 10.0)
    is_alive = _is_alive(told)
    if is_alive is False:
        return _of_the_dead(folder, told)
    if is_alive is None and is_silent:
        host = told.get("host")
        return Judgement("killed", f"nothing heard of it from {host} for {duration(silent)}")
    still = number(told, "beat", now) - number(told, "moved", now)
    if is_silent:
        return Judgement("hung", f"silent for {duration(silent)}; {_end_it(told)}", is_there=True)
    if told.get("phase") not in _MAY_TAKE_LONG and still > STILL_SECONDS:
        why = f"in phase {told.get('phase')} for {duration(still)}; {_end_it(told)}"
        return Judgement("hung", why, is_there=True)
    return Judgement("running", is_there=True)


def _end_it(told: dict[str, Any]) -> str:
    return f"process {told.get('pid')} on {told.get('host')} is still there: end it first"


def _is_alive(told: dict[str, Any]) -> bool | None:
    """Whether the process is there; None where it cannot be seen from here."""
    here = this_process()
    if told.get("host") == here.host and told.get("boot") not in (None, here.boot):
        return False  # the machine has started anew since
    if told.get("boot") != here.boot or told.get("space") != here.space or here.boot is None:
        return None
    pid, begun = told.get("pid"), told.get("process_start")
    return isinstance(pid, int) and begun is not None and start_of(pid) == begun


def _of_the_dead(folder: Path, told: dict[str, Any]) -> Judgement:
    begun = number(told, "started", 0.0)
    stacks = [path for path in folder.glob("hang-rank*.txt") if path.stat().st_mtime >= begun]
    if stacks:
        named = count(len(stacks), "rank")
        return Judgement("hung", f"ended by its watchdog, which wrote {named}' stacks")
    return Judgement("killed", None)


def number(told: dict[str, Any], key: str, otherwise: float) -> float:
    """A number of a JSON object, or what to take where it holds none."""
    value = told.get(key)
    return float(value) if isinstance(value, int | float) and value == value else otherwise
