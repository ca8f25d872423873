"""What people see of a run while it goes on: one line, as long as there is room for."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

WIDEST = 100
"""Columns of the live line; what does not fit is said shorter or left out."""

PLAIN_SECONDS = 15.0
"""Seconds between two plain lines where there is no terminal."""

_SHORTEN = (
    "waited", "terms", "rate", "left", "step", "labels", "epoch", "trouble", "labels", "terms",
    "waited", "labels", "rate", "epoch", "labels", "loss", "left", "trouble",
)  # fmt: skip
"""Pieces of the line, least important first; each time one is named it takes a shorter form."""


class Progress:
    """The progress of a run on a console: a live line, or plain lines now and then.

    Args:
        console: Where people read; None keeps silent.
        total_steps: Steps of the whole run.
        done_steps: Steps that an earlier part of the run has done.
        epochs: Epochs of the whole run.
    """

    def __init__(
        self, console: Console | None, *, total_steps: int, done_steps: int, epochs: int
    ) -> None:
        self._console = console
        self._total, self._epochs = total_steps, epochs
        self._step = self._first = done_steps
        self._entry: Mapping[str, Any] = {}
        self._is_news = False
        self._begun = self._said = time.monotonic()
        self._live: Live | None = None
        if console is not None and console.is_terminal:
            self._live = Live(self, console=console, refresh_per_second=2, vertical_overflow="crop")

    def start(self) -> None:
        """Shows the line."""
        self._begun = self._said = time.monotonic()
        if self._live is not None:
            self._live.start()

    def stop(self) -> None:
        """Shows the line for the last time; it stays."""
        if self._live is not None:
            self._live.stop()

    def take(self, entry: Mapping[str, Any]) -> None:
        """Takes the numbers of a ``step`` line of the log."""
        self._entry, self._is_news = entry, True

    def advance(self, step: int) -> None:
        """Moves on to a step."""
        self._step = step
        if self._is_news and self._live is None and self._console is not None:
            self._say()

    def _say(self) -> None:
        assert self._console is not None
        now = time.monotonic()
        if now - self._said >= PLAIN_SECONDS or self._step >= self._total:
            self._said, self._is_news = now, False
            self._console.print(f"  {self.line()}", highlight=False, markup=False, soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text(self.line(min(WIDEST, options.max_width)), no_wrap=True, overflow="crop")
        line.highlight_regex(r"(?P<b>(?<=step )[\d,]+|(?<=loss )[\d.,a-z−]+)", style_prefix="")
        yield line

    def line(self, width: int | None = None) -> str:
        """The line in so many columns; None: in full."""
        forms = self._forms()
        chosen = dict.fromkeys(forms, 0)
        for name in _SHORTEN:
            text = "  ".join(said for key in forms if (said := forms[key][chosen[key]]))
            if width is None or len(text) <= width:
                return text
            chosen[name] = min(chosen[name] + 1, len(forms[name]) - 1)
        text = "  ".join(said for key in forms if (said := forms[key][chosen[key]]))
        return text if width is None else text[:width]

    def _forms(self) -> dict[str, tuple[str, ...]]:
        """Every piece, in the order of the line, from its longest to its shortest form."""
        entry = self._entry
        step, total = self._step, self._total
        forms: dict[str, tuple[str, ...]] = {
            "epoch": ("",),
            "step": (f"step {step:,}/{total:,}", f"step {step}/{total}"),
        }
        if "epoch" in entry:
            named = f"{entry['epoch'] + 1}/{self._epochs}"
            forms["epoch"] = (f"epoch {named}", f"ep {named}", "")
        forms["rate"] = _rate(entry.get("images_per_second"))
        forms["left"] = self._left()
        forms |= _loss(entry.get("loss") or {})
        right, changed = (entry.get(f"pseudo_label_{key}") for key in ("accuracy", "change"))
        forms["labels"] = _labels(right, changed)
        forms["trouble"] = _trouble(entry.get("skipped"), entry.get("replaced"))
        waited = entry.get("waited")
        forms["waited"] = ("",)
        if waited is not None and waited >= 0.05:
            forms["waited"] = (f"waits for images {waited:.0%}", f"waits {waited:.0%}", "")
        return forms

    def _left(self) -> tuple[str, ...]:
        done = self._step - self._first
        if done <= 0 or self._step >= self._total:
            return ("",)
        seconds = (time.monotonic() - self._begun) / done * (self._total - self._step)
        return f"{duration(seconds)} left", f"{duration(seconds, short=True)} left", ""


def duration(seconds: float, *, short: bool = False) -> str:
    """A time in two units: ``2 h 05 min``, or short ``2h05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}" if short else f"{days} d {hours:02} h"
    if hours:
        return f"{hours}h{minutes:02}" if short else f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes}m{rest:02}" if short else f"{minutes} min {rest:02} s"
    return f"{rest}s" if short else f"{rest} s"


def _rate(rate: float | None) -> tuple[str, ...]:
    if rate is None:
        return ("",)
    number = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
    return f"{number} images/s", f"{number}/s", ""


def _loss(loss: Mapping[str, float]) -> dict[str, tuple[str, ...]]:
    if not loss:
        return {"loss": ("",), "terms": ("",)}
    total = loss.get("total", math.nan)
    parts = {name: value for name, value in loss.items() if name != "total"}
    full = ", ".join(f"{name} {_number(value)}" for name, value in parts.items())
    brief = " ".join(f"{name[:1]} {_number(value)}" for name, value in parts.items())
    terms = (f"({full})", f"({brief})", "") if parts else ("",)
    return {"loss": (f"loss {_number(total)}", ""), "terms": terms}


def _number(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 100 else 2 if size >= 0.1 or size < 5e-5 else 3 if size >= 0.01 else 4
    return f"{value:.{digits}f}".replace("-", "−")


def _labels(right: float | None, changed: float | None) -> tuple[str, ...]:
    if right is None and changed is None:
        return ("",)
    if right is None:
        return f"labels changed {changed:.1%}", f"{changed:.0%} changed", ""
    if changed is None:
        return f"labels right {right:.1%}", f"{right:.0%} right", ""
    return (
        f"labels right {right:.1%}, changed {changed:.1%}",
        f"labels {right:.1%} right, {changed:.1%} new",
        f"{right:.0%} right, {changed:.0%} new",
        f"{right:.0%} right",
        "",
    )


def _trouble(skipped: int | None, replaced: int | None) -> tuple[str, ...]:
    said = [(skipped, "steps skipped", "skipped"), (replaced, "images replaced", "replaced")]
    shown = [(number, full, brief) for number, full, brief in said if number]
    full = ", ".join(f"{number:,} {full}" for number, full, _ in shown)
    brief = ", ".join(f"{number:,} {brief}" for number, _, brief in shown)
    return full, brief, ""
