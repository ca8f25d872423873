"""The error for users."""

from __future__ import annotations

import pickle

import pytest

from bagreid.contracts import BagreidError


def test_place_message_and_remedy_stand_in_one_line() -> None:
    error = BagreidError("it is cut", path="a.tar", position="byte 3", remedy="Fetch it again")
    assert str(error) == "a.tar, byte 3: it is cut. Fetch it again"
    assert str(BagreidError("it is cut")) == "it is cut"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb", r"a\nb"), ("\x1b[31m", r"\x1b[31m"), ("\udc80", r"\udc80"), ("é 人", "é 人")],
)
def test_names_of_strangers_break_no_line_and_command_no_terminal(name: str, shown: str) -> None:
    assert str(BagreidError(f"'{name}' is odd", path=name)) == f"{shown}: '{shown}' is odd"
