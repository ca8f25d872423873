"""Reading the result files, and what is said about broken ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bagreid.contracts import BagreidError
from bagreid.report.results import read_evaluation, read_pseudo_labels
from bagreid.report.work_dir import read_work_dir

from .fabricate import edit, evaluation, make_demo, make_run, pseudo_labels


def test_an_evaluation_is_read_as_written(tmp_path: Path, archive: Path) -> None:
    written = evaluation(archive)
    (tmp_path / "evaluation.json").write_text(json.dumps(written))
    read = read_evaluation(tmp_path / "evaluation.json")
    assert read is not None
    assert list(read.cmc) == written["cmc"]
    assert read.mean_ap == written["mean_ap"]
    assert read.mean_inp is None
    assert [query.rank for query in read.queries] == [
        query["first_match_rank"] + 1 for query in written["queries"]
    ]
    assert (read.rank(1), read.rank(51)) == (written["cmc"][0], None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "bagreid.evaluation/9"}, "its schema is 'bagreid.evaluation/9'"),
        ({"mean_ap": ...}, "no number at 'mean_ap'"),
        ({"cmc": []}, "an empty 'cmc'"),
        ({"cmc": [0.1, "x"]}, "'cmc' holds something that is no number"),
        ({"rank1_interval": [0.1]}, "other than two ends"),
        ({"counts": [1]}, "expected a JSON object"),
        ({"queries": [{"pid": 3}]}, "no whole number at 'first_match_rank'"),
    ],
)
def test_a_broken_evaluation_is_refused(
    tmp_path: Path, archive: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(evaluation(archive)))
    edit(path, **change)
    with pytest.raises(BagreidError, match=message) as caught:
        read_evaluation(path)
    assert caught.value.path == path


def test_text_that_is_no_json_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text('{"schema":\n oops}')
    with pytest.raises(BagreidError) as caught:
        read_evaluation(path)
    assert caught.value.position == "line 2, column 2"


def test_pseudo_labels_are_sorted_and_measured(tmp_path: Path, archive: Path) -> None:
    arrays = pseudo_labels(archive)
    mixed = np.random.default_rng(0).permutation(arrays["rows"].size)
    for key in ("rows", "pseudo_label", "confidence", "truth"):
        arrays[key] = arrays[key][mixed]
    np.savez(tmp_path / "pseudo_labels.npz", **arrays)
    labels = read_pseudo_labels(tmp_path / "pseudo_labels.npz")
    assert labels is not None
    assert labels.rows.tolist() == list(range(40))
    assert labels.accuracy == 35 / 40
    assert labels.root == str(archive)


def test_images_without_a_label_are_counted_not_shown(tmp_path: Path, archive: Path) -> None:
    arrays = pseudo_labels(archive)
    arrays["pseudo_label"][[2, 30]] = -1
    np.savez(tmp_path / "pseudo_labels.npz", **arrays)
    labels = read_pseudo_labels(tmp_path / "pseudo_labels.npz")
    assert labels is not None
    assert (labels.rows.size, labels.unlabelled) == (38, 2)
    assert 30 not in labels.rows


def test_unknown_truth_gives_no_accuracy(tmp_path: Path, archive: Path) -> None:
    arrays = pseudo_labels(archive) | {"truth": np.full(40, -1)}
    np.savez(tmp_path / "pseudo_labels.npz", **arrays)
    labels = read_pseudo_labels(tmp_path / "pseudo_labels.npz")
    assert labels is not None
    assert labels.accuracy is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"rows": np.arange(3)},
        {"truth": np.arange(3)},
        {"pseudo_label": np.full(40, 99)},
        {"confidence": np.array([{}, {}], dtype=object)},
    ],
    ids=["rows of another length", "truth of another length", "a class too many", "pickled"],
)
def test_broken_pseudo_labels_are_refused(
    tmp_path: Path, archive: Path, arrays: dict[str, Any]
) -> None:
    np.savez(tmp_path / "pseudo_labels.npz", **(pseudo_labels(archive) | arrays))
    with pytest.raises(BagreidError) as caught:
        read_pseudo_labels(tmp_path / "pseudo_labels.npz")
    assert caught.value.path == tmp_path / "pseudo_labels.npz"


def test_a_cut_archive_of_pseudo_labels_is_refused(tmp_path: Path, archive: Path) -> None:
    path = tmp_path / "pseudo_labels.npz"
    np.savez(path, **pseudo_labels(archive))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BagreidError, match="holds no pseudo labels"):
        read_pseudo_labels(path)


def test_a_demo_keeps_the_order_and_the_numbers_of_its_comparison(
    tmp_path: Path, archive: Path
) -> None:
    work = read_work_dir(make_demo(tmp_path / "demo", archive))
    assert [method.name for method in work.methods] == ["DGL", "Truth", "Colour histogram"]
    assert [method.pseudo_label_accuracy for method in work.methods] == [0.875, None, None]
    assert [method.seconds for method in work.methods] == [300.0, 280.5, 4.0]
    assert work.compared
    assert work.methods[2].config is None


def test_a_folder_that_is_no_work_dir_is_refused(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(BagreidError, match="is no folder"):
        read_work_dir(tmp_path / "nowhere")
    with pytest.raises(BagreidError, match=r"neither config\.json nor comparison\.json"):
        read_work_dir(tmp_path)
    make_run(tmp_path / "dgl", archive)
    with pytest.raises(BagreidError, match="Name one of the runs in it: dgl"):
        read_work_dir(tmp_path)
