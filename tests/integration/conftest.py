"""Fixtures of the tests that run whole verbs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium import webdriver


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    """A real browser without a network; tests skip where none is installed."""
    from browsing import open_browser

    with open_browser() as driver:
        yield driver
