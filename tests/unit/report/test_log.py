"""The log of a run: curves, what a killed run leaves, and broken lines."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.report.log import read_log

from .fabricate import log_lines


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_every_quantity_becomes_a_curve(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log.jsonl", log_lines(20)))
    assert set(log.curves) == {
        "loss/total", "loss/unary", "loss/pairwise", "learning_rate", "images_per_second",
        "pseudo_label_accuracy", "pseudo_label_change", "validation/rank1", "validation/mean_ap",
        "reliability/1", "reliability/3", "reliability/5",
    }  # fmt: skip
    assert log.curves["loss/total"].step.tolist() == list(range(0, 200, 10))
    assert log.curves["loss/total"].value[1] == 3 / 11
    assert log.curves["pseudo_label_change"].step[0] == 10
    assert (log.epochs, log.last_step, log.seconds, log.cut) == (2, 190, 190.0, False)


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    log = read_log(tmp_path / "log.jsonl")
    assert (log.curves, log.last_step, log.seconds) == ({}, None, None)


def test_of_a_step_logged_twice_the_later_stays(tmp_path: Path) -> None:
    lines = log_lines(3)
    again = {**lines[1], "loss": {"total": 42.0}}
    log = read_log(write(tmp_path / "log.jsonl", [*lines, again]))
    assert log.curves["loss/total"].value.tolist() == [3.0, 42.0, 3 / 21]


def test_unknown_kinds_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "weather", "sky": "blue"}\n\n{"no": "kind"}\n')
    assert read_log(path).curves == {}


def test_values_that_are_no_finite_number_are_counted(tmp_path: Path) -> None:
    lines = log_lines(4)
    lines[1]["loss"] = {"total": float("nan"), "unary": None, "pairwise": -0.01}
    log = read_log(write(tmp_path / "log.jsonl", lines))
    assert log.not_finite == 2
    assert log.curves["loss/total"].step.tolist() == [0, 20, 30]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_a_log_cut_anywhere_gives_its_whole_lines(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "log.jsonl", log_lines(5))
    data = path.read_bytes()
    kept = data[: int(share * len(data))]
    path.write_bytes(kept)
    log = read_log(path)
    lines = kept.split(b"\n")
    steps = log.curves["loss/total"].step.size if log.curves else 0
    complete = lines[-1] != b"" and kept + b"\n" == data[: len(kept) + 1]
    assert steps == len(lines) - 1 + complete
    assert log.cut == (lines[-1] != b"" and not complete)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{'kind': 'step'}", "is not JSON"),
        ("[1, 2]", "expected a JSON object"),
        ('{"kind": "step", "epoch": 0}', "no whole number at 'step'"),
        ('{"kind": "step", "epoch": 0, "step": 3, "loss": {"total": "low"}}', "at 'total'"),
        ('{"kind": "validation", "step": 3, "rank1": true}', "no number at 'rank1'"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, broken: str, message: str) -> None:
    path = write(tmp_path / "log.jsonl", log_lines(2))
    path.write_text(path.read_text() + broken + "\n" + path.read_text())
    with pytest.raises(BagreidError, match=message) as caught:
        read_log(path)
    assert caught.value.path == path
    assert str(caught.value.position).startswith("line 3")
