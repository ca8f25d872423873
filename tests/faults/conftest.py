"""The harness of `make test-faults`: what was done to real runs, and what became of them, counted.

It takes minutes, so that plain `pytest` passes it over: name the folder to run it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "distributed"), str(HERE.parents[1] / "benchmarks")]

from account import Account  # noqa: E402
from runs import Run, write_config  # noqa: E402


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked_for = any("faults" in Path(arg.split("::")[0]).parts for arg in config.args)
    return None if asked_for or collection_path == HERE else True


_account = Account()


@pytest.fixture(scope="session")
def account() -> Account:
    return _account


@pytest.fixture(scope="session")
def config(small_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("config"), small_archive)


@pytest.fixture(scope="session")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What one process makes of it if nobody disturbs it."""
    run = Run(config, tmp_path_factory.mktemp("undisturbed") / "run")
    run.finish()
    return run


@pytest.fixture(scope="session")
def undisturbed_pair(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What two processes make of it if nobody disturbs them."""
    run = Run(config, tmp_path_factory.mktemp("undisturbed") / "pair", size=2)
    run.finish()
    return run


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """The table, and where all of it was run and was right, the record."""
    if not _account.counts:
        return
    terminalreporter.section("what was done to the runs, and what became of them")
    for row in _account.rows():
        terminalreporter.line(f"{row['times']:>5}  {row['fault']}: {row['outcome']}")
    whole = config.args == [str(HERE)] or [Path(arg).resolve() for arg in config.args] == [HERE]
    if exitstatus == 0 and whole and not config.option.keyword:
        from machine import write_result

        seconds = round(time.monotonic() - _account.begun)
        path = write_result("faults", {"seconds": seconds, "account": _account.rows()})
        terminalreporter.line(f"written to {path}")
