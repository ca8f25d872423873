"""The page of an archive's statistics in a real browser: offline, on a phone, in the dark."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import (
    SCHEMES,
    WIDTHS,
    check_charts,
    check_contrast,
    loaded_beside_data,
    pictures_of,
    show,
)
from selenium import webdriver

from bagreid.catalog import open_catalog
from bagreid.report.statistics import write_statistics

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from report.fabricate import make_archive

PAGES = ("whole", "bare", "odd")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The page of an archive, of train images alone, and of one with long and hostile names."""
    place = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAGREID_CACHE", str(place / "cache"))
        whole = make_archive(place / "whole")
        bare = make_archive(place / "bare")
        (bare / "bag_level_label.json").unlink()
        for path in [*(bare / "test").iterdir(), bare / "query.txt", bare / "gallery.txt"]:
            path.unlink()
        odd = make_archive(place / "odd")
        bags = json.loads((odd / "bag_level_label.json").read_text())
        for bag in bags:
            bag["BagID"] = "<i>a_name_without_any_place_to_break_" * 4 + bag["BagID"]
            bag["BagLabel"] = list(range(10**8, 10**8 + 40))
        (odd / "bag_level_label.json").write_text(json.dumps(bags))
        made = {"whole": whole, "bare": bare, "odd": odd}
        yield {
            name: write_statistics(
                open_catalog(root),
                place / "out" / name,
                name=name * (30 if name == "odd" else 1),
                skipped=np.zeros(0, np.int64),
                sample=None,
            ).page
            for name, root in made.items()
        }


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_the_page_opens_without_errors_or_overflow(
    browser: webdriver.Chrome, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    browser.get_log("browser")
    show(browser, pages[name], width, scheme)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return window.innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    total, broken = pictures_of(browser)
    assert broken == 0
    assert (total > 50) == (name != "bare")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_charts_are_readable(
    browser: webdriver.Chrome, pages: dict[str, Path], name: str, width: int
) -> None:
    show(browser, pages[name], width, "light")
    check_charts(browser, width)


def test_only_the_page_itself_is_loaded(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    browser.get_log("performance")
    show(browser, pages["whole"], 1400, "light")
    assert loaded_beside_data(browser) == [pages["whole"].as_uri()]


def test_text_stays_legible_in_both_schemes(
    browser: webdriver.Chrome, pages: dict[str, Path]
) -> None:
    check_contrast(browser, pages["whole"])


def test_charts_follow_the_scheme(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    script = """
        const marks = [...document.querySelectorAll('.plot [style]')];
        return marks.map(mark => getComputedStyle(mark)[mark.style.fill ? 'fill' : 'stroke']);
    """
    colours = {}
    for scheme in SCHEMES:
        show(browser, pages["whole"], 1400, scheme)
        colours[scheme] = browser.execute_script(script)
    assert len(colours["light"]) > 100
    assert all(a != b for a, b in zip(colours["light"], colours["dark"], strict=True))


def test_a_bar_tells_its_count_when_pointed_at(
    browser: webdriver.Chrome, pages: dict[str, Path]
) -> None:
    show(browser, pages["whole"], 1400, "light")
    script = """
        const bar = document.querySelector('#images-per-folder rect:has(title)');
        bar.scrollIntoView({block: 'center', behavior: 'instant'});
        const box = bar.getBoundingClientRect();
        const x = box.left + box.width / 2, y = box.top + box.height / 2;
        return document.elementFromPoint(x, y).querySelector('title').textContent;
    """
    assert browser.execute_script(script) == "8 images in the folder: 5 folders"


def test_svg_files_open_by_themselves(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    for path in sorted(pages["whole"].parent.glob("*.svg")):
        browser.get_log("browser")
        show(browser, path, 1400, "dark")
        assert browser.get_log("browser") == [], path.name
        wide = browser.execute_script("return document.documentElement.getBBox().width")
        assert wide > 300, path.name
