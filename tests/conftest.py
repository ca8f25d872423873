"""Settings and fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A test's verdict must not depend on how busy the machine is.
settings.register_profile("bagreid", deadline=None)
settings.load_profile("bagreid")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps the catalogs of tests out of the user's cache."""
    os.environ["BAGREID_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic archive of eight people, small enough to train on in seconds."""
    from bagreid.data.synthetic import SyntheticConfig, write_archive

    root = tmp_path_factory.mktemp("archives") / "small"
    config = SyntheticConfig(
        people=8, images_per_folder=6, queries=4, distractors=8, shortest_edge=32, seed=3
    )
    write_archive(root, config)
    return root
