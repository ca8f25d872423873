"""Reading evaluations, old ones too, and what is said where something cannot be computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bagreid.contracts import BagreidError, Convention
from bagreid.evaluation import evaluate_features, load_features, write_evaluation
from bagreid.evaluation.needle import needle_curve
from bagreid.evaluation.statistics import wilson_interval
from bagreid.report.comparison.entries import (
    first_ranks,
    needle_of,
    needle_trouble,
    precisions,
    read_entries,
)
from bagreid.report.results import Evaluation, read_evaluation

from .results_of import record, written

FIXTURE = Path(__file__).parents[3] / "reference" / "fixtures" / "evaluation.npz"


def read(path: Path) -> Evaluation:
    found = read_evaluation(path)
    assert found is not None
    return found


@pytest.mark.parametrize("convention", ["sysu30k", "standard"])
def test_a_file_gives_what_the_ranking_gave(tmp_path: Path, convention: Convention) -> None:
    """Several matches a query, same-camera pairs, and queries without a match."""
    mine = tmp_path / "mine.npz"
    with np.load(FIXTURE) as arrays:
        np.savez(mine, **{k.removeprefix("0/"): arrays[k] for k in arrays.files if k[0] == "0"})
        wanted_map = float(
            arrays["0/reference_map" if convention == "sysu30k" else "0/standard_map"]
        )
    loaded = load_features(mine)
    tested = evaluate_features(loaded.query, loaded.gallery, method="mine", convention=convention)
    path = tmp_path / "evaluation.json"
    write_evaluation(tested.record, path)
    [entry] = read_entries([path])
    result = tested.result
    np.testing.assert_array_equal(first_ranks(entry.evaluation), result.first_match_rank)
    np.testing.assert_array_equal(precisions(entry.evaluation), result.average_precision)
    counted = entry.evaluation.counted
    assert precisions(entry.evaluation).sum() / counted == pytest.approx(wanted_map, abs=1e-7)
    for k in (1, 5, 50):
        assert entry.evaluation.interval(k) == result.interval(k)
    curve = needle_of(entry.evaluation)
    np.testing.assert_allclose(curve.share[-1], [result.rank(k) for k in (1, 5, 10)])
    again = needle_curve(result.first_match_rank, result.wrong_answers, convention=convention)
    np.testing.assert_array_equal(curve.share, again.share)


def older(content: dict[str, Any]) -> dict[str, Any]:
    """A file of the time before needle curves."""
    for query in content["queries"]:
        del query["wrong_answers"]
    del content["ties"]
    return content


def test_an_older_file_with_one_match_a_query_has_a_needle_curve(tmp_path: Path) -> None:
    new = read(written(tmp_path / "new.json", record([0, 3, 70])))
    old = read(written(tmp_path / "old.json", older(record([0, 3, 70]))))
    assert needle_trouble(old) is None
    np.testing.assert_array_equal(needle_of(old).share, needle_of(new).share)
    assert old.interval(1) == wilson_interval(1, 3)
    assert old.interval(5) == wilson_interval(2, 3)


@pytest.mark.parametrize("counts", [{"same_camera": 4}, {"matches": 7}, {"junk": None}])
def test_an_older_file_that_leaves_doubt_says_so(tmp_path: Path, counts: dict[str, Any]) -> None:
    content = older(record([0, 3, 70]))
    content["counts"] = {
        key: value for key, value in (content["counts"] | counts).items() if value is not None
    }
    trouble = needle_trouble(read(written(tmp_path / "old.json", content)))
    assert trouble is not None
    assert "does not say how many wrong answers" in trouble


def test_intervals_of_an_older_file_follow_its_convention(tmp_path: Path) -> None:
    for convention, counted in (("sysu30k", 4), ("standard", 3)):
        content = older(record([0, 3, 70, -1], convention=convention))
        found = read(written(tmp_path / "old.json", content))
        assert found.counted == counted
        assert found.interval(1) == wilson_interval(1, counted)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reranking": {"k1": 20}}, "re-ranked"),
        ({"queries": []}, "no single queries"),
    ],
)
def test_what_has_no_needle_curve_says_why(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    found = read(written(tmp_path / "e.json", record([0, 3]) | change))
    assert words in (needle_trouble(found) or "")


def test_impossible_ranks_and_tiny_galleries_have_none(tmp_path: Path) -> None:
    beyond = read(written(tmp_path / "a.json", record([0, 30], wrong=20)))
    assert "behind more images" in (needle_trouble(beyond) or "")
    tiny = read(written(tmp_path / "b.json", record([0, 1], wrong=1)))
    assert "less than two wrong answers" in (needle_trouble(tiny) or "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cmc": [0.9, 0.95]}, "says rank-1 0.9000, its queries give 0.5000"),
        ({"mean_ap": 0.2}, "says mAP 0.2000"),
        ({"convention": "mine"}, "its convention is 'mine'"),
        ({"queries": []}, "holds no query"),
        ({"cmc": [1.5]}, "no share"),
        ({"cmc_interval": [[0.1, 0.2, 0.3]]}, r"'cmc_interval\[0\]' is no pair"),
        ({"cmc_interval": 3}, "no list at 'cmc_interval'"),
    ],
)
def test_files_that_cannot_be_trusted_are_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = written(tmp_path / "e.json", record([0, 3]) | change)
    with pytest.raises(BagreidError, match=words) as caught:
        read_entries([path])
    assert caught.value.path == path


def test_an_absent_file_names_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match=r"is not there\. Write it with bagreid evaluate"):
        read_entries([tmp_path / "absent.json"])
    with pytest.raises(BagreidError, match="is not there"):
        read_entries([tmp_path])


def test_methods_of_one_name_are_told_apart_by_their_files(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "evaluation.json", record([0], method="B"))
    files = [
        written(tmp_path / "one.json", record([0])),
        written(tmp_path / "two.json", record([0])),
        tmp_path / "x",
        tmp_path / "y",
        written(tmp_path / "other.json", record([0], method="C")),
    ]
    names = [entry.name for entry in read_entries(files)]
    assert names[:2] == ["A (one)", "A (two)"]
    assert names[2] == f"B ({tmp_path / 'x' / 'evaluation.json'})"
    assert len(set(names)) == 5
    assert names[4] == "C"
