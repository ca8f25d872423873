"""A profile as people read it: a table of phases, one of operators, and the verdict."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 100
"""Columns of the text file."""


def print_profile(content: dict[str, Any], console: Console) -> None:
    """Shows a profile.

    Args:
        content: What ``profile.json`` holds.
        console: Where to.
    """
    step = content["step_seconds"]
    title = (
        f"A step of {content['images_per_step']:,} images on {_place(content)}: "
        f"{_ms(step['mean'])} ms ({_ms(step['least'])} to {_ms(step['most'])}), "
        f"{content['images_per_second']:,.0f} images/s; mean of {content['steps']} steps"
    )
    console.print(title, highlight=False, markup=False, soft_wrap=True)
    console.print(_phases(content), _operators(content), sep="\n")
    verdict = content["verdict"]
    for line in (verdict["said"], verdict["advice"]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def profile_text(content: dict[str, Any]) -> str:
    """A profile as plain text."""
    said = io.StringIO()
    print_profile(content, Console(file=said, width=WIDTH, color_system=None, legacy_windows=False))
    return "\n".join(line.rstrip() for line in said.getvalue().splitlines()) + "\n"


def _phases(content: dict[str, Any]) -> Table:
    on_gpu = any(phase["device_seconds"] is not None for phase in content["phases"])
    table = Table("Phase", title="Where a step's time goes", title_justify="left")
    table.add_column("Host, ms", justify="right")
    if on_gpu:
        table.add_column("Device, ms", justify="right")
    for name in ("Share", "µs an image"):
        table.add_column(name, justify="right")
    for phase in content["phases"]:
        device = [_ms(phase["device_seconds"])] if on_gpu else []
        per_image = f"{1e6 * phase['seconds_per_image']:,.1f}"
        share = f"{phase['share']:.1%}"
        table.add_row(phase["name"], _ms(phase["host_seconds"]), *device, share, per_image)
    return table


def _operators(content: dict[str, Any]) -> Table | str:
    operators = content["operators"]
    if not operators:
        return "The run was too short for a trace and its operators."
    on_gpu = operators[0]["device_seconds"] is not None
    table = Table("Operator", title="Dearest operators, a step", title_justify="left")
    table.columns[0].overflow = "ellipsis"
    table.columns[0].no_wrap = True
    for name in ("Calls", *(("Device, ms",) if on_gpu else ()), "Host, ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in operators:
        device = [_ms(each["device_seconds"])] if on_gpu else []
        table.add_row(each["name"], f"{each['calls']:,.0f}", *device, _ms(each["host_seconds"]))
    return table


def _place(content: dict[str, Any]) -> str:
    if content["device"] != "cpu":
        return str(content["device"])
    threads = content["threads"]
    return f"the processor ({threads} {'thread' if threads == 1 else 'threads'})"


def _ms(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
