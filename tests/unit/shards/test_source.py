"""Local sources, and the probe that tells one tar from another."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import psutil
import pytest

from bagreid.contracts import BagreidError
from bagreid.shards import header_probe, open_source
from bagreid.shards.source import LocalSource


def test_views_of_a_local_source_outlive_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(range(256)) * 400)
    source = LocalSource(path)
    status = path.stat()
    assert source.name == str(path)
    assert source.state == (status.st_size, status.st_mtime_ns)
    read, mapped = source.read(512, 4), source.view[512:516]
    assert read.readonly
    assert mapped.readonly
    source.close()
    assert bytes(read) == bytes(mapped) == b"\0\1\2\3"


def test_reading_leaves_nothing_in_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(1 << 26))
    source = open_source(path)
    own = psutil.Process()

    def rss() -> int:
        gc.collect()
        return int(own.memory_info().rss)

    source.read(0, 1 << 16)
    before = rss()
    for start in range(0, 1 << 26, 1 << 14):
        source.read(start, 3000)
    assert rss() - before < 8 << 20  # mapped, the 64 MB that were looked at would count


def test_a_file_that_is_cut_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(100_000))
    source = open_source(path)
    with path.open("r+b") as file:
        file.truncate(50_000)
    assert len(source.read(49_000, 1000)) == 1000
    with pytest.raises(BagreidError, match="held 100,000 bytes and ends before byte 51,000 now"):
        source.read(49_000, 2000)


def test_reading_in_any_order_gives_the_bytes(tmp_path: Path) -> None:
    raw = os.urandom(300_000)
    (tmp_path / "a.tar").write_bytes(raw)
    source = open_source(tmp_path / "a.tar")
    in_a_row = [(start, 3000) for start in range(0, 297_000, 3512)]
    leaps = [(200_000, 50_000), (0, 10), (299_999, 1), (299_000, 5000), (300_000, 5), (0, 300_000)]
    for start, size in [*in_a_row, *leaps, *in_a_row]:
        assert source.read(start, size) == raw[start : start + size]


def test_an_empty_file_is_a_source_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    source = open_source(tmp_path / "a.tar")
    assert source.size == 0
    assert bytes(source.read(0, 10)) == b""
    assert len(header_probe(source)) == 32


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match="cannot be read") as caught:
        open_source(tmp_path / "absent.tar")
    assert caught.value.remedy
    with pytest.raises(BagreidError, match="no plain file"):
        open_source(tmp_path)


@pytest.mark.parametrize("size", [1, 511, 512, 5000, 100_000])
def test_the_probe_sees_the_beginning_the_end_and_the_size(tmp_path: Path, size: int) -> None:
    def probe(raw: bytes) -> str:
        (tmp_path / "a.tar").write_bytes(raw)
        return header_probe(open_source(tmp_path / "a.tar"))

    raw = os.urandom(size)
    one = probe(raw)
    assert probe(raw) == one
    assert probe(raw[:-1] + bytes([raw[-1] ^ 1])) != one
    assert probe(bytes([raw[0] ^ 1]) + raw[1:]) != one
    assert probe(raw + b"\0") != one
