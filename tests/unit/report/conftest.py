"""A tiny archive, and a place of our own for its catalog."""

from pathlib import Path

import pytest

from .fabricate import make_archive


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGREID_CACHE", str(tmp_path_factory.getbasetemp() / "report-cache"))


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive"))
