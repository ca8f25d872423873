"""The plan of an archive: names, bags, and who is on which picture."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.data.synthetic import layout
from bagreid.data.synthetic.config import SyntheticConfig


def all_entries(config: SyntheticConfig, kind: str) -> list[layout.Entry]:
    return [
        entry
        for chunk in layout.chunks(config)
        if chunk.kind == kind
        for entry in layout.entries(config, chunk)
    ]


def test_the_example_of_the_release_has_its_number() -> None:
    bags = dict(layout.bag_folders(20))
    assert bags[10] == [2, 3, 4]
    assert bags[9] == [3]
    assert bags[11] == [1, 2, 3, 4, 5]


def test_bags_are_clamped_with_their_duplicates() -> None:
    bags = dict(layout.bag_folders(8))
    assert len(bags) == 24
    assert bags[4] == [1, 1, 2]
    assert bags[5] == [1, 1, 1, 2, 3]
    assert bags[3 * 8 + 2] == [6, 7, 8, 8, 8]


@settings(max_examples=30, deadline=None)
@given(people=st.integers(8, 60), folder=st.integers(1, 60), purity=st.floats(0.05, 1.0))
def test_others_live_within_two_folders(people: int, folder: int, purity: float) -> None:
    folder = min(folder, people)
    config = SyntheticConfig(people=people, images_per_folder=200, purity=purity, seed=people)
    seen = layout.folder_people(config, folder)
    assert len(seen) == 200
    assert abs(seen - folder).max() <= layout.REACH
    assert seen.min() >= 1
    assert seen.max() <= people


@pytest.mark.parametrize("purity", [0.3, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("images", [3, 32])
def test_purity_is_near_what_was_asked(purity: float, images: int) -> None:
    config = SyntheticConfig(people=600, images_per_folder=images, purity=purity)
    folders = range(1, config.people + 1)
    own = np.mean([layout.folder_people(config, folder) == folder for folder in folders])
    assert own == pytest.approx(purity, abs=0.03 if purity < 1 else 0)


def test_each_width_of_bag_holds_its_share_of_the_truth() -> None:
    config = SyntheticConfig(people=500, images_per_folder=32)
    away = np.concatenate(
        [abs(layout.folder_people(config, folder) - folder) for folder in range(3, 499)]
    )
    shares = [np.mean(away <= reach) for reach in (0, 1, 2)]
    assert shares == pytest.approx([0.7, 0.88, 1.0], abs=0.02)


def test_names_are_unique_and_spelt_as_in_the_release() -> None:
    config = SyntheticConfig(people=9, images_per_folder=70, queries=5, distractors=140)
    names = [e.name for kind in ("train", "query", "gallery") for e in all_entries(config, kind)]
    assert len(set(names)) == len(names) == config.images
    assert names[0] == "sysu_train_set_all/0000000001/0000000001_000001.jpg"
    assert "sysu_test_set_all/query/000000010/000000010_c2_1.jpg" in names
    assert "sysu_test_set_all/gallery/000000010/000000010_c1_1.jpg" in names
    assert names[-1] == "sysu_test_set_all/gallery/0000others/0000others_c1_140.jpg"


def test_test_people_are_new_and_each_query_has_one_match() -> None:
    config = SyntheticConfig(people=10, queries=30, distractors=200)
    train = {entry.shot.person for entry in all_entries(config, "train")}
    query = [entry.shot.person for entry in all_entries(config, "query")]
    gallery = Counter(entry.shot.person for entry in all_entries(config, "gallery"))
    assert train <= set(range(1, 11))
    assert len(set(query)) == 30
    assert not train & set(query)
    assert not train & set(gallery)
    assert all(gallery[person] == 1 for person in query)
    assert len(set(gallery) - set(query)) == 100


def test_query_and_gallery_share_no_place_with_each_other_or_with_training() -> None:
    config = SyntheticConfig(people=10, queries=40, distractors=100)
    train, query, gallery = (
        {entry.shot.place for entry in all_entries(config, kind)}
        for kind in ("train", "query", "gallery")
    )
    assert not train & query
    assert not train & gallery
    assert not query & gallery


def test_a_track_keeps_its_place_and_lasts_some_frames() -> None:
    config = SyntheticConfig(people=8, images_per_folder=64)
    tracks: dict[tuple[int, ...], list[layout.Entry]] = {}
    for entry in all_entries(config, "train"):
        tracks.setdefault(entry.shot.track, []).append(entry)
    for entries in tracks.values():
        assert len({entry.shot.place for entry in entries}) == 1
        assert len({entry.shot.person for entry in entries}) == 1
        frames = [entry.shot.frame for entry in entries]
        assert frames == sorted(set(frames))
    assert np.mean([len(entries) for entries in tracks.values()]) > 1.5


def test_pictures_do_not_depend_on_how_the_work_is_cut() -> None:
    config = SyntheticConfig(people=8, images_per_folder=100)
    whole = layout.entries(config, layout.Chunk("train", 3, 0, 100))
    cut = [
        entry
        for chunk in layout.chunks(config)
        if chunk.group == 3
        for entry in layout.entries(config, chunk)
    ]
    assert cut == whole


@pytest.mark.parametrize(("people", "parts"), [(8, 2), (999, 2), (1000, 10), (28310, 10)])
def test_tars_hold_equal_runs_of_folders(people: int, parts: int) -> None:
    config = SyntheticConfig(people=people)
    names = [
        layout.tar_name(config, layout.Chunk("train", folder, 0, 1))
        for folder in range(1, people + 1)
    ]
    runs = list(dict.fromkeys(names))
    assert runs == [f"train/sysu_train_set_all_part{n}.tar" for n in range(1, parts + 1)]
    assert names == sorted(names, key=runs.index)
    sizes = Counter(names).values()
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": 7}, {"images_per_folder": 0}, {"queries": 0}, {"distractors": -1},
        {"purity": 0.0}, {"purity": 1.1}, {"seed": -1}, {"shortest_edge": 8}, {"cameras": 0},
        {"train_parts": 0}, {"train_parts": 65},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SyntheticConfig(**wrong)  # type: ignore[arg-type]
