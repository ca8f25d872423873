"""Figures as SVG: inline for the page, where colours are its variables, and as files of their own.

A file is framed: with its title, its legend and its note it can stand anywhere by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from xml.sax.saxutils import escape, quoteattr

from bagreid.report.palette import LIGHT
from bagreid.report.statistics.marks import (
    TEXT_SIZE,
    Area,
    Disc,
    Figure,
    Key,
    Label,
    Mark,
    Photo,
    Polyline,
    Rect,
    Segment,
    text_width,
    wrap,
)

FONTS = (
    "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', "
    "'DejaVu Sans', Arial, sans-serif"
)
_MARGIN = 14.0
_LINE = 18.0


def inline_svg(figure: Figure) -> str:
    """A figure for the page, without its title and legend, which the page sets itself.

    Args:
        figure: What to draw.

    Returns:
        The ``<svg>`` element; its colours follow the page's scheme, its marks tell their values
        when pointed at.
    """
    body = "".join(_element(mark, inline=True) for mark in figure.marks)
    return (
        f'<svg class="plot" viewBox="0 0 {_n(figure.width)} {_n(figure.height)}" role="img" '
        f"aria-label={quoteattr(figure.description)}>{body}</svg>"
    )


def svg_file(figure: Figure) -> str:
    """A figure as a file that stands by itself, on white.

    Args:
        figure: What to draw.

    Returns:
        The document.
    """
    whole = framed(figure)
    body = "\n".join(_element(mark, inline=False) for mark in whole.marks)
    size = f'width="{_n(whole.width)}" height="{_n(whole.height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {_n(whole.width)} {_n(whole.height)}" role="img" '
        f"aria-label={quoteattr(whole.description)} "
        f'font-family="{FONTS}" font-size="{TEXT_SIZE}">\n'
        f"<title>{escape(whole.title)}</title>\n{body}\n</svg>\n"
    )


def framed(figure: Figure) -> Figure:
    """Sets title, legend and note around a figure, and white behind it.

    Args:
        figure: The bare figure.

    Returns:
        The figure as it goes into a file.
    """
    inner = figure.width
    top: list[Mark] = []
    y = _MARGIN + 12
    for line in wrap(figure.title, inner, 14.5):
        top.append(Label(x=_MARGIN, y=y, text=line, tone="ink", bold=True, size=14.5))
        y += 19
    keys, y = _legend(figure.legend, y, inner)
    shift = y - 4
    marks = [_moved(mark, _MARGIN, shift) for mark in figure.marks]
    y = shift + figure.height + 16
    bottom: list[Mark] = []
    for line in wrap(figure.note, inner, 11.5) if figure.note else []:
        bottom.append(Label(x=_MARGIN, y=y, text=line, size=11.5))
        y += 15
    width, height = inner + 2 * _MARGIN, y
    paper = Rect(x=0, y=0, width=width, height=height, tone="card")
    return replace(
        figure,
        width=width,
        height=height,
        marks=[paper, *top, *keys, *marks, *bottom],
        legend=(),
    )


def _legend(legend: Sequence[Key], y: float, width: float) -> tuple[list[Mark], float]:
    """The legend's marks in as many lines as it takes, and where the next line begins."""
    marks: list[Mark] = []
    x = _MARGIN
    for key in legend:
        needed = 20 + text_width(key.name) + 16
        if x > _MARGIN and x + needed - 16 > _MARGIN + width:
            x, y = _MARGIN, y + _LINE
        marks += [*key_marks(key, x, y - 4), Label(x=x + 20, y=y, text=key.name)]
        x += needed
    return marks, y + (_LINE if legend else 0)


def key_marks(key: Key, x: float, y: float) -> list[Mark]:
    """The swatch of a legend's entry.

    Args:
        key: The entry.
        x: Left edge; a swatch is 14 wide.
        y: Its middle.

    Returns:
        What to draw.
    """
    if key.shape == "line":
        ends = ((x, y), (x + 14, y))
        return [Polyline(points=ends, tone=key.tone, dash=key.dash)]
    if key.shape == "dash":
        return [Segment(x1=x, y1=y, x2=x + 14, y2=y, tone=key.tone, width=1.5, dashed=True)]
    if key.shape == "square":
        return [Rect(x=x + 2, y=y - 5, width=10, height=10, tone=key.tone, opacity=key.opacity)]
    return [Disc(x=x + 7, y=y, radius=4.5, tone=key.tone, hollow=key.shape == "ring")]


def key_svg(key: Key) -> str:
    """The swatch of a legend's entry for the page.

    Args:
        key: The entry.

    Returns:
        A small ``<svg>`` element.
    """
    body = "".join(_element(mark, inline=True) for mark in key_marks(key, 0, 7))
    return f'<svg class="key" viewBox="0 0 14 14" aria-hidden="true">{body}</svg>'


def _moved(mark: Mark, dx: float, dy: float) -> Mark:
    if isinstance(mark, Segment):
        return replace(mark, x1=mark.x1 + dx, x2=mark.x2 + dx, y1=mark.y1 + dy, y2=mark.y2 + dy)
    if isinstance(mark, Polyline | Area):
        return replace(mark, points=tuple((x + dx, y + dy) for x, y in mark.points))
    return replace(mark, x=mark.x + dx, y=mark.y + dy)


def _element(mark: Mark, *, inline: bool) -> str:
    if isinstance(mark, Rect):
        return _rect(mark, inline)
    if isinstance(mark, Segment):
        return _segment(mark, inline)
    if isinstance(mark, Polyline):
        return _polyline(mark, inline)
    if isinstance(mark, Area):
        faded = f' fill-opacity="{_n(mark.opacity)}"'
        return f"<polygon{_points(mark)}{faded}{_paint('fill', mark.tone, inline)}/>"
    if isinstance(mark, Disc):
        return _disc(mark, inline)
    return _label(mark, inline) if isinstance(mark, Label) else _photo(mark, inline)


def _paint(what: str, tone: str, inline: bool) -> str:
    """Fill or stroke: a variable of the page's style sheet, or the colour itself."""
    if tone == "none":
        # transparent, unlike none, still answers the pointer
        return f' {what}="transparent"'
    return f' style="{what}:var(--{tone})"' if inline else f' {what}="{LIGHT[tone]}"'


def _closed(tag: str, attributes: str, title: str) -> str:
    if title:
        return f"<{tag}{attributes}><title>{escape(title)}</title></{tag}>"
    return f"<{tag}{attributes}/>"


def _rect(mark: Rect, inline: bool) -> str:
    faded = f' fill-opacity="{_n(mark.opacity)}"' if mark.opacity < 1 else ""
    crisp = ' shape-rendering="crispEdges"' if mark.crisp else ""
    return _closed(
        "rect", _box(mark) + faded + crisp + _paint("fill", mark.tone, inline), mark.title
    )


def _segment(mark: Segment, inline: bool) -> str:
    dash = ' stroke-dasharray="4 3"' if mark.dashed else ""
    place = f' x1="{_n(mark.x1)}" y1="{_n(mark.y1)}" x2="{_n(mark.x2)}" y2="{_n(mark.y2)}"'
    width = f' stroke-width="{_n(mark.width)}"'
    return f"<line{place}{width}{dash}{_paint('stroke', mark.tone, inline)}/>"


def _polyline(mark: Polyline, inline: bool) -> str:
    lengths = " ".join(_n(length) for length in mark.dash)
    dash = f' stroke-dasharray="{lengths}"' if mark.dash else ""
    shape = f' fill="none" stroke-width="{_n(mark.width)}" stroke-linejoin="round"{dash}'
    return f"<polyline{_points(mark)}{shape}{_paint('stroke', mark.tone, inline)}/>"


def _points(mark: Polyline | Area) -> str:
    return f' points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in mark.points)}"'


def _disc(mark: Disc, inline: bool) -> str:
    place = f' cx="{_n(mark.x)}" cy="{_n(mark.y)}" r="{_n(mark.radius)}"'
    if not mark.hollow:
        return _closed("circle", place + _paint("fill", mark.tone, inline), mark.title)
    ring = f"fill:var(--paper);stroke:var(--{mark.tone})"
    paint = (
        f' stroke-width="2" style="{ring}"'
        if inline
        else f' stroke-width="2" fill="{LIGHT["card"]}" stroke="{LIGHT[mark.tone]}"'
    )
    return _closed("circle", place + paint, mark.title)


def _label(mark: Label, inline: bool) -> str:
    place = f' x="{_n(mark.x)}" y="{_n(mark.y)}"'
    anchor = f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
    bold = ' font-weight="600"' if mark.bold else ""
    # On the page letters grow on narrow screens, by its style sheet; a file has none.
    size = "" if inline or mark.size == TEXT_SIZE else f' font-size="{_n(mark.size)}"'
    paint = _paint("fill", mark.tone, inline)
    return f"<text{place}{anchor}{bold}{size}{paint}>{escape(mark.text)}</text>"


def _photo(mark: Photo, inline: bool) -> str:
    place = _box(mark)
    frame = f"<rect{place}{_paint('fill', 'tint', inline)}/>"
    if mark.uri is None:
        return frame
    return f"{frame}<image{place} href={quoteattr(mark.uri)} aria-label={quoteattr(mark.alt)}/>"


def _box(mark: Rect | Photo) -> str:
    place = f' x="{_n(mark.x)}" y="{_n(mark.y)}"'
    return f'{place} width="{_n(mark.width)}" height="{_n(mark.height)}"'


def _n(value: float) -> str:
    return f"{round(value, 2):g}"
