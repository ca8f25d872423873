"""A small archive, made for real and read back with Python's own tools."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from bagreid.cli.main import main
from bagreid.contracts import BagreidError
from bagreid.data.synthetic import ArchiveSummary, SyntheticConfig, archive, write_archive

SMALL = SyntheticConfig(
    people=9, images_per_folder=20, queries=4, distractors=9, shortest_edge=24, train_parts=3
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ArchiveSummary:
    return write_archive(tmp_path_factory.mktemp("made") / "small", SMALL)


def members(root: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in sorted(root.glob("*/*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                assert member.name not in found
                found[member.name] = file.read()
    return found


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def listed(root: Path, name: str) -> list[str]:
    return (root / name).read_text(encoding="utf-8").splitlines()


def test_files_lie_as_downloaded(made: ArchiveSummary) -> None:
    assert sorted(digests(made.root)) == [
        "bag_level_label.json",
        "gallery.txt",
        "query.txt",
        "test/sysu_test_set_all.tar",
        "train.txt",
        "train/sysu_train_set_all_part1.tar",
        "train/sysu_train_set_all_part2.tar",
        "train/sysu_train_set_all_part3.tar",
        "truth.csv",
    ]
    assert made.tars == (
        "train/sysu_train_set_all_part1.tar",
        "train/sysu_train_set_all_part2.tar",
        "train/sysu_train_set_all_part3.tar",
        "test/sysu_test_set_all.tar",
    )


def test_lists_name_exactly_what_the_tars_hold(made: ArchiveSummary) -> None:
    found = members(made.root)
    train, query, gallery = (listed(made.root, f"{k}.txt") for k in ("train", "query", "gallery"))
    assert (len(train), len(query), len(gallery)) == (made.train, made.query, made.gallery)
    assert (made.train, made.query, made.gallery) == (180, 4, 13)
    assert sorted(train + query + gallery) == sorted(found)


def test_every_picture_decodes_at_the_size_asked(made: ArchiveSummary) -> None:
    for data in members(made.root).values():
        image = Image.open(io.BytesIO(data))
        image.load()
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert min(image.size) == image.width == SMALL.shortest_edge
        assert 1.4 < image.height / image.width < 2.8


def test_no_picture_comes_twice(made: ArchiveSummary) -> None:
    found = members(made.root)
    assert len(set(found.values())) == len(found)


def test_truth_names_every_picture_once(made: ArchiveSummary) -> None:
    with (made.root / "truth.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "person_id"]
    truth = {row["image"]: int(row["person_id"]) for row in rows}
    assert len(rows) == len(truth)
    assert sorted(truth) == sorted(members(made.root))
    train = [(int(name.split("/")[1]), truth[name]) for name in listed(made.root, "train.txt")]
    assert sum(folder != person for folder, person in train) == made.impure > 0
    assert all(abs(folder - person) <= 2 for folder, person in train)
    for name in listed(made.root, "query.txt"):
        assert truth[name] == int(name.split("/")[2])


def test_bag_file_is_a_json_list_of_three_bags_a_folder(made: ArchiveSummary) -> None:
    bags = json.loads((made.root / "bag_level_label.json").read_text(encoding="utf-8"))
    assert len(bags) == made.bags == 3 * SMALL.people
    assert bags[7] == {
        "BagLabel": [2, 3, 4],
        "BagID": "bag0000000010",
        "BagImages": ["0000000002/*", "0000000003/*", "0000000004/*"],
    }
    assert bags[2]["BagLabel"] == [1, 1, 1, 2, 3]
    assert len({bag["BagID"] for bag in bags}) == len(bags)


@pytest.mark.parametrize("workers", [2, 3])
def test_bytes_do_not_depend_on_the_workers(
    made: ArchiveSummary, tmp_path: Path, workers: int
) -> None:
    write_archive(tmp_path / "again", SMALL, workers=workers)
    assert digests(tmp_path / "again") == digests(made.root)


def test_another_seed_gives_other_people(made: ArchiveSummary, tmp_path: Path) -> None:
    from dataclasses import replace

    write_archive(tmp_path / "other", replace(SMALL, seed=1))
    assert not set(members(tmp_path / "other").values()) & set(members(made.root).values())


def test_progress_counts_up_to_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_archive(tmp_path / "a", SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (SMALL.images, SMALL.images)


def test_an_empty_folder_is_taken_and_a_full_one_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_archive(out, SMALL)
    before = digests(out)
    with pytest.raises(BagreidError, match="already"):
        write_archive(out, SMALL)
    assert digests(out) == before
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(BagreidError, match="already"):
        write_archive(file, SMALL)


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    for workers in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            write_archive(tmp_path / "out", SMALL, workers=workers, progress=stop)
        assert list(tmp_path.iterdir()) == []


def test_an_error_in_a_worker_arrives_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[archive.Picture]:
        raise OSError("disk full")

    monkeypatch.setattr(archive, "render_chunk", broken)
    with pytest.raises(OSError, match="disk full"):
        write_archive(tmp_path / "out", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers"):
        write_archive(tmp_path / "out", SMALL, workers=0)


def test_the_verb_writes_reports_and_says_what_is_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sheet = tmp_path / "out", tmp_path / "sheet.png"
    asked = "--people 8 --images-per-folder 4 --queries 2 --distractors 3 --shortest-edge 16"
    code = main(
        ["synth", str(out), *asked.split(), "--workers", "1", "--contact-sheet", str(sheet)]
    )
    said = capsys.readouterr().out
    assert code == 0
    assert "query images" in said
    assert "bagreid catalog" in said
    assert len(members(out)) == 8 * 4 + 2 + 5
    with Image.open(sheet) as image:
        assert image.width > 500


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (["--people", "3"], "people must be at least 8"),
        (["--workers", "0"], "workers must be at least 1"),
        (["--contact-sheet", "sheet.gif"], "png"),
    ],
)
def test_the_verb_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[str], complaint: str
) -> None:
    assert main(["synth", str(tmp_path / "out"), *asked]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_option_is_answered_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["synth", str(tmp_path / "out"), "--peple", "9"])
    assert stopped.value.code == 2
    assert "--people" in capsys.readouterr().err
