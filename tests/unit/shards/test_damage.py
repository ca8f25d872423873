"""Damaged tars: what lies before the damage is kept, and the damage is named exactly."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.shards import TarDamage, TarIndex, scan_tar, survey_tar

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
END = bytes(1024)


def make_tar(members: list[tuple[str, bytes]], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def checksummed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def header(name: bytes, size: int | bytes = 0, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    return checksummed(block)


def note(kind: bytes, data: bytes) -> bytes:
    return header(b"note", len(data), kind) + data.ljust((len(data) + 511) // 512 * 512, b"\0")


def survey(folder: Path, raw: bytes) -> TarIndex:
    path = folder / "a.tar"
    path.write_bytes(raw)
    return survey_tar(path)


def damage_of(folder: Path, raw: bytes) -> TarDamage:
    damage = survey(folder, raw).damage
    assert damage is not None
    return damage


def listing(index: TarIndex) -> list[tuple[str, int, int]]:
    return list(
        zip(index.names.to_pylist(), index.offset.tolist(), index.size.tolist(), strict=True)
    )


def twin(raw: bytes) -> list[tuple[str, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
        return [(m.name, m.offset_data, m.size) for m in tar if m.isreg()]


part = st.text(
    # A header that begins with < and is cut after some bytes could as well be a web page.
    st.characters(blacklist_characters="/\0\n<", blacklist_categories=("Cs",)),
    min_size=1,
).filter(lambda text: text not in {".", ".."})
names = st.lists(part, min_size=1, max_size=6).map("/".join)
tars = st.builds(
    lambda members, tar_format, repeat: make_tar(
        [
            (name, data)
            for name, data in members * repeat
            if tar_format != "ustar" or len(name.encode()) <= 100
        ],
        FORMATS[tar_format],
    ),
    st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=8),
    st.sampled_from(sorted(FORMATS)),
    st.integers(1, 10),
)


@settings(max_examples=80)
@given(raw=tars, data=st.data())
def test_a_cut_keeps_what_is_whole_and_says_what_is_missing(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, data: st.DataObject
) -> None:
    true = twin(raw)
    mark = max((offset + size + 511) // 512 * 512 for _, offset, size in true) if true else 0
    cut = data.draw(st.integers(0, mark + 1023))
    index = survey(tmp_path_factory.getbasetemp(), raw[:cut])
    whole = [member for member in true if member[1] + member[2] <= cut]
    assert listing(index) == whole
    assert index.bytes == cut
    damage = index.damage
    if cut >= mark + 512:
        assert damage is None
        return
    assert damage is not None
    assert damage.byte == cut
    assert damage.members == len(whole)
    assert damage.last_good == (whole[-1][0] if whole else None)
    assert damage.kind in {"empty", "cut in header", "cut in data", "no end mark"}
    if damage.kind == "cut in data":
        ends = [offset + size for _, offset, size in true if offset <= cut < offset + size]
        assert damage.missing_bytes == ends[0] - cut
    elif damage.kind == "no end mark":
        assert len(whole) == len(true) or not any(raw[cut - 1 : cut])
    elif damage.kind == "cut in header":
        assert damage.missing_bytes is not None
        assert damage.missing_bytes > 0


@settings(max_examples=100)
@given(raw=tars, data=st.data())
def test_a_wrong_byte_leaves_all_members_before_it(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, data: st.DataObject
) -> None:
    true = twin(raw)
    end = max((offset + size for _, offset, size in true), default=0)
    at = data.draw(st.integers(0, min(end + 600, len(raw) - 1)))
    spoilt = bytearray(raw)
    spoilt[at] ^= data.draw(st.integers(1, 255))
    index = survey(tmp_path_factory.getbasetemp(), bytes(spoilt))
    before = [member for member in true if member[1] + member[2] <= at]
    assert listing(index)[: len(before)] == before
    assert (index.offset + index.size <= len(raw)).all()
    if index.damage is not None:
        assert index.damage.members == len(index) >= len(before)
        assert index.damage.byte <= len(raw)


def test_no_end_mark_loses_no_member(tmp_path: Path) -> None:
    raw = make_tar([("a.jpg", b"1" * 512), ("b.jpg", b"2" * 100)])
    for cut in (2048 - 412, 2000, 2048, 2100, 2559):  # at the data's end, in its padding, behind
        index = survey(tmp_path, raw[:cut])
        assert index.names.to_pylist() == ["a.jpg", "b.jpg"]
        assert index.damage is not None
        assert index.damage.kind == "no end mark"
    assert survey(tmp_path, raw[:2560]).damage is None  # one empty block will do, as in GNU tar


@pytest.mark.parametrize(
    ("raw", "kind", "byte"),
    [
        (b"", "empty", 0),
        (b"\x1f\x8b" + bytes(9000), "compressed", 0),
        (b"BZh9" + bytes(9000), "compressed", 0),
        (b"\x28\xb5\x2f\xfd", "compressed", 0),
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "not a tar", 0),
        (b"\xef\xbb\xbf\n<html>", "not a tar", 0),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "not a tar", 0),
        (b"\xff\xd8\xff\xe0" + b"1" * 2000, "not a tar", 0),
        (b"x" * 100, "cut in header", 100),
        (header(b"a.jpg")[:-1] + b"\1" + END, "checksum", 0),
        (header(b"a", kind=b"5") + b"x" * 512 + END, "checksum", 512),
        (header(b"a.jpg", b"-0000000001\0") + END, "size", 0),
        (header(b"a.jpg", b"\xff" * 12) + END, "size", 0),
        (header(b"a.jpg", b"\x80" + b"\x7f" * 11) + END, "size", 0),
        (header(b"a.jpg", 600) + b"x" * 599, "cut in data", 1111),
        (note(b"L", b"n" * 600)[:-512], "cut in header", 1024),
        (note(b"L", b"n" * 600), "cut in header", 1536),
        (note(b"x", b"12 path=b.jpg\n") + header(b"a.jpg") + END, "extended header", 0),
        (note(b"x", b"0 path=b.jpg\n") + header(b"a.jpg") + END, "extended header", 0),
        (note(b"x", b"99999 path=b\n") + header(b"a.jpg") + END, "extended header", 0),
        (note(b"x", b"nonsense") + header(b"a.jpg") + END, "extended header", 0),
        (note(b"x", b"11 size=-9\n") + header(b"a.jpg") + END, "size", 1024),
        (header(b"note", 2**21, b"x") + bytes(2**21) + END, "extended header", 0),
    ],
)
def test_every_damage_has_its_kind(tmp_path: Path, raw: bytes, kind: str, byte: int) -> None:
    damage = damage_of(tmp_path, raw)
    assert (damage.kind, damage.byte) == (kind, byte)
    assert damage.members == 0
    assert damage.last_good is None
    assert damage.remedy
    with pytest.raises(TarDamage) as caught:
        scan_tar(tmp_path / "a.tar")
    assert str(caught.value) == str(damage)


def test_damage_passes_between_processes(tmp_path: Path) -> None:
    damage = damage_of(tmp_path, make_tar([("a.jpg", b"1"), ("b.jpg", b"2" * 5000)])[:2000])
    again = pickle.loads(pickle.dumps(damage))  # noqa: S301
    assert type(again) is TarDamage
    assert vars(again) == vars(damage)
    assert str(again) == str(damage)
    assert (damage.last_good, damage.members, damage.missing_bytes) == ("a.jpg", 1, 4536)


@pytest.mark.parametrize("many", [1, 1000])
def test_unsafe_names_are_left_out_and_told(tmp_path: Path, many: int) -> None:
    bad = ["/etc/passwd", "../up.jpg", "a/../../up.jpg", "a/..", "//x.jpg"]
    good = ["a/..b/c.jpg", "a/b...jpg", "..jpg", "a/./b.jpg"]
    raw = make_tar([(name, b"1") for _ in range(many) for name in [*bad, *good]])
    index = survey(tmp_path, raw)
    assert index.names.to_pylist() == good * many
    assert index.unsafe == len(bad) * many
    assert list(index.first_unsafe) == (bad * 2)[: min(10, len(bad) * many)]
    assert index.damage is None
    true = {offset: (name, size) for name, offset, size in twin(raw)}
    assert all(true[offset] == (name, size) for name, offset, size in listing(index))


def test_unsafe_long_names(tmp_path: Path) -> None:
    raw = (
        note(b"L", b"../" * 100 + b"a.jpg\0")
        + header(b"a.jpg")
        + note(b"x", b"24 path=/absolute/a.jpg\n")
        + header(b"b.jpg")
        + header(b"c.jpg")
        + END
    )
    index = survey(tmp_path, raw)
    assert index.names.to_pylist() == ["c.jpg"]
    assert index.unsafe == 2
    assert index.first_unsafe[1] == "/absolute/a.jpg"


def test_extended_headers_without_end_are_damage_not_a_hang(tmp_path: Path) -> None:
    for kind, data in ((b"L", b"a.jpg\0"), (b"K", b"a.jpg\0"), (b"x", b"14 path=a.jpg\n")):
        damage = damage_of(tmp_path, header(b"1.jpg") + note(kind, data) * 50_000 + END)
        assert damage.kind == "extended header"
        assert "in a row" in damage.message
        assert damage.byte < 20_000
        assert damage.members == 1


def test_headers_for_all_that_follow_fill_no_memory(tmp_path: Path) -> None:
    """80,000 records nobody asked for, in each of some global headers."""
    records = b"".join(b"12 k%06d=\n" % number for number in range(80_000))
    raw = b"".join(note(b"g", records) + header(b"%d.jpg" % number) for number in range(3)) + END
    index = survey(tmp_path, raw)
    assert len(index) == 3
    assert index.damage is None


def test_sparse_files_are_passed_over(tmp_path: Path) -> None:
    sparse = bytearray(header(b"sparse.jpg", 512, b"S"))
    sparse[482] = 1
    extension = bytearray(512)
    extension[504] = 1
    raw = (
        checksummed(sparse)
        + bytes(extension) * 3
        + bytes(512)
        + b"x" * 512
        + note(b"x", b"22 GNU.sparse.major=1\n")
        + header(b"GNUSparseFile.0/b.jpg", 3)
        + b"abc".ljust(512, b"\0")
        + header(b"c.jpg", 3)
        + b"abc".ljust(512, b"\0")
        + END
    )
    index = survey(tmp_path, raw)
    assert index.names.to_pylist() == ["c.jpg"]
    assert index.skipped == {"sparse file": 2}
    cut = damage_of(tmp_path, checksummed(sparse) + bytes(extension) * 3)
    assert cut.kind in {"cut in header", "no end mark"}
    endless = damage_of(tmp_path, checksummed(sparse) + bytes(extension) * 50_000)
    assert endless.members == 0


def test_a_reserved_download_is_told_from_padding(tmp_path: Path) -> None:
    raw = make_tar([("a.jpg", b"1")])
    path = tmp_path / "a.tar"
    for size, kind in ((1 << 20, None), (64 << 20, "zero filled")):
        path.write_bytes(raw)
        with path.open("r+b") as file:
            file.truncate(size)
        index = survey_tar(path)
        assert len(index) == 1
        assert (index.damage.kind if index.damage else None) == kind
        assert index.bytes_after_end == 0
    with path.open("r+b") as file:
        file.seek(32 << 20)
        file.write(b"x" * (2 << 20))  # a piece that arrived out of order
    index = survey_tar(path)
    assert index.damage is None
    assert index.bytes_after_end == (64 << 20) - 1024
