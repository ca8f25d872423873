"""How numbers are said."""

import pytest

from bagreid.report.wording import MINUS, count, duration, listed, number, percent


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (-0.0205, f"{MINUS}0.0205"),
        (1234.5, "1,234"),
        (3e-4, f"3e{MINUS}4"),
        (-2.5e-7, f"{MINUS}2.5e{MINUS}7"),
        (float("nan"), "not a number"),
    ],
)
def test_number(value: float, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(4, "4 s"), (312.4, "5 min 12 s"), (3_600, "1 h 0 min"), (200_000, "2 d 7 h")],
)
def test_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_counts_and_lists() -> None:
    assert percent(0.47333) == "47.3"
    assert count(3150, "image") == "3,150 images"
    assert count(1, "query", "queries") == "1 query"
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
