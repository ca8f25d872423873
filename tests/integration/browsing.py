"""A real browser without a network, and what the tests of all pages ask it.

Where no chromium is installed the tests skip; in CI (``CI=true``) they fail instead.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage "
    "--disable-background-networking --disable-sync --no-first-run --disable-quic "
    "--disable-component-update --hide-scrollbars"
)
WIDTHS = (1400, 390)
SCHEMES = ("light", "dark")


@contextmanager
def open_browser() -> Iterator[webdriver.Chrome]:
    """Starts the browser and takes its network away."""
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


def show(driver: webdriver.Chrome, page: Path, width: int, scheme: str) -> None:
    """Opens a page at a width and in a colour scheme."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get(page.as_uri())


def pictures_of(driver: webdriver.Chrome) -> tuple[int, int]:
    """How many images there are, and how many of them did not load."""
    script = (
        "const all = [...document.images];"
        "return [all.length, all.filter(i => !i.complete || !i.naturalWidth).length]"
    )
    total, broken = driver.execute_script(script)
    return total, broken


def loaded_beside_data(driver: webdriver.Chrome) -> list[str]:
    """All that was asked for since the last look at the log, embedded data aside."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in asked if not url.startswith("data:")]


def check_contrast(driver: webdriver.Chrome, page: Path) -> None:
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
        show(driver, page, 1400, scheme)
        paper, *inks = driver.execute_script(script, names)
        for name, ink in zip(names[1:], inks, strict=True):
            least = 3.0 if name.startswith("s") and name != "soft" else 4.5
            assert contrast(paper, ink) >= least, (scheme, name)


def contrast(one: list[float], other: list[float]) -> float:
    """Contrast ratio of two sRGB colours (WCAG 2.2, relative luminance)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: list[float]) -> float:
    """Relative luminance of an sRGB colour."""
    parts = [value / 255 for value in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def check_charts(driver: webdriver.Chrome, width: int) -> None:
    """Every text of every chart is large enough, on the screen, and touches no other."""
    script = """
        return [...document.querySelectorAll('.plot')].map(plot =>
          [...plot.querySelectorAll('text')].map(text => {
            const scale = plot.getBoundingClientRect().width / plot.viewBox.baseVal.width;
            const box = text.getBoundingClientRect();
            const size = parseFloat(getComputedStyle(text).fontSize) * scale;
            return [size, box.left, box.right, box.top, box.bottom, text.textContent];
          }));
    """
    for texts in driver.execute_script(script):
        for size, left, right, *_ in texts:
            assert size >= 10.5
            assert 0 <= left <= right <= width
        for place, one in enumerate(texts):
            for other in texts[place + 1 :]:
                across = min(one[2], other[2]) - max(one[1], other[1])
                # a line's box has room above and below its letters
                along = min(one[4], other[4]) - max(one[3], other[3])
                assert across <= 0 or along <= 0.3 * one[0], (one[5], other[5])
