"""Tars behind fsspec: read like local ones, or refused with a reason."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import random
import socket
import tarfile
import threading
from pathlib import Path
from typing import Any, Protocol

import fsspec
import pytest

from bagreid.contracts import BagreidError
from bagreid.shards import ShardReader, header_probe, open_source, scan_tar, survey_tar


class Web(Protocol):
    """What these tests use of the server in conftest.py."""

    files: dict[str, bytes]
    ranges: bool
    tag: str | None
    drops: int
    drop_after: int
    answers: list[int]
    kind: str
    asked: list[str | None]
    sent: int

    def pointer(self, folder: Path, name: str, data: bytes) -> Path: ...


def make_tar(sizes: list[int], seed: int = 0) -> bytes:
    draw = random.Random(seed)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number, size in enumerate(sizes):
            info = tarfile.TarInfo(f"0000000001/{number}.jpg")
            info.size = size
            tar.addfile(info, io.BytesIO(draw.randbytes(size)))
    return out.getvalue()


def everything(reader: ShardReader, raw: bytes) -> None:
    """Reads each member through the reader and compares it with what tarfile reads."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            view = reader.read(0, member.offset_data, member.size)
            assert view.readonly
            assert bytes(view) == file.read()


@pytest.fixture(params=["http", "file", "memory"])
def pointed(request: pytest.FixtureRequest, web: Web, tmp_path: Path) -> tuple[Path, bytes]:
    """A pointer to a tar behind each kind of file system, and the tar's bytes."""
    raw = make_tar([random.Random(1).randrange(5000) for _ in range(60)] + [200_000, 7])
    if request.param == "http":
        return web.pointer(tmp_path, "a", raw), raw
    path = tmp_path / "a.tar.url"
    if request.param == "file":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "a.tar").write_bytes(raw)
        path.write_text(f"file://{tmp_path}/elsewhere/a.tar")
    else:
        fsspec.filesystem("memory").pipe("/a.tar", raw)
        path.write_text("memory://a.tar")
    return path, raw


def test_a_remote_tar_is_indexed_and_read_like_a_local_one(
    pointed: tuple[Path, bytes], tmp_path: Path
) -> None:
    path, raw = pointed
    local = tmp_path / "local.tar"
    local.write_bytes(raw)
    near, far = scan_tar(local), scan_tar(path)
    assert far.names.equals(near.names)
    assert far.offset.tolist() == near.offset.tolist()
    assert far.size.tolist() == near.size.tolist()
    assert far.bytes == len(raw) == far.state[0]
    assert header_probe(open_source(path)) == header_probe(open_source(local))
    with ShardReader([path]) as reader:
        everything(reader, raw)
        with pytest.raises(BagreidError, match="again"):
            reader.read(0, len(raw) - 1, 2)
    everything(reader, raw)
    everything(pickle.loads(pickle.dumps(reader)), raw)  # noqa: S301


@pytest.mark.parametrize("cut", [100, 512 * 3 + 100, 40_000])
def test_a_cut_remote_tar_tells_the_same_damage_as_a_local_one(
    web: Web, tmp_path: Path, cut: int
) -> None:
    raw = make_tar([3000] * 20)[:cut]
    local = tmp_path / "a.tar"
    local.write_bytes(raw)
    near, far = survey_tar(local), survey_tar(web.pointer(tmp_path, "b", raw))
    assert near.damage is not None
    assert far.damage is not None
    assert far.damage.message == near.damage.message
    assert (far.damage.kind, far.damage.byte) == (near.damage.kind, near.damage.byte)
    assert len(far) == len(near)


def test_small_members_are_read_in_a_stream_and_large_ones_for_their_headers(
    web: Web, tmp_path: Path
) -> None:
    small = make_tar([3000] * 3000)
    index = scan_tar(web.pointer(tmp_path, "small", small))
    assert len(index) == 3000
    assert web.sent <= len(small) + 1
    assert len(web.asked) <= 10
    web.asked, web.sent = [], 0
    large = make_tar([3_000_000] * 5)
    assert len(scan_tar(web.pointer(tmp_path, "large", large))) == 5
    assert web.sent < 500_000
    assert len(web.asked) <= 8


def test_an_image_is_one_request(web: Web, tmp_path: Path) -> None:
    reader = ShardReader([web.pointer(tmp_path, "a", make_tar([3000] * 5))])
    reader.read(0, 512, 10)
    web.asked.clear()
    reader.read(0, 512, 3000)
    assert web.asked == ["bytes=512-3511"]


def test_images_in_a_row_are_few_requests(web: Web, tmp_path: Path) -> None:
    raw = make_tar([3000] * 1000)
    path = web.pointer(tmp_path, "a", raw)
    index = scan_tar(path)
    reader = ShardReader([path])
    web.asked, web.sent = [], 0
    for offset, size in zip(index.offset.tolist(), index.size.tolist(), strict=True):
        assert reader.read(0, offset, size) == raw[offset : offset + size]
    assert len(web.asked) < 20
    assert web.sent < 1.01 * len(raw)  # an image at the edge of a stretch comes twice
    web.asked.clear()
    for row in (500, 10, 600, 20, 601, 21):  # and in no order they are one each
        offset, size = int(index.offset[row]), int(index.size[row])
        assert reader.read(0, offset, size) == raw[offset : offset + size]
    assert len(web.asked) == 6


def test_a_server_that_refuses_ranges_never_sends_the_tar(web: Web, tmp_path: Path) -> None:
    raw = bytes(64 << 20)
    path = web.pointer(tmp_path, "a", raw)
    web.ranges = False
    with pytest.raises(BagreidError, match="sends whole files only") as caught:
        scan_tar(path)
    assert caught.value.path == path
    assert "127.0.0.1" in str(caught.value)
    assert "Range requests" in str(caught.value.remedy)
    assert web.asked == ["bytes=0-0"]
    assert web.sent < len(raw) // 4  # what lay in the sockets' buffers


def test_a_server_that_stops_honouring_ranges_is_told_too(web: Web, tmp_path: Path) -> None:
    path = web.pointer(tmp_path, "a", make_tar([3000] * 5))
    source = open_source(path)
    web.ranges = False
    with pytest.raises(BagreidError, match="sends whole files only"):
        source.read(512, 10)


def test_a_web_page_in_place_of_the_tar(web: Web, tmp_path: Path) -> None:
    path = web.pointer(tmp_path, "a", b"<html>please log in</html>")
    web.ranges, web.kind = False, "text/html"
    with pytest.raises(BagreidError, match="web page"):
        open_source(path)


@pytest.mark.parametrize(
    ("status", "match"), [(404, "no such file"), (410, "no such file"), (403, "403 Forbidden")]
)
def test_final_answers_are_told_at_once(web: Web, tmp_path: Path, status: int, match: str) -> None:
    path = web.pointer(tmp_path, "a", make_tar([10]))
    web.answers = [status] * 10
    with pytest.raises(BagreidError, match=match):
        open_source(path)
    assert len(web.asked) == 1


def test_what_is_expected_is_fetched_at_the_same_time(web: Web, tmp_path: Path) -> None:
    raw = make_tar([100_000] * 60)
    source = open_source(web.pointer(tmp_path, "a", raw))
    places = [(start, 3000) for start in range(512, 5_000_000, 600_000)]
    web.asked.clear()
    web.together = threading.Barrier(len(places))  # or nobody is answered
    for _ in range(2):
        for place in places[::-1]:
            source.expect(*place)
            source.expect(*place)
        for start, size in places:
            assert source.read(start, size) == raw[start : start + size]
    assert len(web.asked) == 2 * len(places)
    web.together = threading.Barrier(1)
    assert source.read(700, 10) == raw[700:710]  # out of what is there
    assert source.read(90_000, 10) == raw[90_000:90_010]
    assert len(web.asked) == 2 * len(places) + 1


def test_expected_neighbours_are_read_in_a_row(web: Web, tmp_path: Path) -> None:
    raw = make_tar([3000] * 1000)
    source = open_source(web.pointer(tmp_path, "a", raw))
    places = [(512 + 3584 * number, 3000) for number in range(900)]
    web.asked.clear()
    for first in range(0, 900, 100):
        for place in places[first : first + 100]:
            source.expect(*place)
        for start, size in places[first : first + 100]:
            assert source.read(start, size) == raw[start : start + size]
    assert len(web.asked) < 20


def test_expecting_what_cannot_be_fetched_is_told_when_it_is_read(web: Web, tmp_path: Path) -> None:
    source = open_source(web.pointer(tmp_path, "a", make_tar([100_000] * 9)))
    source.expect(0, 10)
    source.expect(800_000, 10)
    web.tag = '"2"'
    with pytest.raises(BagreidError, match="changed"):
        source.read(0, 10)


def test_a_busy_server_is_asked_again_but_not_for_ever(web: Web, tmp_path: Path) -> None:
    path = web.pointer(tmp_path, "a", make_tar([10]))
    web.answers = [503, 429]
    assert len(scan_tar(path)) == 1
    web.answers = [503] * 100
    web.asked.clear()
    with pytest.raises(BagreidError, match=r"failed 4 times.*503"):
        open_source(path)
    assert len(web.asked) == 4


def test_a_dropped_connection_goes_on_where_it_broke(web: Web, tmp_path: Path) -> None:
    raw = make_tar([3000] * 300)
    path = web.pointer(tmp_path, "a", raw)
    source = open_source(path)
    web.asked.clear()
    web.drops, web.drop_after = 3, 1000
    assert source.read(512, 100_000) == raw[512 : 512 + 100_000]
    starts = [int(asked.partition("=")[2].partition("-")[0]) for asked in web.asked if asked]
    assert starts == sorted(starts)
    assert starts[1] == 512 + 1000
    web.drops = 3
    assert len(scan_tar(path)) == 300


def test_a_server_that_always_drops_is_given_up(web: Web, tmp_path: Path) -> None:
    path = web.pointer(tmp_path, "a", make_tar([3000] * 300))
    source = open_source(path)
    web.drops, web.drop_after = 10_000, 0
    web.asked.clear()
    with pytest.raises(BagreidError, match="failed 4 times, at last at byte 512"):
        source.read(512, 3000)
    assert len(web.asked) == 4
    web.drop_after = 10
    with pytest.raises(BagreidError, match="failed 4 times"):
        scan_tar(path, source=source)


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bagreid.shards.remote.PAUSES", (0.01, 0.01, 0.01))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        path = tmp_path / "a.tar.url"
        path.write_text(f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}/a.tar?key=secret")
        with pytest.raises(BagreidError, match="failed 4 times") as caught:
            open_source(path)
    assert "secret" not in str(caught.value)


def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bagreid.shards.remote.PAUSES", (0.01,))
    monkeypatch.setattr("bagreid.shards.web.SILENCE", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        path = tmp_path / "a.tar.url"
        path.write_text(f"http://127.0.0.1:{silent.getsockname()[1]}/a.tar")
        with pytest.raises(BagreidError, match="failed 2 times"):
            open_source(path)


def test_a_tar_that_changes_under_us_is_told(web: Web, tmp_path: Path) -> None:
    path = web.pointer(tmp_path, "a", make_tar([3000] * 5))
    source = open_source(path)
    web.tag = '"2"'
    with pytest.raises(BagreidError, match="changed"):
        source.read(0, 10)
    source = open_source(path)
    web.files["/a.tar"] = web.files["/a.tar"][:2048]
    for offset in (0, 3000):  # a shorter file, and a range behind its end
        with pytest.raises(BagreidError, match="changed"):
            source.read(offset, 10)
    del web.files["/a.tar"]
    with pytest.raises(BagreidError, match="no such file"):
        source.read(0, 10)


def test_the_state_follows_the_content(web: Web, tmp_path: Path) -> None:
    path = web.pointer(tmp_path, "a", make_tar([3000]))
    before = open_source(path).state
    assert open_source(path).state == before
    web.tag = '"2"'
    assert open_source(path).state != before
    web.tag = None
    assert open_source(path).state == (before[0], "")


def test_a_file_that_changes_under_us_is_told(tmp_path: Path) -> None:
    tar = tmp_path / "a.tar"
    tar.write_bytes(make_tar([3000] * 5))
    path = tmp_path / "a.tar.url"
    path.write_text(f"file://{tar}")
    source = open_source(path)
    size = tar.stat().st_size
    tar.write_bytes(tar.read_bytes()[:2048])
    with pytest.raises(BagreidError, match="changed"):
        source.read(size - 100, 100)
    tar.unlink()
    with pytest.raises(BagreidError, match="no such file"):
        source.read(0, 10)


def test_an_empty_remote_tar_is_damage(web: Web, tmp_path: Path) -> None:
    path = web.pointer(tmp_path, "a", b"")
    for ranges in (True, False):
        web.ranges = ranges
        damage = survey_tar(path).damage
        assert damage is not None
        assert damage.kind == "empty"


class Members:
    """What a data loader does with a reader: worker processes read through a copy of it."""

    def __init__(self, reader: ShardReader, places: list[tuple[int, int]]) -> None:
        self.reader = reader
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> bytes:
        return bytes(self.reader.read(0, *self.places[number]))


@pytest.fixture
def opened(web: Web, tmp_path: Path) -> tuple[ShardReader, list[tuple[int, int]], list[bytes]]:
    """A reader whose connection and event loop are there already, and what it should read."""
    raw = make_tar([3000] * 40)
    path = web.pointer(tmp_path, "a", raw)
    index = scan_tar(path)
    places = list(zip(index.offset.tolist(), index.size.tolist(), strict=True))
    reader = ShardReader([path])
    reader.read(0, *places[0])
    return reader, places, [raw[offset : offset + size] for offset, size in places]


def test_the_workers_of_a_data_loader_open_their_own_connections(
    opened: tuple[ShardReader, list[tuple[int, int]], list[bytes]],
) -> None:
    from torch.utils.data import DataLoader  # slow: not for the processes of the test below

    reader, places, wanted = opened
    loader: Any = DataLoader(
        Members(reader, places), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    for _ in range(2):
        assert list(loader) == wanted
        assert bytes(reader.read(0, *places[3])) == wanted[3]  # the parent's own still works


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_open_their_own_connections(
    opened: tuple[ShardReader, list[tuple[int, int]], list[bytes]], method: str
) -> None:
    reader, places, wanted = opened
    with multiprocessing.get_context(method).Pool(2) as pool:
        read = pool.starmap(reader_reads, [(reader, place) for place in places])
    assert read == wanted


def reader_reads(reader: ShardReader, place: tuple[int, int]) -> bytes:
    return bytes(reader.read(0, *place))
