"""Each kind of damage is found, by the right check, with the right numbers, and nothing else is.

`python tests/integration/test_verify_damage.py` prints the table of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from damages import BROKEN, CONFIG, DAMAGES, PICTURE, TEST, Damage, copy

from bagreid.cli.main import main
from bagreid.data.synthetic import write_archive

KNOWN = {"bags.duplicates"}
"""Of any archive like the release's: bags at both ends name folders twice."""


def verify(root: Path, work: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Runs the verb; returns its exit code and its JSON."""
    report = work / "report.json"
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(
            ["verify", str(root), "--cache", str(work / "cache"), "--json", str(report), *options]
        )
    return code, json.loads(report.read_text())


def found(report: dict[str, Any]) -> dict[str, tuple[int, int | None]]:
    """Every verdict that is not ok."""
    return {
        check["key"]: (check["here"], check["expected"])
        for check in report["checks"]
        if check["status"] != "ok" and check["key"] not in KNOWN
    }


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything that can change in a folder."""
    paths = [root, *root.rglob("*")]
    return {
        str(path): (
            path.stat().st_mtime_ns,
            path.stat().st_ctime_ns,
            path.stat().st_mode,
            sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in paths
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole") / "archive"
    write_archive(root, CONFIG)
    return root


def options_for(damage: Damage) -> tuple[str, ...]:
    return ("--images", "all", "--workers", "0") if damage.finds == BROKEN else ()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damage_is_found(damage: Damage, archive: Path, tmp_path: Path) -> None:
    root = copy(archive, tmp_path / "archive")
    damage.do(root)
    code, report = verify(root, tmp_path, *options_for(damage))
    checks = {check["key"]: check for check in report["checks"]}
    assert found(report) == damage.finds
    assert code == (0 if damage.harmless else 1)
    assert report["status"] == ("note" if damage.harmless else "bad")
    told = "\n".join(
        line for key in damage.finds for line in (checks[key]["says"], *checks[key]["examples"])
    )
    for text in damage.says:
        assert text in told
    for key in damage.finds:
        assert checks[key]["says"]
        assert damage.harmless or checks[key]["status"] == "note" or checks[key]["remedy"]


def test_there_are_many_kinds_of_damage() -> None:
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES) >= 24


def test_a_whole_archive_is_fine_and_stays_as_it_is(archive: Path, tmp_path: Path) -> None:
    root = copy(archive, tmp_path / "archive")
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = snapshot(root)
    try:
        code, report = verify(root, tmp_path, "--images", "all", "--workers", "0")
        assert snapshot(root) == before
    finally:
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755)
    assert code == 0
    assert found(report) == {}
    assert report["counts"]["bad"] == 0
    assert report["decoded"]["images"] == CONFIG.images
    assert report["decoded"]["broken"] == []


def test_a_broken_image_is_named_with_its_place(archive: Path, tmp_path: Path) -> None:
    root = copy(archive, tmp_path / "archive")
    next(damage for damage in DAMAGES if damage.finds == BROKEN).do(root)
    before = snapshot(root)
    _, report = verify(root, tmp_path, "--images", "all", "--workers", "0")
    assert snapshot(root) == before
    with tarfile.open(root / TEST) as tar:
        member = tar.getmember(PICTURE)
    (broken,) = report["decoded"]["broken"]
    assert broken | {"reason": ""} == {
        "image": PICTURE,
        "file": TEST,
        "offset": member.offset_data,
        "size": member.size,
        "reason": "",
    }


def test_a_cut_tar_in_numbers(archive: Path, tmp_path: Path) -> None:
    root = copy(archive, tmp_path / "archive")
    damage = next(damage for damage in DAMAGES if damage.name == "a tar cut inside an image")
    damage.do(root)
    _, report = verify(root, tmp_path)
    (tar,) = [tar for tar in report["tars"] if tar["damage"]]
    assert tar["damage"]["kind"] == "cut in data"
    assert tar["damage"]["members"] == tar["images"] == 12
    assert tar["damage"]["missing_bytes"] == 706
    assert tar["damage"]["last_good"].endswith("/0000000006_000006.jpg")


def test_held_to_the_published_numbers_a_small_archive_lacks_nearly_all(
    archive: Path, tmp_path: Path
) -> None:
    code, report = verify(archive, tmp_path, "--full")
    checks = {check["key"]: check for check in report["checks"]}
    assert code == 1
    assert report["full_set"]
    assert checks["folders.numbers"]["difference"] == 8 - 28_310
    assert checks["counts.images"]["difference"] == CONFIG.images - 29_606_918
    assert checks["tars.parts"]["says"] == "parts 3-10 missing"
    assert verify(archive, tmp_path, "--no-full")[0] == 0


# --- the table --------------------------------------------------------------------------------


def table_row(damage: Damage, report: dict[str, Any], code: int) -> str:
    """A line of the table: what was done, what was said; of the first finding an example too."""
    told = []
    for key, check in {check["key"]: check for check in report["checks"]}.items():
        if key not in found(report):
            continue
        here, expected = check["here"], check["expected"]
        numbers = f"{here:,}" + (f", not {expected:,}" if expected is not None else "")
        word = "" if check["status"] == "bad" else " (note)"
        example = "" if told else f" ({(*check['examples'], check['says'])[0]})"
        told.append(f"**{check['what']}**{word} {numbers}{example}")
    text = "; ".join(told).replace("|", "\\|").replace("sysu_train_set_all/", "")
    return f"| {damage.name} | {code} | {text.replace('sysu_test_set_all/', '')} |"


def print_table() -> None:
    """Spoils an archive in all ways and prints what verify says."""
    print("| damage | exit code | what verify says |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "whole"
        write_archive(archive, CONFIG)
        for number, damage in enumerate([Damage("nothing", id, BROKEN, harmless=True), *DAMAGES]):
            work = Path(place) / str(number)
            root = copy(archive, work / "archive")
            damage.do(root)
            code, report = verify(root, work, *options_for(damage))
            print(table_row(damage, report, code), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print_table()
    sys.exit(0)
