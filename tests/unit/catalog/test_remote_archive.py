"""Archives whose tars lie behind fsspec: pointers in a folder, or the URL of the folder itself."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from folder_server import FolderServer, serve
from sample_archives import Contents, write_tar

from bagreid.catalog import Catalog, open_catalog
from bagreid.catalog.layouts import find_layout
from bagreid.catalog.remote import local_root, url_of
from bagreid.catalog.store import cache_directory
from bagreid.catalog.survey import survey_archive
from bagreid.cli.main import main
from bagreid.contracts import BagreidError


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def web(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderServer]:
    """The archive on a server of the loopback."""
    monkeypatch.setattr("bagreid.shards.remote.PAUSES", (0.01, 0.01, 0.01))
    with serve(archive) as web:
        yield web


def everything(catalog: Catalog) -> list[tuple[str, bytes, int, int]]:
    columns = catalog.group.tolist(), catalog.camera.tolist()
    return [
        (catalog.name(row), bytes(catalog.read(row)), group, camera)
        for row, (group, camera) in enumerate(zip(*columns, strict=True))
    ]


def change(path: Path) -> None:
    """Moves a file's time of change, and so its ETag on the server, by a second."""
    stamp = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(stamp, stamp))


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("http://host/folder", "http://host/folder"),
        (Path("http://host/folder/"), "http://host/folder"),
        (Path("s3://bucket/a/b"), "s3://bucket/a/b"),
        (Path("file:///data/set"), "file:///data/set"),
        ("file:///data/set/", "file:///data/set"),
        (Path("/data/http:/host"), None),
        (Path("data"), None),
        ("data/x", None),
        (Path("C:/data"), None),
        ("http://", None),
    ],
)
def test_a_url_is_told_from_a_path(named: Path | str, url: str | None) -> None:
    assert url_of(named) == url


def test_a_folder_that_looks_like_a_url_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "http:" / "host").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert url_of(Path("http:/host")) is None
    for chain in ("simplecache::http://host/folder", Path("zip::http://host/folder")):
        with pytest.raises(BagreidError, match="chain of URLs"):
            url_of(chain)


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_pointers_in_place_of_tars(
    any_layout: tuple[str, Path, str], tmp_path: Path, cache: Path, scheme: str
) -> None:
    root = any_layout[1]
    near = everything(open_catalog(root, cache=cache))
    elsewhere = tmp_path / "elsewhere"
    with serve(elsewhere) as web:
        base = web.url if scheme == "http" else f"file://{elsewhere}"
        for number, tar in enumerate(sorted((tmp_path / "here").rglob("*.tar"))):
            elsewhere.mkdir(exist_ok=True)
            tar.with_name(f"{tar.name}.url").write_text(f"{base}/{number}.tar\n")
            shutil.move(tar, elsewhere / f"{number}.tar")
        catalog = open_catalog(root, cache=cache)
        assert everything(catalog) == near


def test_a_tar_that_was_fetched_takes_the_place_of_its_pointer(archive: Path, cache: Path) -> None:
    for tar in list(archive.rglob("*.tar")):
        tar.with_name(f"{tar.name}.url").write_text("http://127.0.0.1:9/nobody-is-there.tar")
    assert len(open_catalog(archive, cache=cache)) == 26
    (archive / "train/sysu_train_set_all_part1.tar").unlink()
    layout = find_layout(archive)
    assert [tar.path.name for tar in layout.tars] == [
        "sysu_train_set_all_part1.tar.url",
        "sysu_train_set_all_part2.tar",
        "sysu_test_set_all.tar",
    ]
    (archive / "train/sysu_train_set_all_part1.tar.url").unlink()
    with pytest.raises(BagreidError, match=r"part1\.tar: the tar is missing.*part 2"):
        find_layout(archive)


def test_a_url_is_an_archive(web: FolderServer, archive: Path, cache: Path) -> None:
    (archive / "net_6.pth").write_bytes(bytes(1000))
    catalog = open_catalog(web.url, cache=cache)
    near = open_catalog(archive, cache=cache)
    assert everything(catalog) == everything(near)
    assert catalog.findings == near.findings
    assert (catalog.layout, catalog.files) == (near.layout, near.files)
    assert catalog.source == web.url
    place = catalog.directory.parent
    assert catalog.root == place / "mirror"
    assert files_below(place / "mirror") == {
        "train.txt",
        "query.txt",
        "gallery.txt",
        "bag_level_label.json",
        "train/sysu_train_set_all_part1.tar.url",
        "train/sysu_train_set_all_part2.tar.url",
        "test/sysu_test_set_all.tar.url",
    }
    assert cache_directory(catalog.root, None) == place
    assert everything(open_catalog(Path(web.url), cache=cache)) == everything(near)
    assert open_catalog(catalog.root, cache=cache).directory == catalog.directory
    assert {path.split(" ")[1] for path in web.asked} >= {"/train/", "/test/"}
    assert "/net_6.pth" not in web.sent


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_other_file_systems(archive: Path, cache: Path, scheme: str, contents: Contents) -> None:
    url, before = f"file://{archive}", files_below(archive)
    if scheme == "memory":
        import fsspec

        memory = fsspec.filesystem("memory")
        memory.put(str(archive), "/some/where", recursive=True)
        url = "memory://some/where"
    catalog = open_catalog(url, cache=cache)
    assert [catalog.name(row) for row in range(len(catalog))] == contents.names
    assert not catalog.root.is_relative_to(archive)
    assert files_below(archive) == before


def test_every_layout_behind_a_url(
    any_layout: tuple[str, Path, str], cache: Path, contents: Contents
) -> None:
    what, root, layout = any_layout
    with serve(root) as web:
        if "tars" not in layout:
            with pytest.raises(BagreidError, match="nothing here looks like an archive"):
                open_catalog(web.url, cache=cache)
            return
        catalog = open_catalog(web.url, cache=cache)
        names = [catalog.name(row) for row in range(len(catalog))]
    if "extracted" in layout and what != "tars_and_extracted_files":
        assert set(names) < set(contents.names)  # extracted files are not read from afar
    else:
        assert names == contents.names


def test_only_what_changed_is_fetched_and_scanned_again(
    web: FolderServer, archive: Path, cache: Path, contents: Contents
) -> None:
    first = open_catalog(web.url, cache=cache)
    web.asked.clear()
    web.sent.clear()
    assert open_catalog(web.url, cache=cache).directory == first.directory
    assert not any(name.endswith((".txt", ".json")) for name in web.sent)
    assert sum(web.sent.values()) < 10_000  # listings, and one byte of each tar

    (archive / "gallery.txt").write_text("\n".join(contents.gallery[::-1]))
    change(archive / "gallery.txt")
    second = open_catalog(web.url, cache=cache)
    assert [second.name(row) for row in second.split("gallery")] == contents.gallery[::-1]

    scans = {path: path.stat().st_ino for path in (first.directory.parent / "scans").iterdir()}
    change(archive / "train/sysu_train_set_all_part2.tar")
    assert open_catalog(web.url, cache=cache).directory != second.directory
    again = {path: path.stat().st_ino for path in (first.directory.parent / "scans").iterdir()}
    assert (len(again), len(scans.items() & again.items())) == (3, 2)

    write_tar(archive / "train/sysu_train_set_all_part3.tar", ["sysu_train_set_all/9/1.jpg"])
    (archive / "query.txt").unlink()
    third = open_catalog(web.url, cache=cache)
    assert len(third.split("train")) == 16
    assert "query" not in third.files
    assert not list(cache.rglob("*.partial"))


def test_without_etags_lists_are_compared(web: FolderServer, archive: Path, cache: Path) -> None:
    web.tags = False
    first = open_catalog(web.url, cache=cache)
    assert open_catalog(web.url, cache=cache).directory == first.directory
    text = (archive / "train.txt").read_text()
    (archive / "train.txt").write_text(text.replace("000_01", "999_01", 1))  # of the same size
    assert open_catalog(web.url, cache=cache).findings.lists[0].absent == 1
    tar = archive / "train/sysu_train_set_all_part1.tar"
    tar.write_bytes(tar.read_bytes().replace(b"0000000001/000_01", b"0000000001/999_01"))
    assert survey_archive(web.url, cache=cache).tars[0].damage is not None  # the checksum's


def read_in_another_process(catalog: Catalog) -> list[tuple[str, bytes, int, int]]:
    return everything(catalog)


@pytest.mark.parametrize(("method", "workers"), [("fork", 1), ("spawn", 2)])
def test_workers_read_from_afar(web: FolderServer, cache: Path, method: str, workers: int) -> None:
    catalog = open_catalog(web.url, cache=cache, workers=workers)
    expected = everything(catalog)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(read_in_another_process, (catalog,)) == expected
    assert everything(pickle.loads(pickle.dumps(catalog))) == expected  # noqa: S301


@pytest.mark.parametrize("read_before", [False, True])
def test_a_remote_tar_that_changed_is_not_read(
    web: FolderServer, archive: Path, cache: Path, read_before: bool
) -> None:
    catalog = open_catalog(web.url, cache=cache)
    if read_before:
        catalog.read(0)
    change(archive / "train/sysu_train_set_all_part1.tar")
    with pytest.raises(BagreidError, match=r"part1\.tar.*(is not what was indexed|it changed)"):
        catalog.read(1)
    catalog.read(len(catalog) - 1)


def test_a_server_that_does_not_list_is_told_apart(web: FolderServer, cache: Path) -> None:
    web.lists = False
    with pytest.raises(BagreidError, match=r"does not list.*part1\.tar\.url, and name that folder"):
        open_catalog(web.url, cache=cache)
    web.lists = True
    with pytest.raises(BagreidError, match="does not list"):
        open_catalog(f"{web.url}/absent", cache=cache)
    assert not survey_archive(f"{web.url}/absent", cache=cache).members
    problem = next(survey_archive(f"{web.url}/absent", cache=cache).problems())
    assert "does not list" in str(problem)


def test_a_server_without_ranges_is_told(web: FolderServer, cache: Path) -> None:
    web.ranges = False
    with pytest.raises(BagreidError, match="sends whole files only"):
        open_catalog(web.url, cache=cache)
    assert web.sent.get("/test/sysu_test_set_all.tar", 0) < 100_000


def test_strange_links_write_nothing_elsewhere(
    web: FolderServer, cache: Path, tmp_path: Path
) -> None:
    web.extra += ["%2e%2e/%2e%2e/train.txt", "..%2f..%2ftrain.txt", "%2e%2e", "a%00.tar", "x/y.tar"]
    before = files_below(tmp_path)
    catalog = open_catalog(web.url, cache=cache)
    assert len(catalog) == 26
    new = files_below(tmp_path) - before
    assert all(name.startswith("cache/") for name in new)
    tars = {f"{tar.relative_to(web.root)}.url" for tar in web.root.rglob("*.tar")}
    lists = {f"{name}.txt" for name in ("train", "query", "gallery")}
    assert files_below(catalog.root) == tars | lists | {"bag_level_label.json"}


def test_compressed_tars_and_cut_copies_behind_a_url(
    web: FolderServer, archive: Path, cache: Path
) -> None:
    (archive / "train/sysu_train_set_all_part3.tar.gz").write_bytes(b"")
    with pytest.raises(BagreidError, match=r"part3\.tar\.gz.*the tar is compressed"):
        open_catalog(web.url, cache=cache)
    (archive / "train/sysu_train_set_all_part3.tar.gz").unlink()
    tar = archive / "test/sysu_test_set_all.tar"
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(BagreidError, match=r"members? read whole"):
        open_catalog(web.url, cache=cache)


def test_an_unknown_scheme_and_a_dead_server(cache: Path) -> None:
    with pytest.raises(BagreidError, match="cannot be opened"):
        local_root("nonsense://host/folder", cache=cache)
    with pytest.raises(BagreidError, match="does not list"):
        local_root("http://user:secret@127.0.0.1:9/folder", cache=cache)
    with pytest.raises(BagreidError) as caught:
        local_root("http://user:secret@127.0.0.1:9/folder", cache=cache)
    assert "secret" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_told(web: FolderServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BagreidError, match=r"cannot be written here.*--cache"):
        open_catalog(web.url, cache=tmp_path / "file")


def test_the_verb_takes_a_url(
    web: FolderServer, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalog", web.url, "--cache", str(cache)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(web.url)
    assert "4 queries, 0 of them without a match" in out
    web.lists = False
    assert main(["catalog", web.url, "--cache", str(cache)]) == 2
    assert "does not list what lies there" in capsys.readouterr().err
