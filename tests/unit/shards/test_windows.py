"""Windows that move over a remote tar: whatever their sizes, the scan is the same."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.shards import windows
from bagreid.shards.scanner import Scanner
from bagreid.shards.source import State
from bagreid.shards.windows import MovingWindow


class Bytes:
    """A source that is neither local nor remote, and remembers what was read."""

    path = Path("some.tar")
    name = "some.tar"

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.size = len(raw)
        self.state: State = (len(raw), "")
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, size: int) -> memoryview:
        self.reads.append((offset, size))
        return memoryview(self.raw)[offset : offset + size]

    def close(self) -> None:
        pass


def make_tar(sizes: list[int], kinds: list[str], tar_format: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for number, (size, kind) in enumerate(zip(sizes, kinds, strict=True)):
            info = tarfile.TarInfo(f"{'d' * 130 if kind == 'long' else 'd'}/{number}.jpg")
            if kind == "folder":
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
                continue
            if kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, "elsewhere"
                tar.addfile(info)
                continue
            info.size, info.mtime = size, 1.5 if kind == "dated" else 1
            tar.addfile(info, io.BytesIO(random.Random(number).randbytes(size)))
    return out.getvalue()


def scanned(raw: bytes) -> tuple[list[tuple[str, int, int, bool]], dict[str, int], str | None]:
    found = Scanner(Bytes(raw)).scan(None)
    names, offset, size, named = found.columns()
    rows = zip(names.to_pylist(), offset.tolist(), size.tolist(), named.tolist(), strict=True)
    return list(rows), dict(found.skipped), found.damage and str(found.damage)


@settings(max_examples=60)
@given(data=st.data())
def test_every_size_of_window_gives_the_same(data: st.DataObject) -> None:
    kinds = data.draw(
        st.lists(st.sampled_from(["plain", "plain", "long", "dated", "folder", "link"]))
    )
    sizes = data.draw(st.lists(st.integers(0, 9000), min_size=len(kinds), max_size=len(kinds)))
    tar_format = data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    raw = make_tar(sizes, kinds, tar_format)
    raw = raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))]
    with pytest.MonkeyPatch.context() as patch:
        wanted = scanned(raw)
        patch.setattr(windows, "SMALLEST", 512 * data.draw(st.integers(1, 4)))
        patch.setattr(windows, "LARGEST", windows.SMALLEST << data.draw(st.integers(0, 4)))
        patch.setattr(windows, "AHEAD", 512 * data.draw(st.integers(1, 40)))
        assert scanned(raw) == wanted


def test_windows_grow_while_one_follows_another_and_start_again_behind_a_leap() -> None:
    source = Bytes(bytes(128 << 20))
    moving = MovingWindow(source)
    position = 0
    while position < 40 << 20:
        window = moving.at(position)
        assert window.start <= position < window.end
        assert moving.at(window.end - 512) is window
        position = window.end
    assert moving.at(100 << 20).start == 100 << 20
    moving.close()
    *row, leap = sorted(source.reads)
    sizes = [size for _, size in row]
    assert sizes[:9] == [64 * 1024 << n for n in range(9)]
    assert max(sizes) == windows.LARGEST
    assert leap == (100 << 20, windows.SMALLEST)
    ends = [offset + size for offset, size in row]
    assert [0, *ends[:-1]] == [offset for offset, _ in row]  # nothing twice, no gaps


def test_behind_the_end_there_is_nothing() -> None:
    moving = MovingWindow(Bytes(bytes(1000)))
    assert len(moving.at(0).view) == 1000
    assert len(moving.at(0).block_WB) == 1
    assert len(moving.at(512).view) == 1000
    assert len(moving.at(1024).view) == 0
    moving.close()


def test_the_index_of_nothing_is_empty() -> None:
    assert scanned(bytes(10_240)) == ([], {}, None)
