"""The sentence in the parser's boxes, however a terminal draws them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bagreid.cli.parsing import _refused_value, parse_options
from bagreid.contracts import BagreidError


@dataclass(frozen=True, kw_only=True)
class Inner:
    epochs: int = 3

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError("epochs must be at least 1, and this sentence is long enough to wrap")


@dataclass(frozen=True, kw_only=True)
class Form:
    train: Inner = Inner()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError("seed must be at least 0")


def parse(*words: str) -> Form:
    return parse_options(Form, words, prog="bagreid verb", description="Does it.")


@pytest.mark.parametrize("width", ["40", "80", "300"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seed", "-1"], "seed must be at least 0"),
        (
            ["--train.epochs", "0"],
            "epochs must be at least 1, and this sentence is long enough to wrap",
        ),
        (["--seed", "x"], "--seed: invalid literal for int() with base 10: 'x'"),
    ],
)
def test_a_refused_value_is_told_in_one_sentence(
    words: list[str], sentence: str, width: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    with pytest.raises(BagreidError) as caught:
        parse(*words)
    assert str(caught.value) == f"{sentence}. See 'bagreid verb --help'"


FRAMED = """\
╭─ Value error ────────────────╮
│ Error parsing run.train: too │
│ few epochs                   │
│ ──────────────────────────── │
│ For full helptext, see …     │
╰──────────────────────────────╯
"""
PLAIN = """\
 Value error
 ----------------------------
 Error parsing run.train: too
 few epochs
 ----------------------------
 For full helptext, see …

"""


@pytest.mark.parametrize("box", [FRAMED, PLAIN])
def test_both_kinds_of_box_are_read(box: str) -> None:
    assert _refused_value(box) == "too few epochs"
    assert _refused_value(box.replace("Value error", "Unrecognized")) is None
    assert _refused_value("") is None


def test_what_holds_is_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse("--train.epochs", "5", "--seed", "2") == Form(train=Inner(epochs=5), seed=2)
    assert capsys.readouterr() == ("", "")


def test_help_and_unknown_options_are_the_parsers_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse("--help")
    assert stopped.value.code == 0
    assert "Does it." in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        parse("--sed", "1")
    assert stopped.value.code == 2
    assert "--seed" in capsys.readouterr().err
