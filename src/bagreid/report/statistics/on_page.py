"""Figures as the templates of pages take them."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from bagreid.report.statistics.marks import Figure
from bagreid.report.statistics.svg import inline_svg, key_svg


@dataclass(frozen=True, slots=True)
class OnPage:
    """A figure, its drawing, and its legend's swatches with their meaning."""

    figure: Figure
    svg: Markup
    legend: tuple[tuple[Markup, str], ...]


def on_page(figure: Figure) -> OnPage:
    """Draws a figure for a page; texts in it are escaped where the drawing is made.

    Args:
        figure: What to draw.

    Returns:
        What the macro ``plot`` of the templates shows.
    """
    legend = tuple((Markup(key_svg(key)), key.name) for key in figure.legend)  # noqa: S704 - ours
    return OnPage(figure, Markup(inline_svg(figure)), legend)  # noqa: S704 - escaped in svg.py
