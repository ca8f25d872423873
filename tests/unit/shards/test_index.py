"""The tar scanner against Python's tarfile, and against damage of every kind."""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.shards import TarIndex, scan_tar

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def make_tar(members: list[tuple[str, bytes]], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def scan(tmp_path: Path, raw: bytes, name: str = "a.tar") -> TarIndex:
    path = tmp_path / name
    path.write_bytes(raw)
    return scan_tar(path)


def listing(index: TarIndex) -> list[tuple[str, int, int]]:
    return list(
        zip(index.names.to_pylist(), index.offset.tolist(), index.size.tolist(), strict=True)
    )


def twin(raw: bytes) -> list[tuple[str, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
        return [(m.name, m.offset_data, m.size) for m in tar if m.isreg()]


def checksummed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def header(name: bytes = b"a.jpg", size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    return checksummed(block)


END = bytes(1024)

part = st.text(
    st.characters(blacklist_characters="/\0\n", blacklist_categories=("Cs",)), min_size=1
).filter(lambda text: text not in {".", ".."})
names = st.lists(part, min_size=1, max_size=8).map("/".join)


@settings(deadline=None, max_examples=80)
@given(
    members=st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=12),
    tar_format=st.sampled_from(sorted(FORMATS)),
    repeat=st.integers(1, 30),
)
def test_scan_equals_tarfile(
    tmp_path_factory: pytest.TempPathFactory,
    members: list[tuple[str, bytes]],
    tar_format: str,
    repeat: int,
) -> None:
    if tar_format == "ustar":
        members = [(name, data) for name, data in members if len(name.encode()) <= 100]
    raw = make_tar(members * repeat, FORMATS[tar_format])
    index = scan(tmp_path_factory.mktemp("tar"), raw)
    assert listing(index) == twin(raw)
    assert not index.skipped
    assert index.bytes_after_end == 0


@pytest.mark.parametrize("tar_format", sorted(FORMATS))
@pytest.mark.parametrize("length", [99, 100, 101, 155, 200])
def test_long_names_in_every_format(tmp_path: Path, tar_format: str, length: int) -> None:
    name = ("d" * 60 + "/") * 4 + "x" * 60
    name = "a" + name[-length + 1 :]
    raw = make_tar([(name, b"1"), ("b.jpg", b"22"), (name, b"333")], FORMATS[tar_format])
    index = scan(tmp_path, raw)
    assert listing(index) == twin(raw)
    in_header = tar_format == "ustar" or len(name) <= 100
    assert index.named_by_header.tolist() == [in_header, True, in_header]


def test_long_runs_mixed_with_directories(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in range(7):
            info = tarfile.TarInfo(f"{folder:010d}")
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
            for image in range(1500):
                info = tarfile.TarInfo(f"{folder:010d}/{image}.jpg")
                info.size = image % 700
                tar.addfile(info, io.BytesIO(bytes(info.size)))
    index = scan(tmp_path, out.getvalue())
    assert listing(index) == twin(out.getvalue())
    assert index.skipped == {"directory": 7}


def test_every_other_kind_is_skipped_and_counted(tmp_path: Path) -> None:
    kinds = [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
    kinds += [tarfile.CHRTYPE, tarfile.BLKTYPE]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number, kind in enumerate(kinds):
            info = tarfile.TarInfo(f"odd{number}")
            info.type = kind
            info.linkname = "k" * 150
            tar.addfile(info)
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    index = scan(tmp_path, out.getvalue())
    assert listing(index) == twin(out.getvalue())
    assert sum(index.skipped.values()) == len(kinds)
    assert index.skipped["symbolic link"] == 1


def test_old_v7_header(tmp_path: Path) -> None:
    block = bytearray(512)
    block[:5] = b"a.jpg"
    block[124:136] = b"          3 "
    folder = bytearray(512)
    folder[:4] = b"dir/"
    raw = checksummed(folder) + checksummed(block) + b"abc".ljust(512, b"\0") + END
    index = scan(tmp_path, raw)
    assert listing(index) == twin(raw) == [("a.jpg", 1024, 3)]
    assert index.skipped == {"directory": 1}


def test_base_256_size(tmp_path: Path) -> None:
    size = b"\x80" + (3).to_bytes(11, "big")
    raw = header(size=size) + b"abc".ljust(512, b"\0") + END
    assert listing(scan(tmp_path, raw)) == twin(raw) == [("a.jpg", 512, 3)]


def test_pax_records_of_one_member_and_of_all(tmp_path: Path) -> None:
    def pax(kind: bytes, *records: bytes) -> bytes:
        data = b"".join(records)
        head = header(b"pax", b"%011o\0" % len(data), kind)
        return head + data.ljust((len(data) + 511) // 512 * 512, b"\0")

    raw = (
        pax(b"g", b"21 comment=elsewhere\n")
        + pax(b"x", b"10 size=3\n", b"14 path=b.jpg\n")
        + header(size=b"00000000000\0")
        + b"abc".ljust(512, b"\0")
        + header(b"c.jpg")
        + pax(b"g", b"14 path=d.jpg\n")
        + header(b"hidden.jpg")
        + END
    )
    index = scan(tmp_path, raw)
    assert index.names.to_pylist() == ["b.jpg", "c.jpg", "d.jpg"]
    assert index.size.tolist() == [3, 0, 0]
    assert index.named_by_header.tolist() == [False, True, False]
    assert listing(index) == twin(raw)


def test_signed_checksum_of_old_programs(tmp_path: Path) -> None:
    block = bytearray(header("ä.jpg".encode()))
    block[148:156] = b" " * 8
    signed = int(np.frombuffer(bytes(block), np.int8).sum(dtype=np.int64))
    block[148:156] = b"%06o\0 " % signed
    raw = bytes(block) + END
    assert listing(scan(tmp_path, raw)) == twin(raw)


def test_name_that_is_no_utf8_is_spelled_with_escapes(tmp_path: Path) -> None:
    raw = header(b"\xff.jpg") + header(b"b.jpg") + END
    assert scan(tmp_path, raw).names.to_pylist() == ["\\xff.jpg", "b.jpg"]


@pytest.mark.parametrize("tar_format", sorted(FORMATS))
def test_cut_anywhere_is_told_with_the_number_of_whole_members(
    tmp_path: Path, tar_format: str
) -> None:
    members = [("a/" + "n" * 120, b"x" * 700), ("b.jpg", b""), ("c.jpg", b"y" * 513)]
    if tar_format == "ustar":
        members[0] = ("a.jpg", members[0][1])
    raw = make_tar(members, FORMATS[tar_format])
    found = twin(raw)
    ends = [offset + size for _, offset, size in found]
    mark = (ends[-1] + 511) // 512 * 512
    for cut in range(1, mark + 1024, 13):
        path = tmp_path / "cut.tar"
        path.write_bytes(raw[:cut])
        if cut >= mark + 512:
            assert len(scan_tar(path)) == len(found)
            continue
        with pytest.raises(BagreidError) as caught:
            scan_tar(path)
        whole = sum(end <= cut for end in ends)
        counted = re.search(r"(\d+) members? read whole", str(caught.value))
        assert counted is not None
        assert int(counted[1]) == whole, (cut, str(caught.value))
        assert caught.value.path == path
        assert caught.value.position is not None
        assert caught.value.remedy


def test_cut_inside_data_says_how_much_is_missing(tmp_path: Path) -> None:
    raw = make_tar([("a.jpg", b"1" * 100), ("b.jpg", b"2" * 5000)])
    with pytest.raises(
        BagreidError, match=r"'b\.jpg'.*: 4,000 of its 5,000 bytes .* 1 member read"
    ):
        scan(tmp_path, raw[: 1024 + 512 + 1000])


def test_wrong_checksum_names_the_byte(tmp_path: Path) -> None:
    raw = bytearray(make_tar([(f"{n}.jpg", b"1" * 100) for n in range(5)]))
    raw[3 * 1024 + 3] ^= 1
    with pytest.raises(BagreidError, match="checksum is wrong") as caught:
        scan(tmp_path, bytes(raw))
    assert caught.value.position == "byte 3072"
    assert "3 members read whole" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "match"),
    [
        (b"-0000000012\0", "no octal number"),
        (b"0o000000012\0", "no octal number"),
        (b"0000_000012\0", "no octal number"),
        (b"\xff" * 11 + b"\xfe", "negative"),
        (b"\x80" + b"\x7f" * 11, "absurd"),
        (b"77777777777\0", "missing"),
    ],
)
def test_negative_or_absurd_size(tmp_path: Path, size: bytes, match: str) -> None:
    raw = make_tar([("a.jpg", b"1")])[:1024] + header(b"b.jpg", size) + END
    with pytest.raises(BagreidError, match=match) as caught:
        scan(tmp_path, raw)
    assert caught.value.position == "byte 1024"
    assert "1 member read whole" in str(caught.value)


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_compressed_tar_called_tar(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, f"w:{mode}") as tar:  # type: ignore[call-overload]
        tar.addfile(tarfile.TarInfo("a.jpg"))
    with pytest.raises(BagreidError, match="compressed with"):
        scan_tar(path)


def test_web_page_instead_of_a_tar(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match="web page"):
        scan(tmp_path, b"<html>quota exceeded</html>".ljust(2048))


def test_empty_file_empty_tar_and_missing_tar(tmp_path: Path) -> None:
    with pytest.raises(BagreidError, match="empty"):
        scan(tmp_path, b"")
    assert len(scan(tmp_path, bytes(10240))) == 0
    with pytest.raises(BagreidError, match="cannot be read"):
        scan_tar(tmp_path / "absent.tar")
    with pytest.raises(BagreidError, match="cannot be read"):
        scan_tar(tmp_path)


def test_what_follows_the_end_mark_is_counted(tmp_path: Path) -> None:
    raw = make_tar([("a.jpg", b"1")])
    assert scan(tmp_path, raw + raw).bytes_after_end == 2 * len(raw) - 1024
    assert len(scan(tmp_path, raw + raw)) == 1


@settings(deadline=None, max_examples=150)
@given(raw=st.binary(min_size=1, max_size=4096))
def test_random_bytes_give_the_typed_error_only(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.tar"
    path.write_bytes(raw)
    with contextlib.suppress(BagreidError):
        scan_tar(path)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_damage_gives_the_typed_error_or_a_listing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tar_format = FORMATS[data.draw(st.sampled_from(sorted(FORMATS)))]
    name = "n" * (120 if tar_format != tarfile.USTAR_FORMAT else 20)
    raw = bytearray(make_tar([(name, b"1" * 600), ("b.jpg", b"2" * 10)], tar_format))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 10240 + 4096))
        if at < len(raw):
            raw[at] = data.draw(st.integers(0, 255))
    mended = data.draw(st.booleans())
    if mended:  # a right checksum lets the damage through to the fields behind it
        raw[:512] = checksummed(raw[:512])
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    path.write_bytes(raw)
    try:
        index = scan_tar(path)
    except BagreidError as caught:
        error = caught
    else:
        assert ((index.offset + index.size) <= len(raw)).all()
        assert (index.size >= 0).all()
        return
    assert error.path == path
    assert error.position is not None


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(make_tar([(f"{n}.jpg", b"1") for n in range(9000)]))
    told: list[tuple[int, int]] = []
    scan_tar(path, progress=lambda members, passed: told.append((members, passed)))
    assert told[-1][0] == 9000
    assert told == sorted(told)
    assert len(told) >= 2
