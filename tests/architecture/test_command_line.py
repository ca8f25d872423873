"""The command line as people's scripts know it: verbs and options change only on purpose."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tyro

from bagreid.cli import parsing
from bagreid.cli.main import VERBS, usage
from bagreid.recipes import RunConfig, as_plain

STORED = Path(__file__).parent / "command_line.txt"
UPDATE = "BAGREID_UPDATE_COMMAND_LINE"
pytestmark = pytest.mark.filterwarnings("ignore:get_parser")  # tyro's only way to list options


@cache
def parser_of(verb: str) -> argparse.ArgumentParser:
    """The parser that a verb makes of its form; the verb itself is not run."""
    caught: dict[str, Any] = {}

    def catch(form: type, **settings: Any) -> None:
        caught.update(settings, f=form)
        raise SystemExit(0)

    module = importlib.import_module(f"bagreid.cli.{verb}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing.tyro, "cli", catch)
        with pytest.raises(SystemExit):
            module.main(["--help"], prog=f"bagreid {verb}")
    del caught["args"]
    return tyro.extras.get_parser(**caught)


def options_of(verb: str) -> dict[str, str]:
    """Name → explanation of every option and, in angle brackets, of what stands on its own."""
    found = {}
    for action in parser_of(verb)._actions:
        for name in action.option_strings or [f"<{action.dest}>"]:
            found[name] = action.help or ""
    return found


def surface() -> str:
    lines = []
    for verb in VERBS:
        lines.append(verb)
        lines += [f"    {option}" for option in sorted(options_of(verb))]
    return "\n".join(lines) + "\n"


def test_the_command_line_is_what_people_rely_on() -> None:
    found = surface()
    if os.environ.get(UPDATE):
        STORED.write_text(found)
    stored = STORED.read_text()
    gone = sorted(set(stored.splitlines()) - set(found.splitlines()))
    new = sorted(set(found.splitlines()) - set(stored.splitlines()))
    assert found == stored, (
        f"The command line has changed (gone: {gone}, new: {new}), which breaks people's scripts; "
        f"if that is meant, note it in CHANGELOG.md and run "
        f"'{UPDATE}=1 {Path(sys.executable).name} -m pytest {Path(__file__).name}' in its folder "
        f"to store the new one."
    )


def dotted(config: dict[str, object], prefix: str = "") -> list[str]:
    names = []
    for key, value in config.items():
        name = f"{prefix}{key}"
        names += dotted(value, f"{name}.") if isinstance(value, dict) else [name]
    return names


def test_every_option_of_a_run_can_be_overridden() -> None:
    offered = options_of("train")
    for name in dotted(as_plain(RunConfig())):
        assert f"--{name.replace('_', '-')}" in offered, f"train has no option for {name}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained(verb: str) -> None:
    for name, text in options_of(verb).items():
        explanation = re.sub(r"\(.*?\)", "", text).strip()
        assert len(explanation) > 10, f"bagreid {verb}: {name} has no explanation"


def test_the_overview_names_every_verb() -> None:
    for verb, line in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(line)}$", usage(), flags=re.MULTILINE)
