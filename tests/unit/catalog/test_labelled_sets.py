"""Market-1501, DukeMTMC-reID, MSMT17 and CUHK03, read in place from their published layouts."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bagreid.catalog import BagSimulation, Catalog, open_catalog
from bagreid.catalog import quarantine as known_broken
from bagreid.catalog.labelled.market import NAME as MARKET_NAME
from bagreid.catalog.labelled.msmt17 import NAME as MSMT17_NAME
from bagreid.catalog.layouts.labelled import TITLES
from bagreid.catalog.published import PUBLISHED_LABELLED
from bagreid.cli.main import main
from bagreid.contracts import DISTRACTOR_PID, JUNK_PID, BagreidError
from bagreid.plan import PlanConfig, make_bag_plan
from labelled_sets import KINDS, PLACES, Kind, SmallSet

IMAGES = (9, 4, 5, 1, 8, 7)


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest) -> SmallSet:
    return SmallSet(request.param, IMAGES)


def key_of(kind: Kind) -> str:
    return "msmt17" if kind.startswith("msmt17") else kind


def people_of(catalog: Catalog) -> np.ndarray:
    """The number of each train image's person, read from its name."""
    names = [catalog.name(row) for row in catalog.split("train")]
    return np.array([int(name.rpartition("/")[2].split("_")[0]) for name in names])


def test_everything_is_where_the_layout_says(made: SmallSet, tmp_path: Path) -> None:
    root = made.write(tmp_path)
    catalog = open_catalog(root)
    assert catalog.labelled == key_of(made.kind)
    assert TITLES[catalog.labelled] in catalog.layout
    assert len(catalog.split("train")) == sum(IMAGES)
    nobody = [(DISTRACTOR_PID, 3)] * 2 + [(JUNK_PID, 3)] * 2 if made.kind == "market1501" else []
    for split in ("query", "gallery"):
        rows = catalog.split(split)
        seen = zip(catalog.group[rows.start : rows.stop].tolist(),
                   catalog.camera[rows.start : rows.stop].tolist(), strict=True)  # fmt: skip
        expected = [(pid, camera) for pid, camera, _ in made.entries(split)]
        assert Counter(seen) == Counter(expected + (nobody if split == "gallery" else []))
    assert np.array_equal(catalog.identities, np.unique(people_of(catalog)))
    assert np.array_equal(catalog.identities[catalog.truth()], people_of(catalog))
    for row in range(len(catalog)):
        path = root / catalog.name(row)
        assert bytes(catalog.read(row)) == path.read_bytes()
        assert catalog.ref(row).path == path
    assert catalog.check_test_protocol().matches == 2 * made.queries


def test_any_level_of_folders_is_the_same_set(made: SmallSet, tmp_path: Path) -> None:
    root = made.write(tmp_path)
    inside = root / made.parts["gallery"]
    catalog = open_catalog(root)
    for named in (root.parent, root.parent.parent, inside):
        other = open_catalog(named)
        assert (other.root, other.directory) == (catalog.root, catalog.directory)
    link = tmp_path / "link"
    link.symlink_to(root.parent)
    linked = open_catalog(link)
    assert len(open_catalog(tmp_path)) == len(catalog)  # two ways to one set are one set
    assert linked.directory == catalog.directory
    assert [linked.name(row) for row in range(len(linked))] == [
        catalog.name(row) for row in range(len(catalog))
    ]


def test_msmt17_keeps_the_order_of_its_lists_for_the_test_set(tmp_path: Path) -> None:
    root = SmallSet("msmt17_v1").write(tmp_path)
    catalog = open_catalog(root)
    for split in ("query", "gallery"):
        lines = (root / f"list_{split}.txt").read_text().splitlines()
        names = [catalog.name(row) for row in catalog.split(split)]
        assert names == [f"test/{line.split()[0]}" for line in lines]


def test_a_folder_is_a_bag_of_some_people(made: SmallSet, tmp_path: Path) -> None:
    catalog = open_catalog(made.write(tmp_path))
    bags, truth = catalog.bags, catalog.truth()
    assert len(bags) == len(catalog.folder_names) == 6  # eleven runs of at most four images
    assert bags.bag_id == catalog.folder_names
    for bag in range(len(bags)):
        assert bags.folders(bag).tolist() == [bag]
        rows = slice(int(catalog.folder_start[bag]), int(catalog.folder_stop[bag]))
        assert np.array_equal(np.unique(truth[rows]), bags.labels(bag))
        assert 1 <= len(bags.labels(bag)) <= 2
        assert np.bincount(truth[rows]).max() <= 4
    assert catalog.folder_start[0] == 0
    assert catalog.folder_stop[-1] == sum(IMAGES)
    told = " ".join(catalog.findings.notes)
    assert "6 bags are simulated" in told
    assert "2 people a bag, 4 images each, by seed 0" in told
    assert "1 of the bags hold fewer than 2 people" in told


def test_a_group_of_the_released_plan_is_one_bag(tmp_path: Path) -> None:
    catalog = open_catalog(SmallSet("market1501", (8,) * 20).write(tmp_path))
    bags = (catalog.bags.folder_offset, catalog.bags.folder)
    config = PlanConfig(kind="bag_file", groups=8, images_per_group=8)
    plan = make_bag_plan(catalog.folder_start, catalog.folder_stop, bags, config, seed=0)
    truth, shown = catalog.truth(), Counter[int]()
    for step in range(plan.steps_per_epoch):
        batch = plan.batch(0, step)
        assert len(batch.rows) == 64
        for group in range(8):
            rows, bag = batch.rows[batch.groups == group], batch.bags[batch.groups == group]
            assert len(set(bag.tolist())) == 1
            start, stop = catalog.folder_start[bag[0]], catalog.folder_stop[bag[0]]
            assert sorted(rows.tolist()) == list(range(start, stop))
            assert sorted(Counter(truth[rows].tolist()).values()) == [4, 4]
        shown.update(batch.rows.tolist())
    assert plan.steps_per_epoch == 3  # twenty bags; the last batch shows four of them again
    assert set(shown) == set(range(160))
    assert sum(shown.values()) == 192
    assert plan.left_out == 0


def test_other_bags_have_catalogs_of_their_own(tmp_path: Path) -> None:
    root = SmallSet("market1501").write(tmp_path)
    one, same = open_catalog(root), open_catalog(root, simulation=BagSimulation())
    other = open_catalog(root, simulation=BagSimulation(seed=1))
    small = open_catalog(root, simulation=BagSimulation(people=1, images=2))
    assert one.directory == same.directory
    assert len({one.directory, other.directory, small.directory}) == 3
    assert all(catalog.directory.is_dir() for catalog in (one, other, small))
    assert not np.array_equal(one.truth(), other.truth())
    assert np.array_equal(np.diff(small.bags.label_offset), np.ones(len(small.bags)))
    test = one.split("query")
    assert [one.name(row) for row in test] == [other.name(row) for row in test]
    # an image more makes the old catalogs stale, each in its turn
    made = SmallSet("market1501")
    (root / "query" / made.name("query", 7, 2, 5)).write_bytes(bytes(one.read(0)))
    fresh = open_catalog(root)
    assert len(fresh) == len(one) + 1
    assert not one.directory.exists()
    assert other.directory.exists()


@pytest.mark.parametrize(
    ("kind", "folder", "name"),
    [
        ("market1501", "query", "holiday.jpg"),
        ("dukemtmc", "bounding_box_train", "0001_f0046182.jpg"),
        ("cuhk03", "bounding_box_test", "person.png"),
    ],
)
def test_misnamed_images_are_refused_with_their_number(
    tmp_path: Path, kind: Kind, folder: str, name: str
) -> None:
    root = SmallSet(kind).write(tmp_path)
    for place in (name, f"z{name}"):
        (root / folder / place).write_bytes(b"x")
    with pytest.raises(BagreidError) as error:
        open_catalog(root)
    assert error.value.path == root / folder / name
    assert "nor are 1 others" in error.value.message
    assert error.value.remedy is not None
    assert main(["verify", str(root), "--json", str(tmp_path / "v.json")]) == 1
    found = orjson.loads((tmp_path / "v.json").read_bytes())
    (names,) = [check for check in found["checks"] if check["key"] == "images.names"]
    assert (names["status"], names["here"]) == ("bad", 2)
    assert f"{folder}/{name}" in names["examples"]


def test_a_misnamed_image_of_msmt17_is_refused(tmp_path: Path) -> None:
    root = SmallSet("msmt17_v1").write(tmp_path)
    (root / "test" / "0000" / "holiday.jpg").write_bytes(b"x")
    with (root / "list_gallery.txt").open("a") as file:
        file.write("0000/holiday.jpg 0\n")
    with pytest.raises(BagreidError, match="no image's name") as error:
        open_catalog(root)
    assert error.value.path == root / "test/0000/holiday.jpg"


def test_what_is_no_image_is_counted(tmp_path: Path) -> None:
    root = SmallSet("market1501").write(tmp_path)
    (root / "query" / "._0007_c1s1_000000_00.jpg").write_bytes(b"x")
    assert open_catalog(root).findings.not_images == 2  # and Thumbs.db


def test_train_images_of_nobody_are_left_out_and_told(tmp_path: Path) -> None:
    made = SmallSet("market1501")
    root = made.write(tmp_path)
    for pid in (0, -1):
        (root / "bounding_box_train" / made.name("train", pid, 1, 7)).write_bytes(b"x")
    catalog = open_catalog(root)
    assert len(catalog.split("train")) == sum(IMAGES)
    assert any(note.startswith("2 train images of nobody") for note in catalog.findings.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_part_is_named(tmp_path: Path, kind: Kind) -> None:
    made = SmallSet(kind)
    root = made.write(tmp_path)
    parts = sorted({root / part for part in made.parts.values()})
    parts += sorted(root.glob("list_*.txt"))
    for part in parts:
        aside = part.with_name(f"{part.name}.aside")
        part.rename(aside)
        with pytest.raises(BagreidError, match="is missing") as error:
            open_catalog(root)
        assert error.value.path == part
        aside.rename(part)
    open_catalog(root)


def test_two_kinds_of_boxes_are_a_question(tmp_path: Path) -> None:
    root = SmallSet("cuhk03").write(tmp_path)
    detected = root.with_name("detected")
    os.rename(SmallSet("cuhk03").write(tmp_path / "other"), detected)  # noqa: PTH104
    for named in (root.parent, root.parent.parent):
        with pytest.raises(BagreidError, match="2 data sets lie here") as error:
            open_catalog(named)
        assert str(detected) in str(error.value) or str(root) in str(error.value)
    assert open_catalog(detected).labelled == open_catalog(root).labelled == "cuhk03"


def test_a_matlab_file_alone_is_explained(tmp_path: Path) -> None:
    matlab = tmp_path / "cuhk03" / "cuhk03_release" / "cuhk-03.mat"
    matlab.parent.mkdir(parents=True)
    matlab.write_bytes(b"MATLAB 5.0")
    for named in (matlab.parent, matlab.parent.parent):
        with pytest.raises(BagreidError, match="MATLAB") as error:
            open_catalog(named)
        assert error.value.path == matlab
        assert "CUHK03-NP" in str(error.value)


def test_no_crowd_of_folders_is_searched(tmp_path: Path) -> None:
    for number in range(1001):
        (tmp_path / f"{number:010d}").mkdir()
    SmallSet("market1501").write(tmp_path / f"{7:010d}")
    with pytest.raises(BagreidError, match="nothing here looks like an archive"):
        open_catalog(tmp_path)


def test_a_labelled_set_is_not_shrunk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = SmallSet("market1501").write(tmp_path)
    assert main(["shrink", str(root), str(tmp_path / "out")]) == 2
    assert "Market-1501 is small enough" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0000/0000_000_01_0303morning_0000_0.jpg", "no path with a person's number"),
        ("0000/0000_000_01_0303morning_0000_0.jpg 5", "is of person 5 and of 0"),
        ("0000/0000_000_01_0303morning_0000_0.jpg x", "no path with a person's number"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path: Path, line: str, message: str) -> None:
    root = SmallSet("msmt17_v1").write(tmp_path)
    lines = (root / "list_train.txt").read_text().splitlines()
    (root / "list_train.txt").write_text("\n".join([*lines, "", line]))
    with pytest.raises(BagreidError, match=message) as error:
        open_catalog(root)
    assert error.value.path == root / "list_train.txt"
    assert error.value.position == f"line {len(lines) + 2}"


def test_lists_are_held_to_the_images_both_ways(tmp_path: Path) -> None:
    made = SmallSet("msmt17_v2")
    root = made.write(tmp_path)
    lines = (root / "list_query.txt").read_text()
    absent = "0077/0077_000_01_0303morning_0000_0.jpg"
    outside = "../../../etc/passwd_0_1_0.jpg"
    (root / "list_query.txt").write_text(f"{lines}{absent} 77\n{outside} 3\n{lines}")
    extra = root / "mask_test_v2" / "0000" / made.name("query", 0, 9, 99)
    extra.write_bytes(b"x")
    findings = {finding.split: finding for finding in open_catalog(root).findings.lists}
    query, gallery, train = (findings[name] for name in ("query", "gallery", "train"))
    assert (query.lines, query.repeated, query.absent) == (8, 3, 2)
    assert query.first_absent == (absent, outside)
    assert (gallery.unlisted, gallery.first_unlisted) == (1, (f"mask_test_v2/0000/{extra.name}",))
    assert (train.lines, train.absent, train.unlisted) == (sum(IMAGES), 0, 0)
    assert main(["verify", str(root)]) == 1


def test_a_broken_image_goes_into_the_quarantine_whatever_the_bags(tmp_path: Path) -> None:
    made = SmallSet("cuhk03")
    root = made.write(tmp_path)
    broken = root / "bounding_box_train" / made.name("train", 2, 1, 0)
    broken.write_bytes(broken.read_bytes()[:40])
    assert main(["verify", str(root), "--images", "all", "--workers", "0"]) == 1
    for simulation in (BagSimulation(), BagSimulation(seed=4)):
        catalog = open_catalog(root, simulation=simulation)
        rows = list(known_broken.load(catalog).matches(catalog))
        assert [catalog.name(row) for row in rows] == [f"bounding_box_train/{broken.name}"]


def test_whole_sets_are_held_to_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = SmallSet("market1501").write(tmp_path)
    assert main(["verify", str(root)]) == 0
    assert "Not the whole of Market-1501" in capsys.readouterr().out
    assert main(["verify", str(root), "--full"]) == 1
    small = {"train images": sum(IMAGES), "bag identities": 6, "query identities": 3}
    monkeypatch.setitem(PUBLISHED_LABELLED, "market1501", small)
    assert main(["verify", str(root)]) == 0
    assert "it has 6 people in its train images" in capsys.readouterr().out
    (root / "bounding_box_train" / "0001_c1s1_000000_01.jpg").unlink()
    assert main(["verify", str(root)]) == 1


def test_every_verb_that_reads_takes_a_set(
    made: SmallSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.write(tmp_path)
    report = tmp_path / "catalog.json"
    assert main(["catalog", str(root), "--json", str(report)]) == 0
    shown = capsys.readouterr().out
    assert f"{TITLES[key_of(made.kind)]}" in shown
    assert "train tars" not in shown
    counts = {count["name"]: count["here"] for count in orjson.loads(report.read_bytes())["counts"]}
    assert counts["identities"] == len(IMAGES) + made.queries
    assert counts["bags"] == 6
    assert main(["verify", str(root), "--images", "all", "--workers", "0"]) == 0
    assert main(["stats", str(root), "--out", str(tmp_path / "stats"), "--workers", "1"]) == 0


def test_published_numbers_add_up() -> None:
    for counts in PUBLISHED_LABELLED.values():
        if "images" in counts:
            parts = [counts[f"{split} images"] for split in ("train", "query", "gallery")]
            assert counts["images"] == sum(parts)
    assert PUBLISHED_LABELLED["market1501"]["images"] - 3_368 == 32_668  # as the release counts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-1, 10**8), st.integers(0, 999), st.integers(0, 99), st.booleans())
def test_names_are_read_back(pid: int, camera: int, sequence: int, with_sequence: bool) -> None:
    middle = f"c{camera}s{sequence}" if with_sequence else f"c{camera}"
    match = MARKET_NAME.fullmatch(f"{pid:04d}_{middle}_000451_03.jpg")
    if pid == -1:
        match = MARKET_NAME.fullmatch(f"-1_{middle}_000451_03.jpg")
    assert match is not None
    assert (int(match["pid"]), int(match["camera"])) == (pid, camera)
    match = MSMT17_NAME.fullmatch(f"{abs(pid):04d}_001_{camera:02d}_0303morning_0008_0.jpg")
    assert match is not None
    assert int(match["camera"]) == camera


@given(st.text(max_size=40))
def test_no_text_breaks_the_names(text: str) -> None:
    for pattern in (MARKET_NAME, MSMT17_NAME):
        match = pattern.fullmatch(text)
        assert match is None or match["camera"].isdigit()


def test_a_set_nobody_published_is_read_by_markets_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = SmallSet("market1501").write(tmp_path)
    for path in root.rglob("*.jpg"):
        pid, rest = path.name.split("_", 1)
        path.rename(path.with_name(f"{pid}_{rest.split('s')[0]}_{rest[5:]}"))
    catalog = open_catalog(root)
    assert catalog.labelled == "other"
    assert len(catalog.split("train")) == sum(IMAGES)
    assert main(["catalog", str(root)]) == 0
    assert main(["verify", str(root)]) == 0
    assert "no published numbers" in capsys.readouterr().out
    assert dataclasses.asdict(catalog.test_protocol())["matches"] == 6
    assert PLACES["market1501"].endswith(root.name)
