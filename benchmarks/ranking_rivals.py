"""Fetches fast-reid and torchreid from PyPI, and builds fast-reid's Cython part.

Neither package can be installed beside a torch of today, and only their ranking is wanted, which
needs NumPy alone; so they are unpacked into a folder of their own.

Usage: python benchmarks/ranking_rivals.py [--folder work_dirs/ranking/rivals]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

PACKAGES = ("fastreid==1.4.0", "torchreid==0.2.5")
CYTHON = "fastreid/evaluation/rank_cylib"


@dataclass(frozen=True, kw_only=True)
class Args:
    """Options."""

    folder: Path = Path("work_dirs/ranking/rivals")
    """Where they go; what is there is kept."""


def fetch(folder: Path, packages: Sequence[str] = PACKAGES, cython: str | None = CYTHON) -> None:
    """Makes the folder, complete or not at all.

    Args:
        folder: Where to; nothing is done where it exists.
        packages: What is fetched.
        cython: Where in it something is to be built.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        got, unpacked = Path(scratch) / "got", Path(scratch) / "unpacked"
        _pip("download", "--no-deps", "--no-build-isolation", "-d", str(got), *packages)
        for path in got.iterdir():
            _unpack(path, unpacked)
        if cython is not None:
            _build(unpacked / cython)
        unpacked.rename(folder)


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True)


def _unpack(path: Path, folder: Path) -> None:
    """A wheel as it is; of a source package its only Python package."""
    if path.suffix == ".whl":
        shutil.unpack_archive(path, folder, "zip")
        return
    name = path.name.partition("-")[0]
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        shutil.unpack_archive(path, scratch, filter="data")
        shutil.move(next(Path(scratch).glob(f"*/{name}")), folder / name)


def _build(folder: Path) -> None:
    script = ["setup.py", "build_ext", "--inplace"]
    subprocess.run([sys.executable, *script], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    if not list(folder.glob("rank_cy.*.so")):
        raise RuntimeError(f"{folder}: the Cython part was not built")


if __name__ == "__main__":
    fetch(tyro.cli(Args, description=__doc__).folder.absolute())
