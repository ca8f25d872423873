"""The command that goes on with a run, from the one that started it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

_WITH_VALUE = ("--resume-from", "--work-dir")
_ALONE = ("--anew", "--profile")
"""Options that are not taken over."""


def resume_command(work_dir: Path, told: dict[str, Any]) -> str | None:
    """How to go on with a run.

    Args:
        work_dir: The run.
        told: Its ``state.json``, as far as there is one.

    Returns:
        A line for the shell, in the folder that the run was started in; with CONFIG in it where
        nothing tells the configuration. None if another verb than train runs it, which begins anew.
    """
    words = told.get("command")
    folder = told.get("folder")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        words = []
    if words[:1] == ["demo"]:
        return None
    here = Path.cwd()
    at = Path(folder) if isinstance(folder, str) and words[:1] == ["train"] else here
    options = _kept(words[1:]) if words[:1] == ["train"] else [_guessed(work_dir)]
    options += ["--work-dir", _shortest(work_dir, at), "--resume-from", "auto"]
    line = f"{_launcher(told)} train {' '.join(map(_quoted, options))}"
    return line if at == here else f"cd {_quoted(str(at))} && {line}"


def _kept(words: list[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        name, equals, _ = word.replace("_", "-").partition("=")
        if skip:
            skip = False
        elif name in _WITH_VALUE:
            skip = not equals
        elif name not in _ALONE:
            kept.append(word)
    return kept


def _guessed(work_dir: Path) -> str:
    """The configuration whose default work dir this is; ``CONFIG`` where there is none."""
    parts = work_dir.parts
    if "work_dirs" in parts:
        behind = parts[len(parts) - parts[::-1].index("work_dirs") :]
        config = Path("configs", *behind).with_suffix(".py") if behind else Path()
        if config.is_file():
            return str(config)
    return "CONFIG"


def _launcher(told: dict[str, Any]) -> str:
    processes, here = told.get("processes"), told.get("processes_here")
    if not isinstance(processes, int) or not isinstance(here, int) or processes < 2:
        return "bagreid"
    machines = -(-processes // max(here, 1))
    if machines == 1:
        return f"torchrun --standalone --nproc-per-node {here} -m bagreid"
    return f"torchrun --nnodes {machines} --nproc-per-node {here} [as before] -m bagreid"


def _shortest(path: Path, folder: Path) -> str:
    """A path as it is said in a folder."""
    whole = path.resolve()
    try:
        return str(whole.relative_to(folder.resolve()))
    except ValueError:
        return str(whole)


def _quoted(word: str) -> str:
    return shlex.quote(word)
