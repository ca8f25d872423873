"""What is no error has a stated rule: zeros, repeats, names as identities, ignored cameras."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bagreid.contracts import BagreidError
from bagreid.evaluation import Evaluation, LoadedFeatures, evaluate_features, load_features

from .people import people, write_npz


def judged(loaded: LoadedFeatures, **options: Any) -> Evaluation:
    evaluation = evaluate_features(*loaded, method="mine", convention="standard", **options)
    loaded.annotate(evaluation.record)
    return evaluation


def test_zeros_score_zero_and_are_counted(tmp_path: Path) -> None:
    arrays = people()
    arrays["query_feature"][3] = 0
    arrays["gallery_feature"][[5, 50]] = 0
    arrays["gallery_feature"][51] = -0.0
    loaded = load_features(*write_npz(tmp_path, arrays))
    assert (loaded.facts.zero_queries, loaded.facts.zero_gallery) == (1, 3)
    assert loaded.facts.notes() == [
        "1 queries and 3 gallery images have features of zeros: they score 0 with everybody."
    ]
    evaluation = judged(loaded)
    query = evaluation.record["queries"][3]
    # every wrong answer ties with the match, and ties are pessimistic
    assert query["match"]["score"] == 0
    assert query["first_match_rank"] == query["wrong_answers"]
    assert evaluation.record["input"]["zero_gallery"] == 3


@pytest.mark.parametrize("scale", [1e-30, 1e-44, 1e17 / 24])
def test_tiny_and_large_features_are_no_zeros(scale: float, tmp_path: Path) -> None:
    arrays = people()
    arrays["gallery_feature"] = np.sign(arrays["gallery_feature"]) * np.float32(scale)
    assert load_features(*write_npz(tmp_path, arrays)).facts.zero_gallery == 0


def test_repeated_queries_are_counted_and_each_counts(tmp_path: Path) -> None:
    arrays = people()
    arrays["query_feature"][[4, 5]] = arrays["query_feature"][2]
    arrays["query_feature"][[6, 7]] = 0
    arrays["query_name"][5] = arrays["query_name"][0]
    arrays["query_name"][8] = arrays["query_name"][0]
    loaded = load_features(*write_npz(tmp_path, arrays))
    assert loaded.facts.repeated_queries == 3
    assert "3 queries repeat an earlier one" in loaded.facts.notes()[1]
    assert judged(loaded).result.counts.queries == 12


def test_zeros_of_either_sign_repeat(tmp_path: Path) -> None:
    arrays = people()
    arrays["query_feature"][1] = arrays["query_feature"][0]
    arrays["query_feature"][0, 2], arrays["query_feature"][1, 2] = 0.0, -0.0
    assert load_features(*write_npz(tmp_path, arrays)).facts.repeated_queries == 1


def test_images_on_both_sides_are_said(tmp_path: Path) -> None:
    arrays = people()
    arrays["gallery_name"][:2] = arrays["query_name"][:2]
    facts = load_features(*write_npz(tmp_path, arrays)).facts
    assert facts.shared_names == 2
    assert "2 images stand among the queries and in the gallery" in facts.notes()[0]


def test_names_as_identities_and_cameras(tmp_path: Path) -> None:
    arrays = people()
    by_number = judged(load_features(*write_npz(tmp_path, arrays)))
    for side in ("query", "gallery"):
        arrays[f"{side}_camid"] = np.array([f"cam-{n}" for n in arrays[f"{side}_camid"]])
        arrays[f"{side}_pid"] = np.array(
            # junk and distractors have no names: each becomes somebody of its own
            [f"p{n}" if n > 0 else f"x{row}" for row, n in enumerate(arrays[f"{side}_pid"])]
        )
    loaded = load_features(*write_npz(tmp_path, arrays))
    evaluation = judged(loaded)
    assert evaluation.result.counts.matches == by_number.result.counts.matches
    assert evaluation.result.counts.junk == 0
    people_named = len({*arrays["query_pid"], *arrays["gallery_pid"]})
    said = f"Identities are {people_named} names: nobody is junk or a distractor."
    assert loaded.facts.notes()[0] == said
    assert loaded.facts.named_cameras == len(set(arrays["gallery_camid"]))
    record = evaluation.record
    first = record["queries"][0]
    assert record["identities"][str(first["pid"])] == "p1"
    assert record["cameras"][str(first["camid"])] == "cam-1"
    shown = {image["pid"] for query in record["queries"] for image in [query, *query["top"]]}
    assert {str(pid) for pid in shown} <= set(record["identities"])
    assert "identities" not in by_number.record


def test_whole_numbers_in_digits_are_numbers(tmp_path: Path) -> None:
    arrays = people()
    for side in ("query", "gallery"):
        arrays[f"{side}_pid"] = np.array([str(pid) for pid in arrays[f"{side}_pid"]])
    arrays["query_camid"] = np.array([b"01"] * 12)
    loaded = load_features(*write_npz(tmp_path, arrays))
    assert loaded.identities is loaded.cameras is None
    assert (loaded.gallery.pids == -1).any()
    assert loaded.query.camids.tolist() == [1] * 12


def test_queries_lost_to_the_camera_filter_are_counted(tmp_path: Path) -> None:
    arrays = people()
    arrays["gallery_camid"][:3] = 1
    arrays["gallery_pid"][24:] = -1000
    evaluation = judged(load_features(*write_npz(tmp_path, arrays)))
    counts = evaluation.record["counts"]
    assert counts["queries_without_match"] == counts["queries_lost_to_cameras"] == 3
    assert counts["same_camera"] == 15


def test_ignored_cameras(tmp_path: Path) -> None:
    arrays = people()
    arrays["gallery_camid"][:] = arrays["query_camid"][:] = 7
    (path,) = write_npz(tmp_path, arrays)
    with pytest.raises(BagreidError, match="--ignore-cameras"):
        load_features(path)
    for side in ("query", "gallery"):
        del arrays[f"{side}_name"]
    known = judged(load_features(path, ignore_cameras=True), ignore_cameras=True)
    for side in ("query", "gallery"):
        del arrays[f"{side}_camid"]
    (path,) = write_npz(tmp_path, arrays)
    unknown = judged(load_features(path, ignore_cameras=True), ignore_cameras=True)
    for evaluation in (known, unknown):
        assert evaluation.result.counts.same_camera == 0
        assert evaluation.result.counts.matches == 24
        assert evaluation.record["camera_filter"] is False
    np.testing.assert_array_equal(known.result.top_index, unknown.result.top_index)
    arrays["gallery_pid"] += 10**6
    (path,) = write_npz(tmp_path, arrays)
    with pytest.raises(BagreidError, match="none of the 12 queries"):
        load_features(path, ignore_cameras=True)
