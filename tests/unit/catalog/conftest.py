"""Fixtures of the catalog's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_archives import LAYOUTS, Contents, make_contents


@pytest.fixture
def contents() -> Contents:
    return make_contents()


@pytest.fixture
def archive(tmp_path: Path, contents: Contents) -> Path:
    """An archive as downloaded, lists at the root."""
    root = tmp_path / "SYSU-30k-released"
    contents.write_tars(root)
    contents.write_lists(root)
    contents.write_bags(root / "bag_level_label.json")
    return root


@pytest.fixture(params=sorted(LAYOUTS))
def any_layout(
    request: pytest.FixtureRequest, tmp_path: Path, contents: Contents
) -> tuple[str, Path, str]:
    """(what, root, description) of the same archive in every layout."""
    maker, layout = LAYOUTS[request.param]
    return request.param, maker(tmp_path / "here", contents), layout
