"""SVG and PNG of the same marks: well formed, framed, escaped, and showing the same."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageColor

from bagreid.report.palette import DARK, LIGHT
from bagreid.report.statistics.marks import (
    Area,
    Disc,
    Figure,
    Key,
    Label,
    Photo,
    Polyline,
    Rect,
    Segment,
    text_width,
    wrap,
)
from bagreid.report.statistics.raster import PHOTO_SCALE, SCALE, png_file
from bagreid.report.statistics.svg import framed, inline_svg, key_svg, svg_file

from .looks import check


def photo() -> str:
    out = io.BytesIO()
    Image.new("RGB", (20, 40), (200, 30, 30)).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def figure(*marks: object, **changes: object) -> Figure:
    settings = {
        "name": "x",
        "title": "A <title> & more",
        "note": 'A note that says "so" & is long enough to take more than a single line of text',
        "description": "Some <marks> & a note.",
        "width": 200,
        "height": 100,
        "marks": marks,
        "header": ["a"],
        "rows": [[1]],
        "legend": [Key(name="one <kind>", tone="s0"), Key(name="rings", tone="s1", shape="ring")],
    }
    return Figure(**(settings | changes))


EVERYTHING = (
    Rect(x=10, y=20, width=60, height=40, tone="s0", title="3 < 4 & 5"),
    Rect(x=80, y=20, width=20, height=40, tone="s0", opacity=0.5, crisp=True),
    Rect(x=0, y=0, width=200, height=100, tone="none", title="pointed at"),
    Segment(x1=0, y1=90, x2=200, y2=90, tone="ink"),
    Segment(x1=0, y1=95, x2=200, y2=60, tone="ink", dashed=True),
    Disc(x=130, y=40, radius=8, tone="s1"),
    Disc(x=160, y=40, radius=8, tone="s1", hollow=True),
    Label(x=10, y=80, text="x < y & z", bold=True),
    Polyline(points=((10, 68), (100, 72), (190, 66)), tone="s2", dash=(6, 3, 2, 3)),
    Area(points=((110, 60), (190, 60), (150, 80)), tone="s3", opacity=0.2),
)


def test_a_file_stands_by_itself() -> None:
    text = svg_file(figure(*EVERYTHING))
    tree = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    words = [element.text for element in tree.iter() if element.text and element.text.strip()]
    assert {"A <title> & more", "one <kind>", "x < y & z", "3 < 4 & 5"} <= set(words)
    assert "var(--" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert float(tree.get("width", 0)) > 200
    check(framed(figure(*EVERYTHING)))


def test_on_the_page_colours_are_the_pages() -> None:
    text = inline_svg(figure(*EVERYTHING)) + key_svg(Key(name="", tone="s2", shape="dash"))
    ElementTree.fromstring(f"<all>{text}</all>")  # noqa: S314 - our own text
    assert not re.search(r"#[0-9a-f]{6}", text)
    assert 'viewBox="0 0 200 100"' in text
    assert "A <title>" not in text


def test_the_png_shows_what_the_svg_says() -> None:
    drawn = figure(*EVERYTHING)
    whole = framed(drawn)
    with Image.open(io.BytesIO(png_file(drawn))) as opened:
        image = opened.convert("RGB")
    assert image.size == (round(whole.width * SCALE), round(whole.height * SCALE))
    rects = [mark for mark in whole.marks if isinstance(mark, Rect) and mark.tone == "s0"]
    big = max(rects, key=lambda mark: mark.width)

    def at(x: float, y: float) -> tuple[int, ...]:
        return image.getpixel((round(x * SCALE), round(y * SCALE)))

    blue, white = ImageColor.getrgb(LIGHT["s0"]), ImageColor.getrgb(LIGHT["card"])
    assert at(big.x + 30, big.y + 20) == blue
    assert at(big.x - 3, big.y + 20) == white
    half = tuple(round((a + b) / 2) for a, b in zip(blue, white, strict=True))
    assert at(big.x + 80, big.y + 20) == pytest.approx(half, abs=1)
    disc, ring = (m for m in whole.marks if isinstance(m, Disc) and m.radius == 8)
    assert at(disc.x, disc.y) == ImageColor.getrgb(LIGHT["s1"])
    assert at(ring.x, ring.y) == white
    assert at(ring.x - 8, ring.y) == ImageColor.getrgb(LIGHT["s1"])


def test_lines_and_areas_of_the_png_lie_where_the_svg_has_them() -> None:
    whole = Polyline(points=((10, 10), (100, 10), (100, 60)), tone="s0", width=4)
    dashed = Polyline(points=((10, 90), (55, 90), (55, 20)), tone="s1", width=4, dash=(20, 10))
    areas = [
        Area(points=((120, 10), (190, 10), (190, 90), (120, 90)), tone=tone, opacity=0.5)
        for tone in ("s2", "s3")
    ]
    drawn = figure(whole, dashed, *areas, title="", note="", legend=())
    shift = next(mark for mark in framed(drawn).marks if isinstance(mark, Polyline)).points[0]
    with Image.open(io.BytesIO(png_file(drawn))) as opened:
        image = opened.convert("RGB")

    def at(x: float, y: float) -> tuple[int, ...]:
        return image.getpixel(
            (round((x + shift[0] - 10) * SCALE), round((y + shift[1] - 10) * SCALE))
        )

    white = ImageColor.getrgb(LIGHT["card"])
    assert at(50, 10) == at(100, 40) == ImageColor.getrgb(LIGHT["s0"])
    assert at(50, 40) == white
    strokes = [at(x, 90) for x in (20, 35, 50)] + [at(55, y) for y in (88, 80, 65)]
    orange = ImageColor.getrgb(LIGHT["s1"])
    # 20 long and 10 apart: the second goes 15 along the first side and 5 round the corner
    assert strokes == [orange, white, orange, orange, white, orange]
    over, under = (ImageColor.getrgb(LIGHT[tone]) for tone in ("s3", "s2"))
    mixed = [a / 2 + b / 4 + c / 4 for a, b, c in zip(over, under, white, strict=True)]
    assert at(155, 50) == pytest.approx(tuple(mixed), abs=3)


def test_images_are_shown_whole_and_gone_ones_as_frames() -> None:
    shown = Photo(x=0, y=0, width=60, height=60, uri=photo(), alt='a "picture"')
    gone = Photo(x=80, y=0, width=60, height=60, uri=None, alt="gone")
    drawn = figure(shown, gone)
    with Image.open(io.BytesIO(png_file(drawn))) as opened:
        image = opened.convert("RGB")
    place, frame = (m for m in framed(drawn).marks if isinstance(m, Photo))
    middle = round((place.x + 30) * PHOTO_SCALE), round((place.y + 30) * PHOTO_SCALE)
    side = round((place.x + 8) * PHOTO_SCALE), middle[1]
    assert image.getpixel(middle) == pytest.approx((200, 30, 30), abs=3)
    assert image.getpixel(side) == ImageColor.getrgb(LIGHT["tint"])
    empty = round((frame.x + 30) * PHOTO_SCALE), middle[1]
    assert image.getpixel(empty) == ImageColor.getrgb(LIGHT["tint"])
    text = svg_file(drawn)
    assert text.count("<image") == 1
    ElementTree.fromstring(text)  # noqa: S314 - our own text


def test_the_same_marks_give_the_same_bytes() -> None:
    assert png_file(figure(*EVERYTHING)) == png_file(figure(*EVERYTHING))
    assert svg_file(figure(*EVERYTHING)) == svg_file(figure(*EVERYTHING))


def test_lines_break_between_words() -> None:
    text = "a few words and a_very_long_one_that_no_line_can_hold at the end"
    lines = wrap(text, 80)
    assert " ".join(lines) == text
    assert all(text_width(line) <= 80 or " " not in line for line in lines)


def test_both_schemes_name_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
