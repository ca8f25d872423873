"""The page in a real browser without a network: nothing fails, nothing overflows, all images load.

Where no chromium is installed the tests skip; in CI (``CI=true``) they fail instead.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from bagreid.report import write_report

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from report.fabricate import make_archive, make_demo, make_run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage "
    "--disable-background-networking --disable-sync --no-first-run --disable-quic "
    "--disable-component-update --hide-scrollbars"
)
WIDTHS = (1400, 390)
SCHEMES = ("light", "dark")


def pictures_of(driver: webdriver.Chrome) -> tuple[int, int]:
    """How many images there are, and how many of them did not load."""
    script = (
        "const all = [...document.images];"
        "return [all.length, all.filter(i => !i.complete || !i.naturalWidth).length]"
    )
    total, broken = driver.execute_script(script)
    return total, broken


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    if not (BROWSER and DRIVER):
        reason = "chromium and chromedriver are not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI must not skip the browser")
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The page of a demo, of one run, of a run without its archive, and of one just begun."""
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
        }


def show(driver: webdriver.Chrome, page: Path, width: int, scheme: str) -> None:
    """Opens a page at a width and in a colour scheme."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get(page.as_uri())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["demo", "run", "gone", "begun"])
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


def test_details_open_without_overflow(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["demo"], 390, "light")
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_only_the_page_itself_is_loaded(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    browser.get_log("performance")
    show(browser, pages["demo"], 1400, "light")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    beyond = [url for url in asked if not url.startswith("data:")]
    assert beyond == [pages["demo"].as_uri()]


def test_text_stays_legible_in_both_schemes(
    browser: webdriver.Chrome, pages: dict[str, Path]
) -> None:
    """Contrast of the soft text and of every series against the paper (WCAG: 4.5 and 3)."""
    script = """
        const probe = document.createElement('i');
        document.body.append(probe);
        return arguments[0].map(name => {
          probe.style.color = `var(--${name})`;
          return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
        });
    """
    names = ["paper", "ink", "soft", "right", "wrong", *(f"s{place}" for place in range(8))]
    for scheme in SCHEMES:
        show(browser, pages["demo"], 1400, scheme)
        paper, *inks = browser.execute_script(script, names)
        for name, ink in zip(names[1:], inks, strict=True):
            least = 3.0 if name.startswith("s") and name != "soft" else 4.5
            assert contrast(paper, ink) >= least, (scheme, name)


def contrast(one: list[float], other: list[float]) -> float:
    """Contrast ratio of two sRGB colours (WCAG 2.2, relative luminance)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: list[float]) -> float:
    parts = [value / 255 for value in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_charts_are_readable_on_a_phone(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["demo"], 390, "light")
    script = """
        return [...document.querySelectorAll('.plot text')].map(text => {
          const scale = text.ownerSVGElement.getBoundingClientRect().width / 440;
          const box = text.getBoundingClientRect();
          return [parseFloat(getComputedStyle(text).fontSize) * scale, box.left, box.right];
        });
    """
    for size, left, right in browser.execute_script(script):
        assert size >= 10.5
        assert 0 <= left <= right <= 390
