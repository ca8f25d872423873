"""What is asked of an archive that is meant to be the whole of SYSU-30k, on fabricated columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sample_archives import Contents, downloaded_lists_at_root

from bagreid.catalog.bags import BagFile
from bagreid.catalog.checks import Verdict, check_archive, why_whole
from bagreid.catalog.findings import Findings, ListFinding
from bagreid.catalog.members import Members
from bagreid.catalog.survey import Survey, TarReport, survey_archive

FOLDERS, QUERIES, OTHERS, TRAIN = 28_310, 1_000, 478_730, 29_126_188


@pytest.fixture
def small(contents: Contents, tmp_path: Path) -> Survey:
    return survey_archive(downloaded_lists_at_root(tmp_path, contents))


def make_members(folders: int = FOLDERS) -> Members:
    """One image a folder, and the whole test set."""
    pid = np.arange(FOLDERS + 1, FOLDERS + QUERIES + 1)
    split = np.repeat([0, 1, 2], [folders, QUERIES, QUERIES + OTHERS])
    group = np.concatenate([np.arange(folders), pid, pid, np.full(OTHERS, -1000)])
    n = len(split)
    return Members(
        shard=np.zeros(n, np.uint16),
        block=np.arange(n, dtype=np.uint32),
        size=np.ones(n, np.uint32),
        split=split.astype(np.int8),
        group=group.astype(np.int32),
        camera=np.repeat([0, 2, 1], [folders, QUERIES, QUERIES + OTHERS]).astype(np.int16),
        key=np.arange(n, dtype=np.uint64),
    )


def make_bags(folders: int = FOLDERS) -> BagFile:
    """The released bags, as they are inferred: of 1, 3 and 5 neighbours, clamped."""
    place, reach = np.divmod(np.arange(3 * folders), 3)
    first = np.maximum(place - reach, 0)
    last = np.minimum(place + reach, folders - 1)
    offset = np.concatenate([[0], np.cumsum(last - first + 1)])
    folder = np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)])
    return BagFile(
        bag_id=pa.array([f"bag{n + 3:010d}" for n in range(3 * folders)], pa.large_string()),
        folder_name=pa.array([f"{n + 1:010d}" for n in range(folders)], pa.large_string()),
        folder_offset=offset,
        folder=folder.astype(np.int32),
        label_offset=offset,
        label=(folder + 1).astype(np.int32),
    )


@pytest.fixture(scope="module")
def bags() -> BagFile:
    return make_bags()


@pytest.fixture
def whole(small: Survey, bags: BagFile) -> Survey:
    """A survey that has all but most train images."""
    small.members = make_members()
    small.folder_names = [f"{n + 1:010d}" for n in range(FOLDERS)]
    small.bags = bags
    report = small.tars[0]
    assert isinstance(report, TarReport)
    small.tars = tuple(
        replace(
            report,
            path=small.root / (f"train/part{part}.tar" if part < 11 else "test/test.tar"),
            side="train" if part < 11 else "test",
        )
        for part in range(1, 12)
    )
    small.findings = Findings()
    return small


def bad(survey: Survey) -> dict[str, Verdict]:
    found = {v.key: v for v in check_archive(survey, full=True) if v.status == "bad"}
    # One image stands for each folder's thousand.
    assert found.pop("counts.images").difference == FOLDERS - TRAIN
    assert found.pop("counts.train_images").difference == FOLDERS - TRAIN
    return found


def test_the_whole_set_passes(whole: Survey) -> None:
    assert bad(whole) == {}


def test_people_among_the_nameless_distractors_cannot_be_counted(whole: Survey) -> None:
    """28,310 of the bags and 1,000 of the queries have numbers; 30,508 are published."""
    found = {v.key: v for v in check_archive(whole, full=True)}["counts.identities"]
    assert (found.status, found.here, found.expected) == ("note", 29_310, 30_508)
    whole.members = whole.members.take(np.flatnonzero(whole.members.split == 0))
    found = {v.key: v for v in check_archive(whole, full=True)}["counts.identities"]
    assert (found.status, found.here) == ("bad", 28_310)


def test_missing_folders_are_named_by_number(whole: Survey) -> None:
    gone = {5, 6, 7, 28_310}
    whole.folder_names = [name for name in whole.folder_names if int(name) not in gone]
    whole.members = make_members(FOLDERS - 4)
    whole.absent_bag_folders = tuple(f"{n:010d}" for n in sorted(gone))
    found = {v.key: v for v in check_archive(whole, full=True) if v.status == "bad"}
    assert found["folders.numbers"].difference == -4
    assert "5-7, 28310" in found["folders.numbers"].says
    assert found["bags.absent_folders"].here == 4
    # 5, 6, 7 and 28,310 lie in 3 + 3 + 3 windows each, clamped ones and shared ones once.
    assert found["bags.absent_folders"].says == f"4 folders named by {bags_of(gone)} bags"
    assert found["bags.identities"].here == 4


def bags_of(folders: set[int]) -> int:
    return sum(
        any(max(middle - reach, 1) <= n <= min(middle + reach, FOLDERS) for n in folders)
        for middle in range(1, FOLDERS + 1)
        for reach in (0, 1, 2)
    )


def test_folders_beyond_the_last_are_bad(whole: Survey) -> None:
    whole.folder_names = [*whole.folder_names, "0000028311"]
    found = {v.key: v for v in check_archive(whole, full=True) if v.status == "bad"}
    assert found["folders.beyond"].here == 1
    assert found["folders.numbers" if "folders.numbers" in found else "folders.beyond"].here == 1
    assert found["counts.train_folders"].difference == 1


def test_a_missing_bag_is_missed(whole: Survey, bags: BagFile) -> None:
    whole.bags = BagFile(
        bag_id=bags.bag_id[:-1],
        folder_name=bags.folder_name,
        folder_offset=bags.folder_offset[:-1],
        folder=bags.folder[: bags.folder_offset[-2]],
        label_offset=bags.label_offset[:-1],
        label=bags.label[: bags.label_offset[-2]],
    )
    found = bad(whole)
    assert found.pop("counts.bags").difference == -1
    assert found.pop("bags.windows").examples == ("folders 28308-28310",)
    assert found == {}


def test_a_missing_distractor_is_missed(whole: Survey) -> None:
    whole.members = whole.members.take(np.arange(len(whole.members) - 1))
    found = {v.key: v for v in check_archive(whole, full=True) if v.status == "bad"}
    assert found["counts.gallery_images"].difference == -1
    assert found["test.others"].difference == -1


def test_another_camera_is_bad_only_by_the_published_protocol(whole: Survey) -> None:
    whole.members.camera[FOLDERS] = 3
    found = bad(whole)
    assert found.pop("test.camera_numbers").here == 1
    assert found == {}


def test_missing_lists_are_bad(whole: Survey) -> None:
    assert whole.layout is not None
    whole.layout = replace(whole.layout, lists={})
    assert list(bad(whole)) == ["lists.files"]


def test_a_small_archive_shows_no_sign_of_the_whole(small: Survey) -> None:
    assert why_whole(small) is None


def list_of(split: str, lines: int) -> ListFinding:
    return ListFinding(
        file=f"{split}.txt",
        split=split,
        lines=lines,
        repeated=0,
        absent=lines,
        first_absent=(),
        unlisted=0,
        first_unlisted=(),
    )


def test_lists_of_full_length_are_a_sign(small: Survey) -> None:
    small.findings = replace(small.findings, lists=(list_of("train", TRAIN),))
    assert why_whole(small) == "its train list has 29,126,188 names"
    small.findings = replace(small.findings, lists=(list_of("gallery", 479_730),))
    assert why_whole(small) == "its gallery list has 479,730 names"


def test_a_bag_file_of_full_length_is_a_sign(small: Survey, bags: BagFile) -> None:
    small.bags = bags
    assert why_whole(small) == "its bag file has 84,930 bags"


def test_high_folder_numbers_are_a_sign(small: Survey) -> None:
    """Only part 10 arrived."""
    small.folder_names = [f"{n:010d}" for n in range(26_000, 26_005)]
    assert why_whole(small) == "its folders' numbers reach 26,004"


def test_queries_numbered_behind_the_folders_are_a_sign(small: Survey) -> None:
    rows = small.split("query")
    small.members.group[rows.start : rows.stop] += FOLDERS
    assert (why_whole(small) or "").startswith("its queries' people are numbered from 28,31")


def test_a_synthetic_archive_of_that_size_gives_itself_away(small: Survey, bags: BagFile) -> None:
    small.bags = bags
    assert small.layout is not None
    small.layout = replace(small.layout, truth_file=small.root / "truth.csv")
    assert why_whole(small) is None
