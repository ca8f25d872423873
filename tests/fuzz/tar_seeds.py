"""Small tars of every kind, whole and spoilt, to begin fuzzing with."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator

BLOCK = 512
END = bytes(2 * BLOCK)
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
LONG = "sysu_train_set_all/" + "d" * 90 + "/0000000001_00001.jpg"


def checksummed(block: bytes | bytearray, *, signed: bool = False) -> bytes:
    """A header with the checksum it should have."""
    fixed = bytearray(block)
    fixed[148:156] = b" " * 8
    total = sum(fixed) - (256 * sum(byte > 127 for byte in fixed) if signed else 0)
    fixed[148:156] = b"%06o\0 " % (total % 8**6)
    return bytes(fixed)


def header(
    name: bytes = b"sysu_train_set_all/0000000001/1.jpg",
    size: int | bytes = 0,
    kind: bytes = b"0",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
) -> bytes:
    """One header block."""
    block = bytearray(BLOCK)
    block[: len(name[:100])] = name[:100]
    block[100:108] = b"0000644\0"
    block[124:136] = b"%011o\0" % size if isinstance(size, int) else size.ljust(12, b"\0")
    block[156:157] = kind
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(prefix)] = prefix[:155]
    return checksummed(block)


def member(data: bytes, **fields: bytes) -> bytes:
    """A header and its data."""
    return header(size=len(data), **fields) + data + bytes(-len(data) % BLOCK)


def pax_record(key: bytes, value: bytes) -> bytes:
    """One record of a pax header."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + 1
    while len(rest) + len(b"%d" % length) != length:
        length += 1
    return b"%d" % length + rest


def packed(tar_format: int, count: int = 3, size: int = 700) -> bytes:
    """A tar by Python's own writer, with a folder, a link and a long name in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format, encoding="utf-8") as tar:
        folder = tarfile.TarInfo("sysu_train_set_all/0000000001")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for number in range(count):
            info = tarfile.TarInfo(f"sysu_train_set_all/0000000001/{number}.jpg")
            info.size = size * (number % 3)
            tar.addfile(info, io.BytesIO(bytes([65 + number % 26]) * info.size))
        link = tarfile.TarInfo("sysu_train_set_all/0000000001/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "../../0.jpg"
        tar.addfile(link)
        long = tarfile.TarInfo(LONG)
        long.size = 5
        tar.addfile(long, io.BytesIO(b"12345"))
    return out.getvalue()


def tar_seeds() -> Iterator[bytes]:
    """Whole tars, then damaged ones."""
    for tar_format in FORMATS:
        tar = packed(tar_format).rstrip(b"\0")
        tar += bytes(-len(tar) % BLOCK)
        yield tar + END
        yield tar + END + member(b"glued on") + END
    yield b"".join(header(b"d/%d.jpg" % n) for n in range(24)) + END
    yield b"".join(member(b"x" * 600, name=b"d/%d.jpg" % n) for n in range(8)) + END
    yield from _odd_members()
    yield from _spoilt()


def _odd_members() -> Iterator[bytes]:
    data = member(b"abc")
    for kind in (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"\0", b"V", b"D", b"M"):
        yield header(b"odd", 0, kind) + data + END
    yield member(b"v7", magic=b"") + data + END
    yield member(b"gnu", magic=b"ustar  \0") + data + END
    yield member(b"p", prefix=b"sysu_train_set_all/0000000001", name=b"1.jpg") + END
    yield header(b"big.jpg", b"\x80" + (3).to_bytes(11, "big")) + b"abc".ljust(BLOCK, b"\0") + END
    long = LONG.encode() + b"\0"
    yield member(long, name=b"././@LongLink", kind=b"L") + data + END
    yield member(b"target\0", name=b"././@LongLink", kind=b"K") + header(b"l", 0, b"2") + data + END
    for records in (
        pax_record(b"path", LONG.encode()), pax_record(b"size", b"3"), pax_record(b"mtime", b"1.5"),
        pax_record(b"GNU.sparse.major", b"1") + pax_record(b"GNU.sparse.name", b"s.jpg"),
        pax_record(b"path", b"../../etc/passwd.jpg"), pax_record(b"size", b"-1"), b"12 broken\n",
    ):  # fmt: skip
        yield member(records, name=b"PaxHeaders/1", kind=b"x") + data + data + END
        yield member(records, name=b"PaxHeaders/0", kind=b"g") + data + data + END
    sparse = bytearray(header(b"s.jpg", 3, b"S", b"ustar  \0"))
    sparse[482] = 1
    yield (
        checksummed(sparse)
        + bytes(504)
        + b"\1"
        + bytes(7)
        + bytes(BLOCK)
        + b"abc"
        + bytes(509)
        + data
        + END
    )
    for name in (b"/etc/x.jpg", b"a/../b.jpg", b"..", b"a/..b.jpg", b"\xff\xfe.jpg", b"a\nb.jpg"):
        yield member(b"abc", name=name) + data + END
    signed = bytearray(header(b"\xe9.jpg"))
    yield checksummed(signed, signed=True) + data + END


def _spoilt() -> Iterator[bytes]:
    data = member(b"x" * 600)
    for cut in (0, 1, 511, 512, 700, 1536, 1600, 2048, 3071):
        yield (data + data)[:cut]
    yield data + data
    yield data + bytes(BLOCK) + data + END
    yield data + END + bytes(4096)
    for size in (
        b"-0000000001\0",
        b"77777777777\0",
        b"\xff" * 12,
        b"\x80" + b"\xff" * 11,
        b"9",
        b"",
    ):
        yield data + header(b"size.jpg", size) + data + END
    broken = bytearray(data + data + END)
    broken[len(data) + 3] ^= 1
    yield bytes(broken)
    yield gzip.compress(data, mtime=0)
    yield b"<html>not found</html>".ljust(2000)
    yield b"PK\x03\x04" + bytes(2000)
    yield bytes(5000)
