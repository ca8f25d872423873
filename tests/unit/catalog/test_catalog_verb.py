"""`bagreid catalog`: what it prints and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sample_archives import Contents, write_tar

from bagreid.catalog import open_catalog, quarantine
from bagreid.catalog import published as published_module
from bagreid.catalog.published import PUBLISHED, count_all, is_full_set
from bagreid.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main(["catalog", *map(str, argv)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_small_archive_is_shown_calmly(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out_file = tmp_path / "out.json"
    code, out, _ = run(capsys, archive, "--cache", tmp_path / "cache", "--json", out_file)
    assert code == 0
    assert "Not the full set" in out
    assert "29,606,918" in out
    assert "4 queries, 0 of them without a match" in out
    assert "repeated identities in bags, merged" in out
    assert "error" not in out.lower()
    report = json.loads(out_file.read_text())
    assert report["full_set"] is False
    assert {c["name"]: c["here"] for c in report["counts"]}["identities"] == 7
    assert report["findings"]["lists"][0]["lines"] == 15
    assert not list(tmp_path.glob("*.partial"))


def test_absent_names_and_missing_queries_are_reported_not_fatal(
    archive: Path, tmp_path: Path, contents: Contents, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(archive / "test" / "sysu_test_set_all.tar", contents.gallery)
    code, out, _ = run(capsys, archive, "--cache", tmp_path / "cache")
    assert code == 0
    assert "query.txt names without an image (first 4 of 4)" in out
    assert contents.query[0] in out
    assert "Not ready for evaluation: the archive has no query images" in out
    for path in archive.glob("*.*"):
        path.unlink()
    code, out, _ = run(capsys, archive, "--cache", tmp_path / "cache")
    assert "There are no list files" in out
    assert "There are no bags" in out


def test_bad_input_is_one_line_and_exit_code_2(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "bag_level_label.json").write_text("{")
    code, out, err = run(capsys, archive, "--cache", tmp_path / "cache")
    assert (code, out) == (2, "")
    assert err.strip().startswith("bagreid catalog: ")
    assert "bag_level_label.json, line 1" in err
    assert len(err.strip().splitlines()) == 1
    shutil.rmtree(archive)
    archive.mkdir()
    assert run(capsys, archive)[0] == 2


def test_an_unwritable_json_is_told(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "out.json"
    code, _, err = run(capsys, archive, "--cache", tmp_path / "cache", "--json", target)
    assert code == 2
    assert "cannot be written" in err


def test_published_counts_add_up() -> None:
    images = PUBLISHED["train images"] + PUBLISHED["query images"] + PUBLISHED["gallery images"]
    assert images == PUBLISHED["images"] == 29_606_918
    assert PUBLISHED["bags"] == 3 * PUBLISHED["train folders"]


def test_differences_are_shown_where_the_set_is_meant_to_be_whole(
    archive: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = open_catalog(archive, cache=tmp_path / "cache")
    assert not is_full_set(catalog)
    numbers = {count.name: count.here for count in count_all(catalog)}
    assert numbers["train tars"] == 2
    monkeypatch.setattr(
        published_module, "PUBLISHED", {**numbers, "train images": 17, "gallery images": 3}
    )
    code, out, _ = run(capsys, archive, "--cache", tmp_path / "cache")
    assert code == 0
    assert "difference" in out
    assert "-2" in out
    assert "+4" in out
    assert "none" in out
    assert "Not the full set" not in out


def test_images_known_to_be_broken_are_counted(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, out_file = tmp_path / "cache", tmp_path / "out.json"
    catalog = open_catalog(archive, cache=cache)
    _, out, _ = run(capsys, archive, "--cache", cache, "--json", out_file)
    assert "Known to be" not in out
    assert json.loads(out_file.read_text())["quarantine"]["images"] == 0
    path = quarantine.add(catalog, {1: "cut", 4: "cut"}, found_by="verify").path
    _, out, _ = run(capsys, archive, "--cache", cache, "--json", out_file)
    assert (
        f"Known to be broken, and not read by any run: 2 images (found by verify: 2). List: {path}"
        in out
    )
    told = json.loads(out_file.read_text())["quarantine"]
    assert told == {"path": str(path), "images": 2, "stale": 0}
    path.write_bytes(path.read_bytes().replace(b'"size":', b'"size":9', 1))
    _, out, _ = run(capsys, archive, "--cache", cache)
    assert "1 images (found by verify: 1); entries passed over as stale: 1." in out
    path.write_text("{}\n")
    code, out, _ = run(capsys, archive, "--cache", cache, "--json", out_file)
    assert code == 0
    assert f"The quarantine cannot be used: {path}, line 1: the line lacks image" in out
    assert "lacks image" in json.loads(out_file.read_text())["quarantine"]["error"]
