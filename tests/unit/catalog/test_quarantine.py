"""The list of broken images: written, merged, killed, damaged, edited, and matched with rows."""

from __future__ import annotations

import dataclasses
import fcntl
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_archives import Contents, make_contents, write_tar

from bagreid.catalog import Catalog, open_catalog
from bagreid.catalog.quarantine import (
    FILE,
    Quarantine,
    QuarantineEntry,
    add,
    chosen_path,
    load,
    quarantine_path,
    replace,
    store,
)
from bagreid.catalog.quarantine.entries import format_lines, parse_lines
from bagreid.contracts import BagreidError

IMAGES = 26
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def opened(archive: Path, tmp_path: Path) -> Catalog:
    return open_catalog(archive, cache=tmp_path / "cache")


ENTRIES = st.builds(
    QuarantineEntry,
    image=st.text(min_size=1),
    size=st.integers(0, 2**32 - 1),
    crc32=st.integers(0, 2**32 - 1),
    reason=st.text(min_size=1),
    found_by=st.text(min_size=1),
    when=st.text(min_size=1),
    offset=st.none() | st.integers(0, 2**63 - 1),
)


@given(st.lists(ENTRIES))
def test_lines_are_read_as_written(entries: list[QuarantineEntry]) -> None:
    last = {entry.image: entry for entry in entries}
    read = parse_lines(format_lines(tuple(entries)), Path("x"))
    assert read == tuple(last[image] for image in sorted(last))
    assert parse_lines(format_lines(read), Path("x")) == read


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """One archive for all draws of a property test."""
    folder = tmp_path_factory.mktemp("shared")
    make_contents().write_tars(folder / "root")
    catalog = open_catalog(folder / "root", cache=folder / "cache")
    assert len(catalog) == IMAGES
    return catalog


@given(rows=st.sets(st.integers(0, IMAGES - 1)))
def test_any_rows_come_back(shared: Catalog, rows: set[int]) -> None:
    path = quarantine_path(shared)
    path.unlink(missing_ok=True)
    listed = add(shared, dict.fromkeys(rows, "cut"), found_by="train")
    assert load(shared) == load(path) == load(path.parent) == listed
    assert listed.rows(shared).tolist() == sorted(rows)
    assert listed.rows(shared).dtype == np.int64
    assert path.exists() == bool(rows)


def test_every_layout_has_a_list_of_its_own(
    any_layout: tuple[str, Path, str], tmp_path: Path
) -> None:
    _, root, _ = any_layout
    catalog = open_catalog(root, cache=tmp_path / "cache")
    rows = list(range(0, len(catalog), 2))
    listed = add(catalog, dict.fromkeys(rows, "cut"), found_by="verify")
    assert listed.path == catalog.directory.parent / FILE
    assert listed.rows(catalog).tolist() == rows
    assert [entry.image for entry in listed.entries] == sorted(map(catalog.name, rows))


def test_a_line_says_all_there_is_to_know(opened: Catalog) -> None:
    add(opened, {4: "the JPEG is cut"}, found_by="verify")
    (line,) = quarantine_path(opened).read_bytes().splitlines()
    told = orjson.loads(line)
    ref = opened.ref(4)
    assert (told["image"], told["size"], told["offset"]) == (ref.name, ref.size, ref.offset)
    assert told["reason"] == "the JPEG is cut"
    assert told["found_by"] == "verify"
    assert told["when"].startswith("20")
    assert told["when"].endswith("+00:00")


def test_who_found_an_image_first_is_remembered(opened: Catalog) -> None:
    first = add(opened, {4: "cut"}, found_by="train")
    before = first.path.stat().st_ino
    assert add(opened, {4: "does not decode"}, found_by="verify") == first
    assert first.path.stat().st_ino == before, "nothing changed, so nothing is written"
    both = add(opened, {4: "x", 7: "empty"}, found_by="extract")
    assert [entry.found_by for entry in both.entries] == ["train", "extract"]
    assert add(opened, {}, found_by="train") == both


def test_a_full_check_takes_back_what_is_whole_and_keeps_your_own(opened: Catalog) -> None:
    add(opened, {1: "cut", 2: "cut"}, found_by="train")
    add(opened, {3: "a wall, no person"}, found_by="me")
    listed = replace(opened, {2: "cut", 5: "empty"}, found_by="verify")
    assert listed.rows(opened).tolist() == [2, 3, 5]
    by_row = listed.matches(opened)
    assert {row: entry.found_by for row, entry in by_row.items()} == {
        2: "train", 3: "me", 5: "verify",
    }  # fmt: skip
    assert replace(opened, {}, found_by="verify").rows(opened).tolist() == [3]


def test_a_full_check_of_a_whole_archive_writes_nothing(opened: Catalog) -> None:
    assert replace(opened, {}, found_by="verify") == Quarantine(quarantine_path(opened))
    assert not quarantine_path(opened).exists()


def changed_bytes(entry: QuarantineEntry) -> QuarantineEntry:
    return dataclasses.replace(entry, crc32=entry.crc32 ^ 1)


def changed_size(entry: QuarantineEntry) -> QuarantineEntry:
    return dataclasses.replace(entry, size=entry.size + 1)


def other_image(entry: QuarantineEntry) -> QuarantineEntry:
    return dataclasses.replace(entry, image=entry.image.replace("000_01", "999_01"))


def other_folder(entry: QuarantineEntry) -> QuarantineEntry:
    return dataclasses.replace(entry, image="sysu_train_set_all/0000000099/000_01.jpg")


def no_path(entry: QuarantineEntry) -> QuarantineEntry:
    return dataclasses.replace(entry, image="x")


def no_split(entry: QuarantineEntry) -> QuarantineEntry:
    return dataclasses.replace(entry, image="sysu_test_set_all/train/1/1_c1_1.jpg")


@pytest.mark.parametrize(
    "change", [changed_bytes, changed_size, other_image, other_folder, no_path, no_split]
)
def test_what_is_no_more_is_stale(
    opened: Catalog, change: Callable[[QuarantineEntry], QuarantineEntry]
) -> None:
    listed = add(opened, {0: "cut", 20: "cut"}, found_by="train")
    stale = Quarantine(listed.path, (change(listed.entries[1]), listed.entries[0]))
    assert stale.rows(opened).tolist() == [20]
    assert len(stale) == 2


def test_an_image_fetched_anew_is_used_again(archive: Path, tmp_path: Path) -> None:
    contents = make_contents()
    catalog = open_catalog(archive, cache=tmp_path / "cache")
    tar = archive / "train" / "sysu_train_set_all_part1.tar"
    with tar.open("r+b") as file:
        file.seek(catalog.ref(2).offset + 8)
        file.write(b"#")
    catalog = open_catalog(archive, cache=tmp_path / "cache", rebuild=True)
    assert add(catalog, {2: "odd"}, found_by="train").rows(catalog).tolist() == [2]
    tar.unlink()
    contents.write_tars(archive)
    again = open_catalog(archive, cache=tmp_path / "cache")
    listed = load(again)
    assert (len(listed), listed.rows(again).tolist()) == (1, [])


def test_the_list_follows_images_into_another_order_and_layout(
    contents: Contents, tmp_path: Path
) -> None:
    """It outlives the catalogs, and knows images by name wherever they lie."""
    root, cache = tmp_path / "root", tmp_path / "cache"
    contents.write_tars(root)
    catalog = open_catalog(root, cache=cache)
    rows = [1, 8, 15, 22]
    names = [catalog.name(row) for row in rows]
    add(catalog, dict.fromkeys(rows, "cut"), found_by="verify")
    shutil.rmtree(root / "train")
    write_tar(root / "train" / "sysu_train_set_all_part1.tar", contents.train[::-1])
    again = open_catalog(root, cache=cache)
    assert again.directory != catalog.directory
    found = load(again).rows(again).tolist()
    assert sorted(map(again.name, found)) == sorted(names)
    assert open_catalog(root, cache=cache, rebuild=True).directory.parent == load(again).path.parent
    assert len(load(again)) == len(rows)


def test_a_list_elsewhere(opened: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "shared" / "list.jsonl"
    assert chosen_path(opened, "auto") == quarantine_path(opened)
    assert chosen_path(opened, "off") is None
    assert chosen_path(opened, path) == path
    add(opened, {3: "cut"}, found_by="train", path=path)
    assert load(path).rows(opened).tolist() == [3]
    assert len(load(opened)) == 0
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    add(opened, {5: "cut"}, found_by="train", path=link)
    assert link.is_symlink()
    assert load(path).rows(opened).tolist() == [3, 5]


LINE = orjson.dumps(QuarantineEntry("a/b.jpg", 3, 4, "cut", "verify", "now", 512))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE[:-9], "the line is no JSON object"),
        (b"[1]", "the line is no JSON object"),
        (b"\0\0\0", "the line is no JSON object"),
        (LINE.replace(b'"size":3,', b""), "the line lacks size"),
        (b'{"image":"x"}', "the line lacks size, crc32, reason, found_by, when"),
        (LINE.replace(b"reason", b"raison"), "the line lacks reason"),
        (LINE.replace(b"{", b'{"note":1,'), "the line has an unknown key 'note'"),
        (LINE.replace(b":3,", b":-3,"), "size is no whole number from 0 to 4294967295"),
        (LINE.replace(b":3,", b":true,"), "size is no whole number"),
        (LINE.replace(b":4,", b":4294967296,"), "crc32 is no whole number"),
        (LINE.replace(b":4,", b':"4",'), "crc32 is no whole number"),
        (LINE.replace(b":512", b":5.5"), "offset is no whole number"),
        (LINE.replace(b'"cut"', b"7"), "reason is no text"),
        (LINE.replace(b'"a/b.jpg"', b'""'), "image is no text"),
        (LINE + LINE, "the line is no JSON object"),
    ],
)
def test_a_damaged_line_is_named_with_its_remedy(
    opened: Catalog, line: bytes, message: str
) -> None:
    path = quarantine_path(opened)
    path.write_bytes(LINE + b"\n\n" + line + b"\n")
    for attempt in (
        lambda: load(opened),
        lambda: add(opened, {1: "cut"}, found_by="train"),
        lambda: replace(opened, {1: "cut"}, found_by="train"),
    ):
        with pytest.raises(BagreidError, match=message) as caught:
            attempt()
        assert (caught.value.path, caught.value.position) == (path, "line 3")
        assert "Delete the line" in str(caught.value)
    assert path.read_bytes().startswith(LINE), "a damaged list is not written over"


@given(st.binary(max_size=300), st.integers(0, 3 * len(LINE)))
def test_damage_is_a_typed_error_or_a_list(junk: bytes, at: int) -> None:
    whole = b"\n".join([LINE, LINE.replace(b"a/b", b"c/d"), LINE.replace(b"a/b", b"e/f")])
    for raw in (junk, whole[:at], whole[:at] + junk + whole[at + len(junk) :]):
        try:
            entries = parse_lines(raw, Path("list"))
        except BagreidError as error:
            position = error.position or ""
        else:
            position = "line 0"
            assert all(isinstance(entry, QuarantineEntry) for entry in entries)
        assert position.startswith("line ")


@pytest.mark.parametrize("edit", [b"\xef\xbb\xbf%s", b"\r\n%s\r\n", b"\n\n  %s", b"%s"])
def test_what_editors_leave_behind_is_read(opened: Catalog, edit: bytes) -> None:
    quarantine_path(opened).write_bytes(edit % LINE)
    (entry,) = load(opened).entries
    assert entry.image == "a/b.jpg"


def test_a_place_that_cannot_be_written_or_read(opened: Catalog, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(BagreidError, match=r"cannot be locked.*'off'"):
        add(opened, {1: "cut"}, found_by="train", path=blocked / "list.jsonl")
    with pytest.raises(BagreidError, match="cannot be read"):
        load(blocked / "list.jsonl")
    assert len(load(tmp_path / "absent" / "list.jsonl")) == 0


def test_a_writer_that_hangs_is_waited_for_and_named(
    opened: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.05)
    lock = quarantine_path(opened).with_name(f"{FILE}.lock")
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BagreidError, match="another process has held") as caught:
            add(opened, {1: "cut"}, found_by="train")
    assert caught.value.path == lock
    assert len(add(opened, {1: "cut"}, found_by="train")) == 1


def add_one_by_one(catalog: Catalog, rows: list[int]) -> None:
    for row in rows:
        add(catalog, {row: f"found by {os.getpid()}"}, found_by="train")


def test_many_writers_lose_nothing(opened: Catalog) -> None:
    shares = [[*range(start, IMAGES, 3), 0] for start in range(4)]
    processes = [FORK.Process(target=add_one_by_one, args=(opened, rows)) for rows in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    listed = load(opened)
    assert listed.rows(opened).tolist() == sorted(set().union(*shares))
    assert len({entry.image for entry in listed.entries}) == len(listed)


def add_until_killed(catalog: Catalog, tell: Connection) -> None:
    for row in range(len(catalog)):
        add(catalog, {row: "cut"}, found_by="train")
        tell.send(row)


@pytest.mark.parametrize("rows", [1, 2, 5, 11])
def test_a_killed_writer_leaves_the_old_list_or_the_new_one(opened: Catalog, rows: int) -> None:
    hear, tell = FORK.Pipe(duplex=False)
    process = FORK.Process(target=add_until_killed, args=(opened, tell))
    process.start()
    for _ in range(rows):
        last = hear.recv()
    process.kill()
    process.join()
    found = load(opened).rows(opened).tolist()
    assert found[: last + 1] == list(range(last + 1))
    assert len(add(opened, {IMAGES - 1: "cut"}, found_by="train")) == len(set(found) | {IMAGES - 1})


def add_and_die_before_the_rename(catalog: Catalog) -> None:
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign]
    add(catalog, {2: "cut"}, found_by="train")


def test_a_kill_between_write_and_rename_leaves_the_old_list(opened: Catalog) -> None:
    before = add(opened, {1: "cut"}, found_by="train")
    process = FORK.Process(target=add_and_die_before_the_rename, args=(opened,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert before.path.with_name(f"{FILE}.partial").exists()
    assert load(opened) == before
    assert add(opened, {2: "cut"}, found_by="train").rows(opened).tolist() == [1, 2]
    assert not before.path.with_name(f"{FILE}.partial").exists()
