"""The checks on small archives of other kinds, and their numbers against slow twins."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sample_archives import Contents, newer_outer, write_tar

from bagreid.catalog.bags import BagFile, read_bag_file
from bagreid.catalog.checks import Verdict, check_archive
from bagreid.catalog.checks.bag_numbers import BagNumbers
from bagreid.catalog.checks.folders import number_of
from bagreid.catalog.checks.verdict import all_of, none_of, plural, ranges
from bagreid.catalog.survey import survey_archive


def verdicts(root: Path, *, full: bool = False) -> dict[str, Verdict]:
    return {v.key: v for v in check_archive(survey_archive(root), full=full)}


def odd(found: dict[str, Verdict]) -> dict[str, str]:
    return {key: v.status for key, v in found.items() if v.status != "ok"}


KNOWN = {"bags.duplicates": "note"}
"""Of any archive like the release's: bags at both ends name folders twice."""


def test_every_layout_passes_all_checks(any_layout: tuple[str, Path, str]) -> None:
    name, root, _ = any_layout
    found = odd(verdicts(root))
    if name == "tars_and_extracted_files":  # everything is there twice
        assert found.pop("images.duplicates") == "bad"
    assert found == KNOWN


def test_extracted_archives_have_no_tars_to_check(contents: Contents, tmp_path: Path) -> None:
    found = verdicts(newer_outer(tmp_path, contents))
    assert not [key for key in found if key.startswith("tars.")]
    assert "counts.train_tars" not in found


def test_keys_are_unique_and_name_their_subject(archive: Path) -> None:
    found = check_archive(survey_archive(archive), full=True)
    assert len({v.key for v in found}) == len(found)
    assert all(v.subject and "." in v.key for v in found)


def test_verdicts_of_one_subject_stand_together(archive: Path) -> None:
    found = check_archive(survey_archive(archive), full=False)
    subjects = [v.subject for v in found]
    changes = sum(a != b for a, b in itertools.pairwise(subjects))
    assert changes == len(set(subjects)) - 1


def spoil_bags(archive: Path, change: Callable[[list[dict]], object]) -> None:
    path = archive / "bag_level_label.json"
    bags = json.loads(path.read_text())
    change(bags)
    path.write_text(json.dumps(bags))


def test_bags_of_another_kind_are_held_to_what_they_say_only(archive: Path) -> None:
    """Labels that are no folder numbers, bags that are no windows: as in simulated sets."""

    def change(bags: list[dict]) -> None:
        bags[:] = [
            {"BagLabel": [70, 80], "BagID": "a", "BagImages": ["0000000001/*", "0000000004/*"]},
            {"BagLabel": [80, 90], "BagID": "b", "BagImages": ["0000000002/*", "0000000005/*"]},
            {"BagLabel": [90], "BagID": "c", "BagImages": ["0000000003/*"]},
        ]

    spoil_bags(archive, change)
    found = verdicts(archive)
    assert odd(found) == {}
    assert "bags.windows" not in found
    assert "bags.labels" not in found


def test_an_identity_of_absent_folders_only_has_no_images(archive: Path) -> None:
    def change(bags: list[dict]) -> None:
        bags[:] = [
            {"BagLabel": [70], "BagID": "a", "BagImages": [f"{n:010d}/*" for n in range(1, 6)]},
            {"BagLabel": [70, 90], "BagID": "b", "BagImages": ["0000000044/*"]},
        ]

    spoil_bags(archive, change)
    found = verdicts(archive)
    assert found["bags.identities"].here == 1
    assert "90" in found["bags.identities"].says


def test_two_spellings_of_one_folder_are_bad(contents: Contents, tmp_path: Path) -> None:
    contents.write_tars(tmp_path)
    write_tar(tmp_path / "train" / "more.tar", ["sysu_train_set_all/3/a.jpg"])
    found = verdicts(tmp_path)
    assert found["folders.names"].status == "bad"
    assert "1 number twice" in found["folders.names"].says


def test_gaps_that_nothing_speaks_of_are_a_note(contents: Contents, tmp_path: Path) -> None:
    contents.train = [name for name in contents.train if "/0000000003/" not in name]
    contents.write_tars(tmp_path)
    found = verdicts(tmp_path)
    assert found["folders.gaps"].status == "note"
    assert found["folders.gaps"].examples == ("3",)
    assert found["folders.numbers"].status == "ok"


def test_an_archive_without_a_test_set_is_a_note(contents: Contents, tmp_path: Path) -> None:
    contents.write_tars(tmp_path)
    (tmp_path / "test" / "sysu_test_set_all.tar").unlink()
    found = verdicts(tmp_path)
    assert found["test.images"].status == "note"
    assert verdicts(tmp_path, full=True)["test.images"].status == "bad"


def test_a_test_set_of_several_matches_and_shared_cameras_is_a_note(tmp_path: Path) -> None:
    """As in Market-1501: each query has many matches, and cameras are shared."""
    base = "sysu_test_set_all"
    query = [f"{base}/query/{pid:04d}/{pid:04d}_c1_1.jpg" for pid in (1, 2)]
    gallery = [
        f"{base}/gallery/{pid:04d}/{pid:04d}_c{camera}_{n}.jpg"
        for pid in (1, 2)
        for camera in (1, 2)
        for n in (1, 2)
    ]
    write_tar(tmp_path / "test" / "test.tar", [*query, *gallery])
    found = verdicts(tmp_path)
    assert found["test.matches"].status == "ok"
    assert found["test.several"].status == "note"
    assert found["test.cameras"].status == "note"


def slow_missing_windows(bags: list[set[int]], universe: list[int]) -> Counter[frozenset[int]]:
    """The bags that a file like the released one lacks, written down as in the paper's example."""
    wanted: Counter[frozenset[int]] = Counter()
    for place in range(len(universe)):
        for reach in (0, 1, 2):
            around = range(place - reach, place + reach + 1)
            clamped = {universe[min(max(n, 0), len(universe) - 1)] for n in around}
            wanted[frozenset(clamped)] += 1
    return wanted - Counter(map(frozenset, bags))


@given(
    folders=st.lists(st.integers(1, 40), min_size=3, max_size=12, unique=True).map(sorted),
    dropped=st.sets(st.integers(0, 35), max_size=6),
)
def test_missing_bags_agree_with_a_slow_twin(folders: list[int], dropped: set[int]) -> None:
    windows = [
        {folders[min(max(place + d, 0), len(folders) - 1)] for d in range(-reach, reach + 1)}
        for place in range(len(folders))
        for reach in (0, 1, 2)
    ]
    bags = [window for number, window in enumerate(windows) if number not in dropped]
    numbers = BagNumbers(bag_file(bags), np.array(folders))
    missing = Counter(
        frozenset(n for n in folders if first <= n <= last)
        for first, last in numbers.missing_windows()
    )
    assert missing == slow_missing_windows(bags, folders)


def bag_file(bags: list[set[int]]) -> BagFile:
    """Bags of folders, whose labels are the folders' numbers."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "bags.json"
        objects = [
            {
                "BagLabel": sorted(bag),
                "BagID": f"bag{number}",
                "BagImages": [f"{n:010d}/*" for n in sorted(bag)],
            }
            for number, bag in enumerate(bags)
        ]
        path.write_text(json.dumps(objects))
        return read_bag_file(path)


def test_labels_are_compared_with_folders_bag_by_bag() -> None:
    bags = bag_file([{n} for n in range(1, 21)])
    assert BagNumbers(bags, np.arange(1, 21)).labels_are_folders
    shifted = BagFile(**{name: getattr(bags, name) for name in BagFile.__slots__})
    object.__setattr__(shifted, "label", bags.label + np.int32(1))
    numbers = BagNumbers(shifted, np.arange(1, 21))
    assert len(numbers.bags_with_other_labels) == 20
    assert not numbers.labels_are_folders


def test_folder_names_with_a_number_too_long_are_no_numbers() -> None:
    assert number_of("0000000012") == 12
    assert number_of("9" * 30) is None
    assert number_of("٣") is None
    assert number_of("12a") is None


def test_a_bag_file_of_odd_folder_names_is_judged_without_a_crash(
    contents: Contents, tmp_path: Path
) -> None:
    for bag in contents.bags:
        bag["BagImages"] = [name.replace("0000000002", "tw\u00f6") for name in bag["BagImages"]]
    contents.write_tars(tmp_path)
    contents.write_bags(tmp_path / "bag_level_label.json")
    found = verdicts(tmp_path)
    assert found["bags.absent_folders"].examples == ("tw\u00f6",)
    assert found["bags.lonely_folders"].examples == ("0000000002",)


def test_examples_stop_at_ten() -> None:
    verdict = none_of("a.b", "things", 40, says="", examples=(str(n) for n in range(40)))
    assert len(verdict.examples) == 10
    assert verdict.difference == 40


def test_all_of_says_nothing_where_all_is_there() -> None:
    verdict = all_of("a.b", "things", 3, 3, says="no", examples=["x"], remedy="do")
    assert (verdict.status, verdict.says, verdict.examples, verdict.remedy) == ("ok", "", (), "")


def test_numbers_are_written_as_people_do() -> None:
    assert ranges([1, 2, 3, 7, 9, 10]) == ["1-3", "7", "9-10"]
    assert plural(1, "bag") == "1 bag"
    assert plural(1200, "identity", "identities") == "1,200 identities"
