"""A small synthetic archive with a broken gallery image, shared by the tests of this folder."""

import shutil
from pathlib import Path

import pytest

from bagreid.catalog import Catalog, open_catalog
from bagreid.data.synthetic.archive import write_archive
from bagreid.data.synthetic.config import SyntheticConfig


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive") / "whole"
    config = SyntheticConfig(
        people=8, images_per_folder=1, queries=5, distractors=14, shortest_edge=24
    )
    write_archive(root, config, workers=1)
    return root


@pytest.fixture(scope="session")
def catalog(pristine: Path) -> Catalog:
    return open_catalog(pristine, cache=pristine.parent / "cache")


@pytest.fixture(scope="session")
def damaged(pristine: Path, catalog: Catalog) -> Catalog:
    """The same archive; one distractor's JPEG is overwritten."""
    root = pristine.parent / "damaged"
    shutil.copytree(pristine, root)
    ref = catalog.ref(catalog.split("gallery")[7])
    with (root / ref.path.relative_to(catalog.root)).open("r+b") as tar:
        tar.seek(ref.offset)
        tar.write(b"\0" * ref.size)
    return open_catalog(root, cache=pristine.parent / "cache")
