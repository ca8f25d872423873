"""The page in a real browser without a network: nothing fails or overflows, all images load."""

import sys
from collections.abc import Iterator
from pathlib import Path

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

from bagreid.report import write_report
from bagreid.report.comparison import compare, write_comparison

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from report.comparison.results_of import hard_and_easy, record, written
from report.fabricate import make_archive, make_demo, make_killed, make_run


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The page of a demo, a run, one without its archive, one just begun, and one killed."""
    place = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAGREID_CACHE", str(place / "cache"))
        archive = make_archive(place / "archive")
        demo = make_demo(place / "demo", archive)
        run = make_run(place / "run", archive, method="A method with quite a long name " * 3)
        begun = make_run(place / "begun", archive)
        for name in ("log.jsonl", "evaluation.json", "pseudo_labels.npz"):
            (begun / name).unlink()
        yield {
            "demo": write_report(demo).path,
            "run": write_report(run).path,
            "gone": write_report(run, out=place / "gone.html", root=place / "gone").path,
            "begun": write_report(begun).path,
            "killed": write_report(make_killed(place / "killed", archive, on_gpu=True)).path,
        }


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["demo", "run", "gone", "begun", "killed"])
def test_the_page_opens_without_errors_or_overflow(
    browser: webdriver.Chrome, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    browser.get_log("performance")
    show(browser, pages[name], width, scheme)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return window.innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    total, broken = pictures_of(browser)
    assert broken == 0
    assert (total > 100) == (name in {"demo", "run"})
    sections = browser.execute_script(
        "return [...document.querySelectorAll('section')].map(s=>s.id)"
    )
    assert ("run" in sections) == (name == "killed")


def test_details_open_without_overflow(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["demo"], 390, "light")
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_only_the_page_itself_is_loaded(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    browser.get_log("performance")
    show(browser, pages["demo"], 1400, "light")
    assert loaded_beside_data(browser) == [pages["demo"].as_uri()]


def test_text_stays_legible_in_both_schemes(
    browser: webdriver.Chrome, pages: dict[str, Path]
) -> None:
    check_contrast(browser, pages["demo"])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["demo", "killed"])
def test_charts_are_readable(
    browser: webdriver.Chrome, pages: dict[str, Path], name: str, width: int
) -> None:
    show(browser, pages[name], width, "light")
    check_charts(browser, width)


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of one method, of two with long names of queries, and of four at full size."""
    place = tmp_path_factory.mktemp("comparisons")
    long = "a_name_without_any_place_to_break_" * 4
    names = [f"{long}{number}.jpg" for number in range(200)]
    files = [
        written(
            place / f"{number}.json",
            record(
                hard_and_easy(200, number, worse=number / 3),
                method=("DGL", "Truth", "A method with quite a long name " * 3, "D")[number],
                names=names,
                wrong=479_729,
            ),
        )
        for number in range(4)
    ]
    return {
        str(many): write_comparison(compare(files[:many]), place / f"out{many}")
        for many in (1, 2, 4)
    }


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("many", ["1", "2", "4"])
def test_comparisons_open_without_errors_or_overflow(
    browser: webdriver.Chrome, comparisons: dict[str, Path], many: str, width: int, scheme: str
) -> None:
    browser.get_log("browser")
    show(browser, comparisons[many], width, scheme)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("many", ["1", "2", "4"])
def test_charts_of_comparisons_are_readable(
    browser: webdriver.Chrome, comparisons: dict[str, Path], many: str, width: int
) -> None:
    show(browser, comparisons[many], width, "light")
    check_charts(browser, width)


def test_comparisons_load_nothing_else(
    browser: webdriver.Chrome, comparisons: dict[str, Path]
) -> None:
    browser.get_log("performance")
    show(browser, comparisons["2"], 1400, "light")
    assert loaded_beside_data(browser) == [comparisons["2"].as_uri()]
