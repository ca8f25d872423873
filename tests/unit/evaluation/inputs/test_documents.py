"""What the documents show works as shown."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

from bagreid.evaluation.inputs import PATTERNS

PAGE = Path(__file__).parents[4] / "docs" / "own_features.md"


@pytest.mark.parametrize("name", ["load", "names"])
def test_doctests(name: str) -> None:
    found = doctest.testmod(import_module(f"bagreid.evaluation.inputs.{name}"))
    assert found.attempted
    assert not found.failed


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {})  # noqa: S102  # our own page
    rank1, mean_ap, notes = capsys.readouterr().out.split(maxsplit=2)
    assert 0.5 < float(rank1) <= 1
    assert 0.5 < float(mean_ap) <= 1
    assert notes.strip() == "[]"


def test_the_page_names_every_pattern() -> None:
    text = PAGE.read_text()
    assert all(f"`{name}`" in text for name in PATTERNS)
