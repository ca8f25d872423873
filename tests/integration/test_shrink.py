"""`bagreid shrink` on archives of many forms: what comes out, what is refused, what a kill leaves.

Pictures are smooth and 48 pixels wide; they are shrunk to 24. "An undisturbed run" is one in this
process; others are held against it byte for byte.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from bagreid.catalog import open_catalog, quarantine
from bagreid.cli.main import main
from bagreid.contracts import BagreidError
from bagreid.data.shrinking import (
    ShrinkConfig,
    ShrinkSummary,
    Tally,
    reading,
    shrink_archive,
    writing,
)
from bagreid.data.shrinking.journal import Journal
from bagreid.shards import TarDamage

sys.path.append(str(Path(__file__).parents[1] / "unit" / "catalog"))
from sample_archives import LAYOUTS, Contents, make_contents

EDGE = ShrinkConfig(shortest_edge=24)
PART = "train/sysu_train_set_all_part{}.tar"
TEST = "test/sysu_test_set_all.tar"
ODD = "sysu_train_set_all/0000000003"


def jpeg(seed: int, height: int = 96, width: int = 48) -> bytes:
    draw = np.random.Generator(np.random.Philox(seed))
    coarse = Image.fromarray(draw.integers(0, 256, (6, 3, 3), dtype=np.uint8))
    written = io.BytesIO()
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(written, "JPEG", quality=95)
    return written.getvalue()


def png() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (48, 96), "red").save(written, "PNG")
    return written.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.mtime = 1_500_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_archive(root: Path, images: int = 40) -> Path:
    """Three folders in two tars, the last one full of oddities; a test tar, lists, bags, truth."""
    train: list[str] = []
    for folder, form in ((1, tarfile.GNU_FORMAT), (2, tarfile.PAX_FORMAT)):
        path = root / PART.format(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w", format=form) as tar:
            add(tar, f"sysu_train_set_all/{folder:010d}", type=tarfile.DIRTYPE, mode=0o755)
            for number in range(images):
                train.append(f"sysu_train_set_all/{folder:010d}/{number:04d}.jpg")
                add(tar, train[-1], jpeg(number + 100 * folder), uname="someone")
            if folder == 2:
                train += _add_oddities(tar)
    test = [
        "sysu_test_set_all/gallery/0000000007/0000000007_c1_1.jpg",
        "sysu_test_set_all/gallery/0000others/0000others_c1_1.jpg",
        "sysu_test_set_all/query/0000000007/0000000007_c2_1.jpg",
    ]
    (root / "test").mkdir()
    with tarfile.open(root / TEST, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, name in enumerate(test):
            add(tar, name, jpeg(900 + number))
    for split, names in (("train", train), ("gallery", test[:2]), ("query", test[2:])):
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    bags = [{"BagLabel": [n], "BagID": f"bag{n}", "BagImages": [f"{n:010d}/*"]} for n in (1, 2, 3)]
    (root / "bag_level_label.json").write_text(json.dumps(bags))
    lines = "".join(f"{name},{int(name.split('/')[1])}\n" for name in train)
    (root / "truth.csv").write_text("image,person_id\n" + lines)
    (root / "net_6.pth").write_bytes(b"weights")
    return root


def _add_oddities(tar: tarfile.TarFile) -> list[str]:
    long = f"{ODD}/" + "long" * 40 + ".jpg"
    add(tar, f"{ODD}/small.jpg", jpeg(1, 40, 20))
    add(tar, f"{ODD}/exact.jpg", jpeg(2, 24, 80))
    add(tar, f"{ODD}/cut.jpg", jpeg(3)[:-200])
    add(tar, f"{ODD}/words.jpg", b"these are words")
    add(tar, f"{ODD}/really.png.jpg", png())
    add(tar, "../outside.jpg", jpeg(4))
    add(tar, "/etc/absolute.jpg", jpeg(5))
    add(tar, "readme.txt", b"read me " * 300_000)  # more than a piece holds
    add(tar, f"{ODD}/._small.jpg", b"macOS")
    add(tar, f"{ODD}/soft.jpg", type=tarfile.SYMTYPE, linkname="small.jpg")
    add(tar, f"{ODD}/hard.jpg", type=tarfile.LNKTYPE, linkname=f"{ODD}/small.jpg")
    add(tar, long, jpeg(6), pax_headers={"size": str(len(jpeg(6))), "comment": "kept"})
    return [*(f"{ODD}/{n}.jpg" for n in ("small", "exact", "cut", "words", "really.png")), long]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "old")


def shrink(source: Path, out: Path, config: ShrinkConfig = EDGE, **more: Any) -> ShrinkSummary:
    return shrink_archive(source, out, config, **{"workers": 0} | more)


def files(root: Path) -> dict[str, bytes]:
    """Every file of an archive but those about its making."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "shrink" not in path.relative_to(root).parts
    }


def members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        read = ((m, tar.extractfile(m) if m.isreg() else None) for m in tar)
        return [(m, file.read() if file else b"") for m, file in read]


def facts(info: tarfile.TarInfo) -> tuple[Any, ...]:
    names = ("name", "type", "mode", "mtime", "uid", "gid", "uname", "gname", "linkname")
    pax = {key: value for key, value in info.pax_headers.items() if key != "size"}
    return (*(getattr(info, name) for name in names), pax)


# --- what comes out ---------------------------------------------------------------------------


def test_every_member_is_there_in_its_place_and_only_large_images_change(
    source: Path, tmp_path: Path
) -> None:
    shrink(source, tmp_path / "new")
    unsafe = {"../outside.jpg", "/etc/absolute.jpg"}
    copied = {"small", "exact", "cut", "words", "really.png", "._small"}
    for name in (PART.format(1), PART.format(2), TEST):
        before = [(m, data) for m, data in members(source / name) if m.name not in unsafe]
        after = members(tmp_path / "new" / name)
        assert [facts(m) for m, _ in after] == [facts(m) for m, _ in before]
        for (info, old), (_, new) in zip(before, after, strict=True):
            stem = Path(info.name).stem
            if info.isreg() and info.name.endswith(".jpg") and stem not in copied:
                assert Image.open(io.BytesIO(new)).size == (24, 48)
                assert info.size == len(old) > len(new)
            else:
                assert new == old
        assert (tmp_path / "new" / name).stat().st_size % 10240 == 0


def test_counts_and_notes_say_what_became_of_each(source: Path, tmp_path: Path) -> None:
    summary = shrink(source, tmp_path / "new")
    total = summary.total
    sizes = [
        sum((root / n).stat().st_size for n in (PART.format(1), PART.format(2), TEST))
        for root in (source, tmp_path / "new")
    ]
    assert total == Tally(
        read=sizes[0], written=sizes[1], shrunk=84, small=2, no_jpeg=1, broken=2, others=6, unsafe=2
    )
    assert summary.earlier == Tally()
    assert summary.notes is not None
    with summary.notes.open(newline="") as file:
        rows = [(row["tar"], row["member"], row["what"]) for row in csv.DictReader(file)]
    part = PART.format(2)
    assert rows == [
        (part, f"{ODD}/cut.jpg", "broken"),
        (part, f"{ODD}/words.jpg", "broken"),
        (part, "../outside.jpg", "left out"),
        (part, "/etc/absolute.jpg", "left out"),
    ]
    assert [path.name for path in summary.plan.left] == ["net_6.pth"]
    assert not (tmp_path / "new" / "net_6.pth").exists()


def test_the_new_archive_is_catalogued_alike(source: Path, tmp_path: Path) -> None:
    shrink(source, tmp_path / "new")
    _catalogs_agree(source, tmp_path / "new")


def _catalogs_agree(old_root: Path, new_root: Path) -> None:
    old, new = open_catalog(old_root), open_catalog(new_root)
    assert [old.name(row) for row in range(len(old))] == [new.name(row) for row in range(len(new))]
    for column in ("shard", "group", "camera"):
        assert np.array_equal(getattr(old, column), getattr(new, column)), column
    assert (new.size <= old.size).all()
    assert old.folder_names == new.folder_names
    assert old.bags.bag_id == new.bags.bag_id
    assert np.array_equal(old.bags.folder, new.bags.folder)
    assert np.array_equal(old.truth(), new.truth())
    assert old.findings.lists == new.findings.lists


PACKED = sorted(name for name, (_, layout) in LAYOUTS.items() if "extracted" not in layout)
EXTRACTED = sorted(LAYOUTS.keys() - set(PACKED))


@pytest.mark.parametrize("name", PACKED)
def test_every_layout_of_tars_is_kept(name: str, tmp_path: Path) -> None:
    contents: Contents = make_contents()
    root = LAYOUTS[name][0](tmp_path / "here", contents)
    summary = shrink(root, tmp_path / "new")
    _catalogs_agree(root, tmp_path / "new")
    for pair in (*summary.plan.tars, *summary.plan.copies):  # they hold no real pictures
        assert pair.target.read_bytes() == pair.source.read_bytes()


@pytest.mark.parametrize("name", EXTRACTED)
def test_extracted_images_are_refused(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name][0](tmp_path / "here", make_contents())
    with pytest.raises(BagreidError, match="only tars are shrunk"):
        shrink(root, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_shrinking_twice_changes_nothing_more(source: Path, tmp_path: Path) -> None:
    shrink(source, tmp_path / "new")
    again = shrink(tmp_path / "new", tmp_path / "newer")
    assert again.total.shrunk == 0
    assert files(tmp_path / "newer") == files(tmp_path / "new")


@pytest.mark.parametrize("out", ["new.tar", "folder"])
def test_a_single_tar_will_do(out: str, source: Path, tmp_path: Path) -> None:
    shrink(source, tmp_path / "new")
    summary = shrink(source / PART.format(2), tmp_path / out)
    target = tmp_path / out
    target = target if out.endswith(".tar") else target / Path(PART.format(2)).name
    assert target.read_bytes() == (tmp_path / "new" / PART.format(2)).read_bytes()
    assert summary.total.broken == 2
    again = shrink(source / PART.format(2), tmp_path / out)
    assert again.earlier == again.total == summary.total


def test_a_tar_behind_a_url_is_read_by_ranges(source: Path, tmp_path: Path) -> None:
    shrink(source, tmp_path / "new")
    pointer = tmp_path / "part2.tar.url"
    pointer.write_text((source / PART.format(2)).as_uri())
    shrink(pointer, tmp_path / "far")
    assert (tmp_path / "far" / "part2.tar").read_bytes() == (
        tmp_path / "new" / PART.format(2)
    ).read_bytes()


def test_an_archive_of_pointers_is_shrunk_to_one_of_tars(source: Path, tmp_path: Path) -> None:
    shrink(source, tmp_path / "new")
    far = tmp_path / "far"
    far.mkdir()
    for name in (PART.format(1), PART.format(2), TEST):
        (far / name).parent.mkdir(exist_ok=True)
        (source / name).rename(far / Path(name).name)
        (source / f"{name}.url").write_text((far / Path(name).name).as_uri())
    shrink(source, tmp_path / "newer")
    assert files(tmp_path / "newer") == files(tmp_path / "new")


def test_an_archive_behind_a_url_is_shrunk_onto_the_disk(source: Path, tmp_path: Path) -> None:
    shrink(source, tmp_path / "new")
    summary = shrink_archive(source.as_uri(), tmp_path / "newer", EDGE, workers=0)
    assert files(tmp_path / "newer") == files(tmp_path / "new")
    record = json.loads((tmp_path / "newer" / "shrink" / "record.json").read_text())
    assert record["source"] == source.as_uri()
    again = shrink_archive(source.as_uri(), tmp_path / "newer", EDGE, workers=0)
    assert again.earlier == again.total == summary.total


def test_what_is_too_large_for_a_picture_is_copied_piecewise(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LARGEST_IMAGE", 1000)
    summary = shrink(source / TEST, tmp_path / "new.tar")
    assert (summary.total.broken, summary.broken[0].why) == (3, "it is too large to be a picture")
    assert (tmp_path / "new.tar").read_bytes() == (source / TEST).read_bytes()


def test_bytes_behind_the_end_are_left_out_and_counted(source: Path, tmp_path: Path) -> None:
    path = source / TEST
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    summary = shrink(path, tmp_path / "new.tar")
    assert summary.total.behind_end > len(whole)
    assert len(members(tmp_path / "new.tar")) == 3


def test_the_verb_prints_a_table_and_writes_json(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["shrink", str(source), str(tmp_path / "new"), "--shortest-edge", "24"]
    report = tmp_path / "report.json"
    assert main([*args, "--workers", "2", "--json", str(report)]) == 0
    said = capsys.readouterr()
    for line in ("images", "shrunk", "saved", "copied: truth.csv", "net_6.pth", "../outside.jpg"):
        assert line in said.out
    assert "cut.jpg: the image does not decode" in said.out or "cut.jpg: some" in said.out
    assert said.err == ""
    data = json.loads(report.read_text())
    assert data["total"]["images"] == 89
    assert sum(tar["shrunk"] for tar in data["tars"].values()) == 84
    shrink(source, tmp_path / "alone")
    assert files(tmp_path / "alone") == files(tmp_path / "new")
    assert main([*args, "--workers", "0"]) == 0
    assert "All of these images were done by earlier runs" in capsys.readouterr().out


# --- broken images ----------------------------------------------------------------------------


def test_broken_images_are_made_known_and_not_tried_again(source: Path, tmp_path: Path) -> None:
    first = shrink(source, tmp_path / "new")
    assert "both archives" in first.quarantined
    broken = [f"{ODD}/cut.jpg", f"{ODD}/words.jpg"]
    for root in (source, tmp_path / "new"):
        catalog = open_catalog(root)
        listed = quarantine.load(catalog)
        assert [entry.image for entry in listed.entries] == broken
        assert [catalog.name(row) for row in listed.rows(catalog)] == broken
        assert {entry.found_by for entry in listed.entries} == {"shrink"}


def test_an_image_on_the_list_is_copied_as_it_is(source: Path, tmp_path: Path) -> None:
    catalog = open_catalog(source)
    quarantine.add(catalog, {0: "it looks odd"}, found_by="someone")
    summary = shrink(source, tmp_path / "new")
    assert summary.total.broken == 3
    assert summary.broken[0].why == "it looks odd"
    name = catalog.name(0)
    (old,), (new,) = (
        [data for m, data in members(root / PART.format(1)) if m.name == name]
        for root in (source, tmp_path / "new")
    )
    assert new == old


# --- what is refused --------------------------------------------------------------------------


def test_a_cut_tar_is_refused_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    path = source / PART.format(2)
    os.truncate(path, path.stat().st_size - 40_000)
    for target in (source, path):
        with pytest.raises(TarDamage, match="read whole") as caught:
            shrink(target, tmp_path / "new")
        assert caught.value.path == path
    assert not (tmp_path / "new").exists()


def test_the_old_archive_is_never_a_place_for_the_new_one(source: Path, tmp_path: Path) -> None:
    before = files(source)
    (tmp_path / "link").symlink_to(source)
    for out in (source, source / "new", source / "train" / "x", tmp_path / "link" / "new"):
        with pytest.raises(BagreidError, match="the new archive would"):
            shrink(source, out)
    for out in (source / PART.format(1), source / "train"):
        with pytest.raises(BagreidError, match=r"would be an old one|there already"):
            shrink(source / PART.format(1), out)
    assert files(source) == before


def test_an_archive_behind_links_is_not_written_to(source: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("train", "test"):
        (linked / name).symlink_to(source / name)
    with pytest.raises(BagreidError, match="would lie inside the old one"):
        shrink(linked, source / "train" / "new")


def test_what_is_there_already_stays(source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file.tar").write_bytes(b"mine")
    for start, out in ((source, "full"), (source / TEST, "full"), (source / TEST, "file.tar")):
        with pytest.raises(BagreidError, match="it is there already"):
            shrink(start, tmp_path / out)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (ShrinkConfig(shortest_edge=25), "begun with --shortest-edge 24, and now it is 25"),
        (ShrinkConfig(shortest_edge=24, quality=80), "begun with --quality 90, and now it is 80"),
        (
            ShrinkConfig(shortest_edge=24, interpolation="bilinear"),
            "begun with --interpolation bicubic, and now it is bilinear",
        ),
    ],
)
def test_other_settings_are_refused(
    config: ShrinkConfig, said: str, source: Path, tmp_path: Path
) -> None:
    shrink(source / TEST, tmp_path / "new")
    with pytest.raises(BagreidError, match=said):
        shrink(source / TEST, tmp_path / "new", config)


def test_another_version_of_a_library_is_refused(source: Path, tmp_path: Path) -> None:
    shrink(source / TEST, tmp_path / "new")
    record = tmp_path / "new" / "shrink" / "record.json"
    data = json.loads(record.read_text())
    data["made_with"]["pillow"] = "9.5.0"
    record.write_text(json.dumps(data))
    with pytest.raises(BagreidError, match=r"begun with pillow 9\.5\.0, and now it is"):
        shrink(source / TEST, tmp_path / "new")


def test_a_source_that_changed_since_is_refused(source: Path, tmp_path: Path) -> None:
    shrink(source, tmp_path / "new")
    path = source / TEST
    path.write_bytes(path.read_bytes() + bytes(10240))
    with pytest.raises(BagreidError, match=f"'{TEST}' changed since .*: it had .* bytes and has"):
        shrink(source, tmp_path / "new")
    path.write_bytes(path.read_bytes()[:-10240])
    with pytest.raises(BagreidError, match=f"'{TEST}' changed since .* was written to"):
        shrink(source, tmp_path / "new")
    path.unlink()
    with pytest.raises(BagreidError, match=f"other tars than .*: '{TEST}' is gone"):
        shrink(source, tmp_path / "new")


def test_a_list_that_changed_since_is_refused(source: Path, tmp_path: Path) -> None:
    shrink(source, tmp_path / "new")
    (source / "query.txt").write_text("")
    with pytest.raises(BagreidError, match=r"the file 'query\.txt' changed since"):
        shrink(source, tmp_path / "new")


@pytest.mark.parametrize("how", ["written", "cut"])
def test_a_source_that_changes_meanwhile_is_noticed(
    how: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PACE", 0.0)
    path = source / PART.format(1)

    def begin(_: Tally, __: int) -> Callable[[Tally], None]:
        if how == "cut":
            os.truncate(path, 20_000)
        else:
            path.touch()
        return lambda _: None

    with pytest.raises(BagreidError, match=r"changed while|was whole when it was scanned"):
        shrink(source, tmp_path / "new", begin=begin)
    assert not (tmp_path / "new" / PART.format(1)).exists()


def test_two_processes_do_not_write_one_archive(source: Path, tmp_path: Path) -> None:
    def begin(_: Tally, __: int) -> Callable[[Tally], None]:
        with pytest.raises(BagreidError, match="another process is shrinking into this place"):
            shrink(source, tmp_path / "new")
        return lambda _: None

    shrink(source, tmp_path / "new", begin=begin)


# --- what a kill leaves -----------------------------------------------------------------------

# A server that has loaded torch and runs no threads: its children start in no time.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["bagreid.data.shrinking.picture"])


def shrink_in_child(source: Path, out: Path, limit: int | None = None) -> None:
    """Shrinks in a process to be killed: a line of the journal after every piece of two images."""
    writing.PACE = 0.0
    reading.PIECE_IMAGES = 2
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        shrink(source, out)
    except BagreidError as error:
        (out.parent / "said.txt").write_text(str(error))
        sys.exit(2)


@contextmanager
def child(*args: Any) -> Iterator[BaseProcess]:
    process = FORKS.Process(target=shrink_in_child, args=args)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def written(out: Path) -> int:
    """Bytes of new tars, whole or not; one that is being renamed may be missed."""
    sizes = []
    for path in out.rglob("*.tar*"):
        if path.name.endswith((".tar", ".partial")):
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size if path.is_file() else 0)
    return sum(sizes)


def test_killed_at_any_moment_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    source, out = write_archive(tmp_path / "old", images=150), tmp_path / "new"
    shrink(source, tmp_path / "undisturbed")
    whole = written(tmp_path / "undisturbed")
    draw = random.Random(11)
    kills, stood = 0, 0
    for moment in sorted(draw.uniform(0, 1) for _ in range(12)):
        with child(source, out) as process:
            while process.is_alive() and (not out.exists() or written(out) < moment * whole):
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.01))
            kills += process.is_alive()
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
        journals = [Journal(path).standing() for path in sorted(out.rglob("*.jsonl"))]
        stands = sum(journal.tally.written for journal in journals)
        assert stands >= stood, "a later run stood before an earlier one"
        stood = stands
    assert kills >= 6
    summary = shrink(source, out)
    assert summary.earlier.images > 100
    assert files(out) == files(tmp_path / "undisturbed")
    assert summary.total == shrink(source, tmp_path / "undisturbed").total


def test_killed_among_workers_it_leaves_none_and_goes_on(tmp_path: Path) -> None:
    source, out = write_archive(tmp_path / "old", images=600), tmp_path / "new"
    code = (
        "import sys; from pathlib import Path; from bagreid.data.shrinking import *;"
        "from bagreid.data.shrinking import writing; writing.PACE = 0.0;"
        "shrink_archive(Path(sys.argv[1]), Path(sys.argv[2]), ShrinkConfig(shortest_edge=24),"
        " workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, source, out])
    while process.poll() is None and written(out) < 200_000:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlive the killed process"
    summary = shrink(source, out)
    assert 0 < summary.earlier.images < 1200
    shrink(source, tmp_path / "undisturbed")
    assert files(out) == files(tmp_path / "undisturbed")


def test_a_full_disk_is_said_and_gone_on_from(source: Path, tmp_path: Path) -> None:
    """A limit on the length of files stands in for the disk: it fails in the same place."""
    shrink(source, tmp_path / "undisturbed")
    for limit in (30_000, 60_000):
        with child(source, tmp_path / "new", limit) as process:
            process.join()
            assert process.exitcode == 2
        said = (tmp_path / "said.txt").read_text()
        assert "cannot be written (File too large)" in said
        assert "run the same command again" in said
    shrink(source, tmp_path / "new")
    assert files(tmp_path / "new") == files(tmp_path / "undisturbed")


def torn(out: Path) -> None:
    """The journal's last line is written in part."""
    journal = next(out.rglob("*part1.tar.jsonl"))
    journal.write_bytes(journal.read_bytes()[:-7])


def unnamed(out: Path) -> None:
    """A kill between the journal's last line and the rename."""
    tar = out / PART.format(1)
    tar.rename(tar.with_name(tar.name + ".partial"))


def lost(out: Path) -> None:
    """The tar is gone, and the journal says that it is whole."""
    (out / PART.format(1)).unlink()


def short(out: Path) -> None:
    """The tar has lost its end, and the journal says that it is whole."""
    os.truncate(out / PART.format(1), 5000)


def unnoted(out: Path) -> None:
    """Bytes behind those that the journal knows of."""
    torn(out)
    tar = out / PART.format(1)
    tar.rename(tar.with_name(tar.name + ".partial"))
    with tar.with_name(tar.name + ".partial").open("ab") as file:
        file.write(b"more" * 1000)


@pytest.mark.parametrize("leave", [torn, unnamed, lost, short, unnoted])
def test_whatever_was_left_the_bytes_become_the_same(
    leave: Callable[[Path], None],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "PACE", 0.0)
    shrink(source, tmp_path / "undisturbed")
    shrink(source, tmp_path / "new")
    leave(tmp_path / "new")
    summary = shrink(source, tmp_path / "new")
    assert files(tmp_path / "new") == files(tmp_path / "undisturbed")
    assert summary.total == shrink(source, tmp_path / "undisturbed").total
