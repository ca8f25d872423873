"""How numbers and results are said."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bagreid.report.work_dir import Method, WorkDir

NO_BREAK = "\u00a0"
"""Keeps a number and its sign on one line."""

MINUS = "\u2212"


def percent(share: float, *, digits: int = 1) -> str:
    """A fraction in percent, without the sign: ``0.4733`` is ``47.3``."""
    return f"{100 * share:.{digits}f}"


def whole_percent(share: float) -> str:
    """A fraction in whole percent with its sign."""
    return f"{percent(share, digits=0)}{NO_BREAK}%"


def count(number: int, noun: str | None = None, plural: str | None = None) -> str:
    """A whole number with thousands set apart, and the noun it counts."""
    text = f"{number:,}"
    if noun is None:
        return text
    return f"{text} {noun if number == 1 else plural or noun + 's'}"


def number(value: float) -> str:
    """A number in three significant digits, small ones in powers of ten."""
    if not math.isfinite(value):
        return "not a number"
    size = abs(value)
    sign = MINUS if value < 0 else ""
    if size == 0:
        return "0"
    if size < 1e-3:
        mantissa, exponent = f"{size:.2e}".split("e")
        return f"{sign}{float(mantissa):g}e{MINUS}{-int(exponent)}"
    if size >= 1000:
        return f"{sign}{size:,.0f}"
    return f"{sign}{size:.3g}"


def duration(seconds: float) -> str:
    """A span of time in its two largest units."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def headline(work: WorkDir) -> str:
    """The result in one sentence.

    Args:
        work: What the page is about.

    Returns:
        The main method's rank-1 with its interval, or how far it has come.
    """
    main = work.main
    if main.evaluation is None:
        if main.log.last_step is None:
            return f"The run {main.name} has no result yet."
        steps = count(main.log.last_step)
        return f"The run {main.name} is trained to step {steps}, not evaluated yet."
    result = main.evaluation
    who = main.name
    if main.supervision == "bag labels":
        who = "Trained on bag labels alone, the network"
    queries = count(result.counts.get("queries", len(result.queries)), "query", "queries")
    text = f"{who} finds the right person first for {whole_percent(result.cmc[0])} of {queries}"
    interval = result.interval(1)
    if interval:
        low, high = (percent(end, digits=0) for end in interval)
        text += f" ({low}\u2013{high}{NO_BREAK}%)"
    if "gallery" in result.counts:
        text += f" among {count(result.counts['gallery'], 'image')}"
    return f"{text}."


def comparison_sentence(others: Sequence[Method]) -> str:
    """The other methods' rank-1, one after the other; empty when none is evaluated."""
    parts = [
        f"{whole_percent(method.evaluation.cmc[0])} for {method.name}"
        for method in others
        if method.evaluation
    ]
    return f"On the same queries: {listed(parts)}." if parts else ""
