"""Tars written again member by member, against Python's tarfile."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.shards.rewrite import RECORD, RawMember, padded, raw_members, resized, tail_size

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "/".join(["a-long-folder-name"] * 12) + "/image.jpg"
SOURCE = Path("source.tar")


def info(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def make_tar(
    members: list[tuple[tarfile.TarInfo, bytes]],
    tar_format: int,
    of_all: dict[str, str] | None = None,
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format, pax_headers=of_all) as tar:
        for entry, data in members:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def mixed(name: str) -> bytes:
    """A tar with members of every kind that the format can hold."""
    members = [
        (info("sysu/", type=tarfile.DIRTYPE, mode=0o755), b""),
        (info("sysu/1.jpg", mode=0o600, mtime=1234567890, uid=1000, uname="wé"), b"x" * 700),
        (info("sysu/empty.jpg"), b""),
        (info("sysu/link.jpg", type=tarfile.SYMTYPE, linkname="../1.jpg"), b""),
        (info("sysu/hard.jpg", type=tarfile.LNKTYPE, linkname="sysu/1.jpg"), b""),
        (info("sysu/pipe", type=tarfile.FIFOTYPE), b""),
        (info("readme.txt"), b"hello"),
    ]
    if name != "ustar":
        members.append((info(LONG, mtime=1.5 if name == "pax" else 1), b"y" * 1500))
        members.append((info("grüße.jpg", uid=2**22), b"z" * 512))
    return make_tar(members, FORMATS[name])


def walk(raw: bytes, start: int = 0) -> list[RawMember]:
    return list(raw_members(io.BytesIO(raw), start, SOURCE))


def rewrite(raw: bytes, change: Callable[[bytes], bytes] = lambda data: data) -> bytes:
    """Writes a tar again; `change` gives the new data of those members that can have any."""
    out = b""
    end = 0
    for member in walk(raw):
        data = raw[member.data : member.data + member.size]
        new = change(data) if member.resizable else data
        out += member.head if len(new) == len(data) else resized(member, len(new))
        out += new + bytes(-len(new) % 512)
        end = member.stop
    return out + bytes(tail_size(len(out), end, len(raw)))


def listing(raw: bytes) -> list[tuple[object, ...]]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
        fields = ("name", "type", "mode", "mtime", "uid", "gid", "uname", "linkname", "devmajor")
        return [
            (
                *(getattr(m, field) for field in fields),
                sorted({**m.pax_headers, "size": ""}.items()),
            )
            for m in tar
        ]


def contents(raw: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
        return [tar.extractfile(m).read() for m in tar if m.isreg()]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", FORMATS)
def test_a_tar_written_again_unchanged_is_the_same_bytes(name: str) -> None:
    raw = mixed(name)
    assert rewrite(raw) == raw


@pytest.mark.parametrize("name", FORMATS)
def test_only_sizes_and_data_change(name: str) -> None:
    raw = mixed(name)
    new = rewrite(raw, lambda data: data[: len(data) // 3])
    assert listing(new) == listing(raw)
    assert contents(new) == [data[: len(data) // 3] for data in contents(raw)]
    assert len(new) % RECORD == 0


@pytest.mark.parametrize("name", FORMATS)
def test_headers_stay_but_for_size_and_checksum(name: str) -> None:
    for member in walk(mixed(name)):
        if member.resizable:
            head = bytearray(resized(member, 1))
            own = member.head[member.own :]
            for field in (slice(124, 136), slice(148, 156)):
                at = slice(member.own + field.start, member.own + field.stop)
                head[at] = own[field]
            assert bytes(head) == member.head


def test_going_on_anywhere_gives_the_rest() -> None:
    members = walk(mixed("pax"))
    for number, member in enumerate(members):
        assert walk(mixed("pax"), member.stop) == members[number + 1 :]


@given(before=st.integers(0, 2000), after=st.integers(0, 2000))
def test_a_pax_size_record_is_set_right(before: int, after: int) -> None:
    entry = info("a.jpg", pax_headers={"size": str(before), "comment": "kept"})
    raw = make_tar([(entry, b"x" * before), (info("b.jpg"), b"next")], tarfile.PAX_FORMAT)
    first, second = walk(raw)
    head = resized(first, after)
    new = head + bytes(padded(after)) + raw[second.start :]
    with tarfile.open(fileobj=io.BytesIO(new), mode="r:") as tar:
        a, b = tar.getmembers()
    assert (a.size, a.pax_headers) == (after, {"size": str(after), "comment": "kept"})
    assert b.name == "b.jpg"
    assert [(m.name, m.size) for m in walk(new)] == [("a.jpg", after), ("b.jpg", 4)]


def block(**fields: bytes) -> bytes:
    """A header block with raw fields, its checksum spelled as `checksum` says."""
    made = bytearray(512)
    made[:5] = b"a.jpg"
    places = {"size": 124, "kind": 156, "magic": 257, "name": 0}
    for name, value in {"size": b"00000001000\0", "kind": b"0", **fields}.items():
        if name in places:
            made[places[name] : places[name] + len(value)] = value
    made[148:156] = b" " * 8
    total = sum(made)
    if fields.get("sums") == b"signed":
        total -= 256 * sum(byte > 127 for byte in made)
    made[148:156] = fields.get("checksum", b"%06o\0 ") % total
    return bytes(made)


@pytest.mark.parametrize(
    ("fields", "size_field"),
    [
        ({}, b"00000000007\0"),
        ({"size": b"       1000 "}, b"          7 "),
        ({"size": b"1000\0\0\0\0\0\0\0\0"}, b"0007\0\0\0\0\0\0\0\0"),
        ({"size": b"000000001000"}, b"000000000007"),
        ({"size": b"\x80" + (512).to_bytes(11, "big")}, b"\x80" + (7).to_bytes(11, "big")),
        ({"checksum": b"%06o \0"}, b"00000000007\0"),
        ({"checksum": b"%07o\0"}, b"00000000007\0"),
        ({"checksum": b"%6o\0 "}, b"00000000007\0"),
        ({"checksum": b"%8o"}, b"00000000007\0"),
        ({"name": "ä.jpg".encode("latin-1"), "sums": b"signed"}, b"00000000007\0"),
        ({"kind": b"\0"}, b"00000000007\0"),
    ],
)
def test_numbers_keep_their_spelling(fields: dict[str, bytes], size_field: bytes) -> None:
    (member,) = walk(block(**fields) + bytes(512) + bytes(1024))
    assert member.size == 512
    head = resized(member, 7)
    expected = block(**{**fields, "size": size_field})
    assert head == expected
    (again,) = walk(head + bytes(512) + bytes(1024))
    assert again.size == 7


def test_unsafe_names_and_hard_links_to_them_are_marked() -> None:
    members = [
        (info("fine..jpg"), b"1"),
        (info("/etc/passwd"), b"2"),
        (info("a/../../b.jpg"), b"3"),
        (info("hard.jpg", type=tarfile.LNKTYPE, linkname="../b.jpg"), b""),
        (info("soft.jpg", type=tarfile.SYMTYPE, linkname="../b.jpg"), b""),
        (info("hard.jpg", type=tarfile.LNKTYPE, linkname="../" + "b" * 120), b""),
    ]
    for name in ("gnu", "pax"):
        raw = make_tar(members, FORMATS[name])
        assert [member.unsafe for member in walk(raw)] == [False, True, True, True, False, True]


def test_what_speaks_of_its_length_elsewhere_cannot_change_it() -> None:
    sparse = info("a.jpg", pax_headers={"GNU.sparse.major": "1"})
    real = info("b.jpg", pax_headers={"SCHILY.realsize": "700"})
    raw = make_tar([(sparse, b"1" * 600), (real, b"2" * 700)], tarfile.PAX_FORMAT)
    assert [member.resizable for member in walk(raw)] == [False, False]


def test_a_global_comment_is_carried_along() -> None:
    raw = make_tar([(info("a.jpg"), b"x" * 900)], tarfile.PAX_FORMAT, {"comment": "of all"})
    assert rewrite(raw) == raw
    assert [member.kind for member in walk(raw)] == [b"g", b"0"]
    assert contents(rewrite(raw, lambda _: b"y")) == [b"y"]


@pytest.mark.parametrize("key", ["size", "path"])
def test_a_global_name_or_size_is_refused(key: str) -> None:
    raw = make_tar([(info("a.jpg"), b"x")], tarfile.PAX_FORMAT, {key: "1"})
    with pytest.raises(BagreidError, match=f"a global pax header sets {key}"):
        walk(raw)


def test_a_tar_cut_since_it_was_scanned_is_an_error() -> None:
    raw = make_tar([(info("a.jpg"), b"x" * 600), (info("b.jpg"), b"y")], tarfile.GNU_FORMAT)
    with pytest.raises(BagreidError, match="whole when it was scanned") as caught:
        walk(raw[:1600])
    assert (caught.value.path, caught.value.position) == (SOURCE, "byte 1536")


@pytest.mark.parametrize(
    ("position", "end", "size", "tail"),
    [
        (512, 1024, RECORD, RECORD - 512),
        (RECORD - 512, 1024, RECORD, RECORD + 512),
        (RECORD - 1024, 1024, RECORD, 1024),
        (512, 1024, 2048, 1024),
        (512, 1024, 1024 + 4096, 4096),
        (512, 1024, 0, RECORD - 512),
        (512, 1024, 1024 + 512, RECORD - 512),
    ],
)
def test_the_end_follows_the_source(position: int, end: int, size: int, tail: int) -> None:
    assert tail_size(position, end, size) == tail
