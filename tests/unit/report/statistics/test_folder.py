"""The whole folder: every file whole and agreeing, and a page calm about what is absent."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from bagreid.catalog import open_catalog, quarantine
from bagreid.cli.main import main
from bagreid.contracts import BagreidError
from bagreid.report.statistics import StatisticsReport, write_statistics
from bagreid.report.statistics.folder import FIGURES

from ..fabricate import make_archive
from ..test_page import Page

NONE = np.zeros(0, np.int64)
TABLES = ("counts", "table1", "table2")


def write(root: Path, out: Path, **changes: object) -> StatisticsReport:
    settings = {"name": root.name, "skipped": NONE, "sample": None} | changes
    return write_statistics(open_catalog(root), out, **settings)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> StatisticsReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAGREID_CACHE", str(tmp_path_factory.mktemp("cache")))
        return write(archive, tmp_path_factory.mktemp("out") / "stats")


def stems(out: Path) -> set[str]:
    return {path.stem for path in out.glob("*.svg")}


def rows_of(out: Path, stem: str) -> list[list[str]]:
    with (out / f"{stem}.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_every_figure_is_there_as_svg_png_and_csv(written: StatisticsReport) -> None:
    out = written.page.parent
    expected = {f"{stem}{suffix}" for stem in FIGURES for suffix in (".svg", ".png", ".csv")}
    expected |= {f"{stem}{suffix}" for stem in TABLES for suffix in (".csv", ".md")}
    assert {path.name for path in out.iterdir()} == expected | {"stats.html", "stats.json"}
    for stem in FIGURES:
        ElementTree.parse(out / f"{stem}.svg")  # noqa: S314 - our own file
        with Image.open(out / f"{stem}.png") as image:
            image.load()
            assert min(image.size) > 300
        assert len(rows_of(out, stem)) > 1


def test_tables_of_figures_hold_the_archives_numbers(written: StatisticsReport) -> None:
    out = written.page.parent
    assert sum(int(row[2]) for row in rows_of(out, "images-per-folder")[1:]) == 5
    bags = rows_of(out, "figure1a-bags")
    assert bags[0] == ["from", "below", "1 folder", "2 folders", "3 folders", "others"]
    assert [sum(int(row[n]) for row in bags[1:]) for n in (2, 3, 4, 5)] == [5, 2, 5, 3]
    here = next(row for row in rows_of(out, "figure1b-images") if row[0] == "this archive")
    assert here[1:] == ["80", "40"]
    here = next(row for row in rows_of(out, "figure1c-identities") if row[0] == "this archive")
    assert here[1:] == ["20", "15"]
    lies = {int(row[0]): int(row[1]) for row in rows_of(out, "bags-per-image")[1:]}
    assert lies == dict.fromkeys(range(10), 0) | {6: 16, 8: 16, 9: 8}
    assert rows_of(out, "cameras") == [["camera", "query", "gallery"], ["1", "0", "25"],
                                       ["2", "15", "0"]]  # fmt: skip
    sizes = {tuple(map(int, row)) for row in rows_of(out, "image-sizes")[1:]}
    assert sizes == {(96, 48, 74), (288, 144, 5)}


def test_the_numbers_are_in_one_file(written: StatisticsReport) -> None:
    told = json.loads((written.page.parent / "stats.json").read_text())
    assert told["schema"] == "bagreid.stats/1"
    assert told["counts"]["train images"] == {"here": 40, "published": 29_126_188}
    assert told["images_per_folder"]["median"] == 8
    assert told["image_sizes"]["broken"] == 1
    assert told["image_sizes"]["shortest_edge"]["most"] == 144
    assert told["tables"]["table1"][-1]["images"] == 80


def test_the_page_is_whole_and_says_whose_images_these_are(
    written: StatisticsReport, archive: Path
) -> None:
    page = Page(written.page)
    assert written.headline == (
        "40 training images of 5 people in 15 bags; 15 queries to find among 25 images."
    )
    assert written.headline in page.text
    assert "These are images of people. They are for non-commercial research only." in page.text
    assert "Do not pass this page on." in page.text
    assert "Table 1: person re-identification sets" in page.text
    assert "Table 2: beside ImageNet-1k" in page.text
    assert len(page.images) == (2 * 8 + 4 * 10) + 6 * 2
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in page.images)
    assert all(image["alt"] for image in page.images)
    beside = {path.name for path in written.page.parent.iterdir()}
    for link in page.links:
        assert link.startswith(("data:", "#")) or link in beside, link
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert "http" not in page.source.replace("http-equiv", "")
    assert "<script" not in page.source
    assert archive.name in page.text


def test_a_broken_image_is_told_and_quarantined_ones_are_left_out(
    tmp_path: Path, archive: Path
) -> None:
    page = Page(write(archive, tmp_path / "a").page)
    assert "1 image among 80 has no size that can be read" in page.text
    assert "0000others_c1_0.jpg" in page.text
    catalog = open_catalog(archive)
    broken = next(r for r in range(len(catalog)) if catalog.name(r).endswith("others_c1_0.jpg"))
    page = Page(write(archive, tmp_path / "b", skipped=np.array([3, broken])).page)
    assert "has no size" not in page.text
    assert "2 images in quarantine: counted in the tables, left out of the figures." in page.text
    assert sum(int(row[1]) for row in rows_of(tmp_path / "b", "bags-per-image")[1:]) == 39
    shown = {row[2] for row in rows_of(tmp_path / "b", "figure2a-bags")[1:]}
    assert catalog.name(3) not in shown


def test_without_pictures_the_page_holds_none(tmp_path: Path, archive: Path) -> None:
    report = write(archive, tmp_path / "out", pictures=False)
    page = Page(report.page)
    assert page.images == []
    assert "Examples show people, and this page was made without them." in page.text
    assert "for non-commercial research only" in page.text
    assert not stems(tmp_path / "out") & {"figure2a-bags", "figure2b-pairs"}


def test_what_is_no_more_is_removed_and_nothing_else(tmp_path: Path, archive: Path) -> None:
    out = tmp_path / "out"
    write(archive, out)
    (out / "mine.svg").touch()
    write(archive, out, pictures=False)
    assert not list(out.glob("figure2*"))
    assert (out / "mine.svg").exists()
    assert not list(out.glob("*.partial"))


@pytest.mark.parametrize("without", ["bags", "test", "train", "both"])
def test_archives_that_lack_a_part(tmp_path: Path, without: str) -> None:
    root = make_archive(tmp_path / "set")
    if without in ("bags", "both"):
        (root / "bag_level_label.json").unlink()
    if without in ("test", "both"):
        shutil.rmtree(root / "test")
        for name in ("query.txt", "gallery.txt"):
            (root / name).unlink()
    if without == "train":
        shutil.rmtree(root / "train")
        for name in ("train.txt", "truth.csv", "bag_level_label.json"):
            (root / name).unlink()
    report = write(root, tmp_path / "out")
    page = Page(report.page)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    drawn = stems(tmp_path / "out")
    has_bags, has_test = without == "test", without in ("bags", "train")
    assert ("figure1a-bags" in drawn) == has_bags
    assert ("figure2a-bags" in drawn) == has_bags
    assert ("figure2b-pairs" in drawn) == has_test
    assert ("cameras" in drawn) == has_test
    assert ("images-per-folder" in drawn) == (without != "train")
    assert ("There is no test set." in page.text) != has_test
    assert ("There is no bag file" in page.text) != has_bags
    headlines = {
        "bags": "40 training images in 5 folders, without bags; 15 queries to find among 25 "
        "images.",
        "test": "40 training images of 5 people in 15 bags.",
        "train": "15 queries to find among 25 images.",
        "both": "40 training images in 5 folders, without bags.",
    }
    assert report.headline == headlines[without]


def test_the_same_archive_gives_the_same_bytes(tmp_path: Path, archive: Path) -> None:
    for name in ("a", "b"):
        write(archive, tmp_path / name, sample=30, seed=5)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_names_from_the_archive_are_escaped(tmp_path: Path) -> None:
    root = make_archive(tmp_path / "<b>&set")
    bags = json.loads((root / "bag_level_label.json").read_text())
    for bag in bags:
        bag["BagID"] = f'<script>"{bag["BagID"]}"&'
    (root / "bag_level_label.json").write_text(json.dumps(bags))
    page = Page(write(root, tmp_path / "out").page)
    assert "script" not in page.tags
    assert '<script>"bag' in page.text
    ElementTree.parse(tmp_path / "out" / "figure2a-bags.svg")  # noqa: S314 - our own file


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BagreidError, match="cannot be written"):
        write(archive, tmp_path / "file" / "out")


def test_the_verb_writes_where_it_says(
    tmp_path: Path,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(archive)
    assert main(["stats", "data/linked", "--sizes", "all"]) == 0
    said = capsys.readouterr()
    assert "work_dirs/stats/linked/stats.html" in said.out
    assert "40 training images of 5 people in 15 bags" in said.out
    assert said.err == ""
    assert (tmp_path / "work_dirs" / "stats" / "linked" / "stats.html").is_file()


def test_the_verb_leaves_quarantined_images_out(tmp_path: Path) -> None:
    root = make_archive(tmp_path / "set")
    catalog = open_catalog(root)
    quarantine.add(catalog, {3: "cut"}, found_by="verify")
    path = quarantine.quarantine_path(catalog)
    entry = json.loads(path.read_text())
    gone = entry | {"image": "sysu_train_set_all/0000000001/gone.jpg"}
    path.write_text(f"{json.dumps(entry)}\n{json.dumps(gone)}\n")
    command = ["stats", str(root), "--out", str(tmp_path / "out"), "--no-pictures"]
    assert main(command) == 0
    told = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert (told["quarantined"], told["stale_quarantine_entries"]) == (1, 1)
    assert told["image_sizes"]["images"] == 79
    page = Page(tmp_path / "out" / "stats.html")
    assert "1 entry of the list of broken images fits no image of the archive any more" in page.text
    assert main([*command, "--quarantine", "off"]) == 0
    told = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert (told["quarantined"], told["image_sizes"]["images"]) == (0, 80)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--sizes", "some", "sizes must be a number of images or 'all'"),
        ("--workers", "0", "workers must be at least 1"),
        ("--seed", "-1", "seed must be at least 0"),
    ],
)
def test_bad_options_are_one_line(
    archive: Path, option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", str(archive), option, value]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_nothing_is_written_into_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_archive(tmp_path / "set")
    before = sorted(root.rglob("*"))
    assert main(["stats", str(root), "--out", str(root / "stats")]) == 2
    monkeypatch.chdir(root / "train")
    assert main(["stats", ".."]) == 2
    assert capsys.readouterr().err.count("which is only read. Choose a place outside it") == 2
    assert sorted(root.rglob("*")) == before


def test_no_archive_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
