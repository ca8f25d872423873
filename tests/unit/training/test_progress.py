"""The line that people see: everything where there is room, else the chief things."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.training.progress import Progress, duration

ENTRY: dict[str, Any] = {
    "epoch": 2,
    "loss": {"total": 3.214, "unary": 2.91, "pairwise": -0.012, "triplet": 0.42},
    "images_per_second": 1512.4,
    "pseudo_label_accuracy": 0.8123,
    "pseudo_label_change": 0.021,
    "skipped": 3,
    "replaced": 1205,
    "waited": 0.34,
}


def progress(entry: dict[str, Any], step: int = 1240, total: int = 9999) -> Progress:
    made = Progress(None, total_steps=total, done_steps=step - 1, epochs=8)
    made.take(entry)
    made.advance(step)
    made._left = lambda: ("2 h 05 min left", "2h05 left", "")  # type: ignore[method-assign]
    return made


def test_in_full_it_tells_everything() -> None:
    assert progress(ENTRY).line() == (
        "epoch 3/8  step 1,240/9,999  1,512 images/s  2 h 05 min left  loss 3.21  "
        "(unary 2.91, pairwise −0.012, triplet 0.42)  labels right 81.2%, changed 2.1%  "
        "3 steps skipped, 1,205 images replaced  waits for images 34%"
    )


def test_a_hundred_columns_hold_the_terms_and_the_labels_of_a_sound_run() -> None:
    sound = ENTRY | {"skipped": 0, "replaced": 0, "waited": 0.01}
    assert progress(sound).line(100) == (
        "ep 3/8  step 1240/9999  1,512/s  2h05 left  loss 3.21  (u 2.91 p −0.012 t 0.42)  "
        "81% right, 2% new"
    )


def test_what_went_wrong_is_told_before_the_terms() -> None:
    assert progress(ENTRY).line(100) == (
        "ep 3/8  step 1240/9999  1,512/s  2h05 left  loss 3.21  81% right, 2% new  "
        "3 skipped, 1,205 replaced"
    )


def test_small_terms_keep_a_digit() -> None:
    loss = {"total": -123.4, "a": 0.0, "b": -0.0042, "c": 0.0312, "d": 99.994, "e": 1e-9}
    line = progress({"loss": loss}).line()
    assert "loss −123  (a 0.00, b −0.0042, c 0.031, d 99.99, e 0.00)" in line


def test_where_little_is_known_little_is_said() -> None:
    assert progress({}).line() == "step 1,240/9,999  2 h 05 min left"
    assert progress({"epoch": 0, "loss": {"total": float("nan")}}).line() == (
        "epoch 1/8  step 1,240/9,999  2 h 05 min left  loss nan"
    )
    only_change = progress({"pseudo_label_accuracy": None, "pseudo_label_change": 0.5}).line()
    assert only_change.endswith("labels changed 50.0%")


@given(
    width=st.integers(0, 250),
    step=st.integers(1, 10**7),
    known=st.sets(st.sampled_from(sorted(ENTRY))),
    terms=st.integers(0, 30),
)
def test_it_always_fits(width: int, step: int, known: set[str], terms: int) -> None:
    entry = {key: ENTRY[key] for key in known}
    if "loss" in entry:
        entry["loss"] = ENTRY["loss"] | {f"head_{place}": 1.0 for place in range(terms)}
    made = progress(entry, step, 10**7)
    line = made.line(width)
    assert len(line) <= width
    assert width < 24 or line.startswith(("ep", "step"))
    assert f"{step}/{10**7}" in line.replace(",", "") or width < 24


@pytest.mark.parametrize(
    ("seconds", "full", "brief"),
    [
        (0.2, "0 s", "0s"),
        (59.6, "1 min 00 s", "1m00"),
        (3599.7, "1 h 00 min", "1h00"),
        (7505, "2 h 05 min", "2h05"),
        (200_000, "2 d 07 h", "2d07"),
    ],
)
def test_durations_have_two_units(seconds: float, full: str, brief: str) -> None:
    assert (duration(seconds), duration(seconds, short=True)) == (full, brief)
