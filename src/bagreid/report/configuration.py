"""The configuration as tables: the main run's in full, and where the other runs differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bagreid.report.work_dir import Method

_ABSENT = "\u2013"


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a configuration: its name, and the dotted options in it."""

    name: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """An option that is not the same in all runs, and its value in each."""

    option: str
    values: tuple[str, ...]


def flatten(config: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested options with dotted names.

    Args:
        config: The configuration.
        prefix: Put before each name.

    Returns:
        Each option's value, as JSON; text without its quotes.
    """
    options: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            options.update(flatten(value, f"{prefix}{key}."))
        else:
            options[f"{prefix}{key}"] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            )
    return options


def sections(config: Mapping[str, object]) -> list[Section]:
    """A configuration by its top-level parts, single options first.

    Args:
        config: The configuration.

    Returns:
        Its parts, in the order of the file.
    """
    loose = {key: value for key, value in config.items() if not isinstance(value, dict)}
    parts = [Section("run", tuple(flatten(loose).items()))] if loose else []
    parts += [
        Section(key, tuple(flatten(value).items()))
        for key, value in config.items()
        if isinstance(value, dict) and value
    ]
    return parts


def differences(methods: Sequence[Method]) -> tuple[list[str], list[Difference]]:
    """Where the runs' configurations differ.

    Args:
        methods: All methods; those without a configuration are left out.

    Returns:
        The names of the methods compared (fewer than two: nothing to compare), and the options.
    """
    flat = [(method.name, flatten(method.config)) for method in methods if method.config]
    if len(flat) < 2:
        return [], []
    options = dict.fromkeys(option for _, config in flat for option in config)
    found = [
        Difference(option, tuple(config.get(option, _ABSENT) for _, config in flat))
        for option in options
        if len({config.get(option) for _, config in flat}) > 1
    ]
    return [name for name, _ in flat], found
