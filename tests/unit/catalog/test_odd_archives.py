"""Archives nobody would make on purpose."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from rich.console import Console
from sample_archives import Contents, jpeg, write_tar

from bagreid.catalog import open_catalog
from bagreid.catalog.layouts import find_layout
from bagreid.catalog.layouts import layout as layout_module
from bagreid.catalog.survey import survey_archive
from bagreid.cli.main import main
from bagreid.cli.scan_progress import scan_progress
from bagreid.contracts import BagreidError


def catalog_verb(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path, *more: str
) -> tuple[int, str]:
    code = main(["catalog", str(root), "--cache", str(tmp_path / "cache"), *more])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize("names", [[], ["readme.txt"], ["sysu_train_set_all/1/Thumbs.db"]])
def test_an_archive_without_images(
    tmp_path: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(tmp_path / "root/train/part1.tar", names)
    write_tar(tmp_path / "root/test/t.tar", [])
    catalog = open_catalog(tmp_path / "root", cache=tmp_path / "cache")
    assert len(catalog) == len(catalog.group[:]) == len(catalog.size) == len(catalog.offset) == 0
    assert (catalog.folder_names, len(catalog.folder_start)) == ([], 0)
    assert len(open_catalog(tmp_path / "root", cache=tmp_path / "cache").camera[:]) == 0
    code, out = catalog_verb(capsys, tmp_path / "root", tmp_path)
    assert code == 0
    assert "Not ready for evaluation" in out


def test_names_that_are_not_safe_are_reported_and_never_used(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], contents: Contents
) -> None:
    unsafe = ["/etc/sysu_train_set_all/0000000001/a.jpg", "sysu_train_set_all/../../x/b.jpg"]
    unsafe += [f"../sysu_train_set_all/0000000001/{n}.jpg" for n in range(10)]
    write_tar(archive / "train/sysu_train_set_all_part3.tar", [*unsafe, "[bold]odd\x1b[31m.jpg"])
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    catalog = open_catalog(archive, cache=tmp_path / "cache")
    assert len(catalog) == len(contents.names)
    assert (catalog.findings.unsafe, catalog.findings.first_unsafe) == (12, tuple(unsafe[:10]))
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before
    report = tmp_path / "report.json"
    code, out = catalog_verb(capsys, archive, tmp_path, "--json", str(report))
    assert code == 0
    assert "members with an absolute name or a '..' in it, never used" in out
    assert "names that are not safe (first 10 of 12)" in out
    assert unsafe[0] in out
    assert "[bold]odd\\x1b[31m.jpg" in out  # neither our markup nor a command to the terminal
    assert json.loads(report.read_text())["findings"]["first_unsafe"] == unsafe[:10]


def test_tars_that_hold_the_same_images_are_shown(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], contents: Contents
) -> None:
    write_tar(archive / "train/sysu_train_set_all_part3.tar", contents.train[:2])
    code, out = catalog_verb(capsys, archive, tmp_path)
    assert code == 0
    assert "images found twice, the first kept" in out
    assert (
        "train/sysu_train_set_all_part3.tar holds 2 images that train/sysu_train_set_all_part1.tar "
        f"holds already, such as {contents.train[0]}\n" in out
    )


def test_links_and_devices_are_counted(archive: Path, tmp_path: Path) -> None:
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    with tarfile.open(archive / "train/sysu_train_set_all_part3.tar", "w") as tar:
        for number, kind in enumerate(kinds):
            info = tarfile.TarInfo(f"sysu_train_set_all/0000000001/odd{number}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("sysu_train_set_all/0000000001/even.jpg")
        info.size = len(jpeg("even"))
        tar.addfile(info, io.BytesIO(jpeg("even")))
    catalog = open_catalog(archive, cache=tmp_path / "cache")
    assert len(catalog.split("train")) == 16
    assert sum(catalog.findings.skipped_members.values()) == len(kinds)


def test_more_tars_than_a_catalog_can_tell_apart(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert layout_module.MOST_TARS == 65_535
    monkeypatch.setattr(layout_module, "MOST_TARS", 3)
    assert len(open_catalog(archive, cache=tmp_path / "cache")) == 26
    monkeypatch.setattr(layout_module, "MOST_TARS", 2)
    with pytest.raises(BagreidError, match="3 tars are too many"):
        find_layout(archive)
    survey = survey_archive(archive, cache=tmp_path / "cache")
    assert len(survey.tars) == 2
    assert "too many" in str(next(survey.problems()))


def test_a_survey_says_all_that_is_wrong(archive: Path, tmp_path: Path, contents: Contents) -> None:
    """One archive with a fault of every kind: nothing hides behind anything else."""
    tar = archive / "train/sysu_train_set_all_part1.tar"
    tar.write_bytes(tar.read_bytes()[:3000])
    write_tar(
        archive / "test/sysu_test_set_all.tar",
        [*contents.gallery, *contents.query, "sysu_test_set_all/query/000000006/nobody.jpg"],
    )
    (archive / "gallery.txt").write_text("no path\n")
    (archive / "truth.csv").write_text("a,b\n")
    (archive / "train/sysu_train_set_all_part9.tar.gz").write_bytes(b"")
    survey = survey_archive(archive, cache=tmp_path / "cache")
    said = " ".join(map(str, survey.problems()))
    for part in (
        "part9.tar.gz: the tar is compressed",
        "part1.tar, byte",
        "nobody.jpg' is no test image's name",
        "names folder '0000000002', which is not in the archive",
        "gallery.txt",
        "truth.csv",
    ):
        assert part in said
    assert survey.tars[0].images == 3
    assert survey.bad_test_names == 1
    assert len(survey.members) == 3 + 9 + 4 + 7
    assert "0000000002" in survey.absent_bag_folders
    assert [entry.file for entry in survey.findings.lists] == ["train.txt", "query.txt"]
    assert survey.findings.lists[0].absent == 3
    assert [survey.name(row) for row in survey.split("query")] == contents.query


def test_a_tar_that_went_between_scan_and_naming(archive: Path, tmp_path: Path) -> None:
    survey = survey_archive(archive, cache=tmp_path / "cache")
    (archive / "train/sysu_train_set_all_part1.tar").unlink()
    assert survey.name(0) == "sysu_train_set_all_part1.tar, byte 512"
    assert survey.name(6) == "sysu_train_set_all/0000000003/000_01.jpg"


def test_progress_adds_up_and_leaves_out_what_was_known() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    with scan_progress(console) as tell:
        tell(Path("known.tar"), 1000, 5000, 5000)
        tell(Path("a.tar"), 0, 0, 4000)
        tell(Path("b.tar"), 0, 0, 6000)
        tell(Path("a.tar"), 30, 2000, 4000)
        tell(Path("b.tar"), 50, 6000, 6000)
        tell(Path("tree"), 7, 0, 0)
        sums, tasks = tell._sums, tell._progress.tasks
        lines = {task.description: (task.completed, task.total) for task in tasks}
    assert sums == (1087, 8000, 10_000)
    assert lines == {"4 files": (8000, 10_000), "a.tar": (2000, 4000), "tree": (0, None)}
    assert "4 files" in shown.getvalue()


def test_without_a_terminal_no_progress_is_shown() -> None:
    shown = io.StringIO()
    with scan_progress(Console(file=shown, force_terminal=False)) as tell:
        tell(Path("a.tar"), 30, 2000, 4000)
    assert not shown.getvalue()


def test_workers_must_be_at_least_one(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = catalog_verb(capsys, archive, tmp_path, "--workers", "0")
    assert (code, "at least 1" in said) == (2, True)
    code, _ = catalog_verb(capsys, archive, tmp_path, "--workers", "1", "--rebuild")
    assert code == 0
