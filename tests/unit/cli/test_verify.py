"""The verb: exit codes, bad usage, the table in narrow and wide terminals, the quarantine."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from rich.console import Console

from bagreid.catalog import open_catalog, quarantine
from bagreid.catalog.checks import check_archive
from bagreid.catalog.survey import survey_archive
from bagreid.cli.main import main
from bagreid.cli.verdicts import SUBJECTS, Report, print_report

TEST = "test/sysu_test_set_all.tar"


def run(*words: object) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main(["verify", *map(str, words)])
    return code, said.getvalue()


@pytest.fixture
def root(small_archive: Path, tmp_path: Path) -> Path:
    """The whole archive, with the last test image made of zeros, by links to the other files."""
    root = tmp_path / "archive"
    for path in small_archive.rglob("*"):
        if path.is_file():
            place = root / path.relative_to(small_archive)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return root


def spoil(root: Path) -> str:
    """Fills the last test image with zeros; returns its name."""
    with tarfile.open(root / TEST) as tar:
        member = tar.getmembers()[-1]
    raw = bytearray((root / TEST).read_bytes())
    raw[member.offset_data : member.offset_data + member.size] = bytes(member.size)
    (root / TEST).write_bytes(raw)
    return member.name


def test_bad_usage_is_refused_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words, said in (
        ([root, "--full", "--no-full"], "contradict"),
        ([root, "--images", "0"], "--images must be 1 or more"),
        ([root, "--images", "5", "--seed", "-1"], "--seed must be 0 or more"),
        ([root, "--workers", "-1"], "--workers must be 0 or more"),
        ([tmp_path / "nowhere"], "no such folder"),
        ([root / "train" / "x"], "no such folder"),
    ):
        assert main(["verify", *map(str, words)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_a_folder_that_is_no_archive_is_bad_usage(tmp_path: Path) -> None:
    assert main(["verify", str(tmp_path)]) == 2


def test_without_images_no_torch_is_loaded(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys, bagreid.cli.main as m; "
        f"m.main(['verify', {str(root)!r}, '--cache', {str(tmp_path / 'c')!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_subject_has_a_title(root: Path) -> None:
    for full in (False, True):
        assert {v.subject for v in check_archive(survey_archive(root), full=full)} <= set(SUBJECTS)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(root: Path, width: int) -> None:
    survey = survey_archive(root)
    for full in (False, True):
        found = tuple(check_archive(survey, full=full))
        said = io.StringIO()
        console = Console(file=said, width=width, highlight=False)
        print_report(
            console, Report(str(root), survey, "--full says so" if full else None, found, None)
        )
        lines = said.getvalue().splitlines()
        assert max(map(len, lines[2:])) <= width
        for verdict in found:
            place = re.compile(
                rf"^ ?(ok|note|BAD) +{re.escape(verdict.what)} +{verdict.here:,}( |$)"
            )
            row = next(line for line in lines if place.match(line))
            if verdict.difference:
                assert f"{verdict.difference:+,}" in row


def test_a_sample_adds_to_the_quarantine_and_all_replaces_it(root: Path) -> None:
    name = spoil(root)
    code, said = run(root, "--images", 1_000_000, "--workers", 0, "--seed", 3)
    assert code == 1
    assert name in said
    catalog = open_catalog(root)
    assert [entry.image for entry in quarantine.load(catalog).entries] == [name]
    (entry,) = quarantine.load(catalog).entries
    assert entry.found_by == "verify"
    quarantine.add(catalog, {0: "a mistake"}, found_by="train")
    assert run(root, "--images", "all", "--workers", 0)[0] == 1
    assert [entry.image for entry in quarantine.load(catalog).entries] == [name]


def test_the_quarantine_can_be_left_alone(root: Path) -> None:
    spoil(root)
    code, said = run(root, "--images", "all", "--workers", 0, "--quarantine", "off")
    assert code == 1
    assert "Quarantine" not in said
    assert not len(quarantine.load(open_catalog(root)))


def test_the_quarantine_can_be_a_file_of_ones_own(root: Path, tmp_path: Path) -> None:
    name, path = spoil(root), tmp_path / "mine.jsonl"
    run(root, "--images", "all", "--workers", 0, "--quarantine", path)
    assert [entry.image for entry in quarantine.load(path).entries] == [name]
    assert not len(quarantine.load(open_catalog(root)))


def test_a_broken_file_outside_tars_is_named(root: Path, tmp_path: Path) -> None:
    for tar in root.rglob("*.tar"):
        with tarfile.open(tar) as source:
            source.extractall(root, filter="data")
        tar.unlink()
    name = "sysu_train_set_all/0000000002/0000000002_000003.jpg"
    (root / name).write_bytes(b"\0" * 1000)
    run(root, "--images", "all", "--workers", 0, "--json", tmp_path / "r.json")
    (entry,) = json.loads((tmp_path / "r.json").read_text())["decoded"]["broken"]
    assert (entry["image"], entry["file"], entry["offset"]) == (name, name, 0)
    assert entry["size"] == 1000


def test_a_damaged_archive_is_decoded_as_far_as_it_goes(root: Path, tmp_path: Path) -> None:
    path = root / "train" / "sysu_train_set_all_part1.tar"
    path.write_bytes(path.read_bytes()[:20_000])
    name = spoil(root)
    code, said = run(root, "--images", "all", "--workers", 0, "--json", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert code == 1
    assert [entry["image"] for entry in report["decoded"]["broken"]] == [name]
    assert "not written, for the archive has no catalog yet" in report["decoded"]["quarantine"]
    assert "Quarantine: not written" in said


def test_names_from_tars_cannot_command_the_terminal(root: Path) -> None:
    evil = tarfile.TarInfo("../\x1b[31m[bold]\nevil.jpg")
    with tarfile.open(root / TEST, "a") as tar:
        tar.addfile(evil)
    code, said = run(root)
    assert code == 1
    assert "\x1b" not in said
    assert r"../\x1b[31m[bold]\nevil.jpg" in said


def test_an_archive_behind_a_url_is_verified_too(root: Path, tmp_path: Path) -> None:
    name = spoil(root)
    words = (root.as_uri(), "--images", "all", "--workers", 0, "--json", tmp_path / "r.json")
    assert run(*words)[0] == 1
    report = json.loads((tmp_path / "r.json").read_text())
    bad = [check["key"] for check in report["checks"] if check["status"] == "bad"]
    assert bad == ["pixels.broken"]
    assert report["root"] == root.as_uri()
    assert [entry["image"] for entry in report["decoded"]["broken"]] == [name]


def test_a_clean_sample_says_what_it_proves(root: Path) -> None:
    code, said = run(root, "--images", 20, "--workers", 0)
    assert code == 0
    # 1 - 0.05 ** (1 / 20)
    assert "with 95 % certainty fewer than 13.91% of all are broken" in " ".join(said.split())


def test_the_json_states_its_schema(root: Path, tmp_path: Path) -> None:
    assert run(root, "--json", tmp_path / "r.json")[0] == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["schema"] == "bagreid.verify/1"
    assert report["full_set"] is False
    assert report["decoded"] is None
    assert sum(report["counts"].values()) == len(report["checks"])
    assert {tar["path"] for tar in report["tars"]} >= {TEST}
    for check in report["checks"]:
        assert check["key"].startswith(f"{check['subject']}.")
        assert check["status"] in {"ok", "note", "bad"}
        if check["expected"] is not None:
            assert check["difference"] == check["here"] - check["expected"]
