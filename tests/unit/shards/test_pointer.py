"""Pointers: one line, one URL, nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bagreid.contracts import BagreidError
from bagreid.shards import open_source, scan_tar
from bagreid.shards.pointer import is_pointer, read_pointer, without_secrets


def pointer(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "part1.tar.url"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n  "])
@pytest.mark.parametrize("behind", [b"", b"\n", b"\r\n", b"  \n\n"])
def test_white_space_around_the_url_does_no_harm(
    tmp_path: Path, before: bytes, behind: bytes
) -> None:
    path = pointer(tmp_path, before + b"https://example.org/a.tar" + behind)
    assert read_pointer(path) == "https://example.org/a.tar"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"/home/me/a.tar",
        b"https://example.org/a.tar\nhttps://example.org/b.tar",
        b"[InternetShortcut]\r\nURL=https://example.org/a.tar",
        b"simplecache::https://example.org/a.tar",
        b"https://example.org/a.tar" + b"x" * 70_000,
        b"\xff\xfe\0h\0t\0t\0p",
    ],
    ids=["empty", "blank", "a path", "two", "a shortcut", "a chain", "long", "no text"],
)
def test_anything_else_is_refused(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(BagreidError, match="URL of a tar in one line") as caught:
        scan_tar(pointer(tmp_path, raw))
    assert caught.value.path == tmp_path / "part1.tar.url"


def test_a_pointer_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match="cannot be read"):
        open_source(tmp_path / "absent.tar.url")
    (tmp_path / "folder.tar.url").mkdir()
    with pytest.raises(BagreidError, match="no plain file"):
        open_source(tmp_path / "folder.tar.url")


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    os.mkfifo(tmp_path / "a.tar.url")
    for name in ("a.tar", "a.tar.url"):
        with pytest.raises(BagreidError, match="no plain file"):
            open_source(tmp_path / name)


def test_unknown_schemes_and_missing_packages_are_told(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match=r"cannot be opened.*nonsense"):
        open_source(pointer(tmp_path, b"nonsense://a/b.tar"))
    with pytest.raises(BagreidError, match="needs a package"):
        open_source(pointer(tmp_path, b"ocilake://a/b.tar"))


def test_a_folder_behind_the_url(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match="no file of a known size"):
        open_source(pointer(tmp_path, f"file://{tmp_path}".encode()))
    with pytest.raises(BagreidError, match="no such file"):
        open_source(pointer(tmp_path, f"file://{tmp_path}/absent.tar".encode()))


def test_names_of_pointers() -> None:
    assert is_pointer(Path("a/part1.TAR.url"))
    assert not is_pointer(Path("a/part1.tar"))
    assert not is_pointer(Path("a.tar.url/part1.tar"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pass@host:81/a@b.tar?key=1#x", "https://host:81/a@b.tar"),
        ("s3://bucket/a.tar", "s3://bucket/a.tar"),
        ("file:///data/a.tar", "file:///data/a.tar"),
        ("https://host?key=1", "https://host"),
    ],
)
def test_messages_show_no_passwords(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
