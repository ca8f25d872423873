"""Changes tars so that they stay tars: most headers keep a checksum that fits."""

from __future__ import annotations

import random
import re

from fuzz_target import Mutate
from tar_seeds import BLOCK, END, LONG, checksummed, header, member, pax_record

FIELDS = ((0, 100), (124, 136), (148, 156), (156, 157), (257, 265), (345, 500), (482, 483))
"""Name, size, checksum, kind, magic, prefix, sparse flag."""

KINDS = b"0\x0001234567LKxgXSVDMN"
NAMES = (
    b"sysu_train_set_all/0000000001/1.jpg", b"/etc/passwd.jpg", b"a/../../b.jpg", b"..", b"",
    b"x" * 100, b"dir/", b"\xff\xfe.jpg", b"a\0b.jpg", b"././@LongLink", b"d/./1.jpg", b"a\n.jpg",
)  # fmt: skip
SIZES = (
    b"00000000000\0", b"00000000001\0", b"00000001000\0", b"00000001001 ", b"77777777777\0",
    b"          7 ", b"7\0", b"-0000000001\0", b"0000_000001\0", b"+0000000001\0",
    b"\x80" + bytes(10) + b"\5",
    b"\x80" + bytes(3) + b"\xff" * 8, b"\xff" * 12, b"\x81" + bytes(11), b"8888\0", bytes(12),
    b"000000000010", b"0000000000\0\0",
)  # fmt: skip
VALUES = (
    pax_record(b"path", LONG.encode()), pax_record(b"path", b"/abs.jpg"), pax_record(b"path", b""),
    pax_record(b"size", b"0"), pax_record(b"size", b"513"), pax_record(b"size", b"9" * 30),
    pax_record(b"GNU.sparse.map", b"0,1"), pax_record(b"comment", b"c" * 600), b"9 a=b\n\0\0",
    b"0 \n", b"99999999999999999999 a=b\n", b"7 path=\n", b"\xb2 a=b\n", b"", b"10 path=a\n\n" * 3,
)  # fmt: skip


def units_of(data: bytes) -> list[bytearray]:
    """Cuts a tar into headers with their data, as far as headers go; the rest is one unit more."""
    units, position = [], 0
    while position + BLOCK <= len(data) and any(data[position : position + BLOCK]):
        digits = re.match(rb" *([0-7]{1,11})", data[position + 124 : position + 136])
        size = int(digits[1], 8) if digits else 0
        stop = min(position + BLOCK + size + -size % BLOCK, len(data))
        units.append(bytearray(data[position:stop]))
        position = stop
    units.append(bytearray(data[position:]))
    return units


def mutate_tar(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """One to three changes, after which nearly all headers get the checksum they should have."""
    rng = random.Random(seed)
    if rng.random() < 0.05 or not data:
        return mutate(data, largest)
    units = units_of(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        change = rng.choice((_field, _field, _field, _data, _order, _order, _insert, _mutate))
        change(units, rng, mutate)
    if rng.random() < 0.9:
        for unit in units:
            if len(unit) >= BLOCK and any(unit[:BLOCK]) and rng.random() < 0.98:
                unit[:BLOCK] = checksummed(unit[:BLOCK], signed=rng.random() < 0.03)
    changed = b"".join(units)
    if rng.random() < 0.08:
        changed = changed[: rng.randrange(len(changed) + 1)]
    return changed[:largest]


def _pick(units: list[bytearray], rng: random.Random) -> bytearray:
    return rng.choice(units[:-1] or units)


def _field(units: list[bytearray], rng: random.Random, mutate: Mutate) -> None:
    """Another value in a field of a header."""
    unit = _pick(units, rng)
    if len(unit) < BLOCK:
        return
    start, stop = rng.choice(FIELDS)
    known = {0: NAMES, 124: SIZES, 156: [bytes([kind]) for kind in KINDS],
             257: (b"ustar\x0000", b"ustar  \0", bytes(8)), 345: NAMES}.get(start)  # fmt: skip
    if known and rng.random() < 0.8:
        value = rng.choice(known)
    else:
        value = mutate(bytes(unit[start:stop]), stop - start)
    unit[start:stop] = value[: stop - start].ljust(stop - start, b"\0")


def _data(units: list[bytearray], rng: random.Random, mutate: Mutate) -> None:
    """Other data behind a header, and mostly the size that goes with them."""
    unit = _pick(units, rng)
    content = mutate(bytes(unit[BLOCK:]), 2000)
    if unit[156:157] in (b"x", b"g") and rng.random() < 0.7:
        content = b"".join(rng.choices(VALUES, k=rng.randrange(1, 4)))
    if rng.random() < 0.8 and len(unit) >= BLOCK:
        unit[124:136] = b"%011o\0" % len(content)
        content += bytes(-len(content) % BLOCK)
    unit[BLOCK:] = content


def _order(units: list[bytearray], rng: random.Random, _: Mutate) -> None:
    """A member twice, gone, elsewhere, or many times."""
    at, to = rng.randrange(len(units)), rng.randrange(len(units))
    kind = rng.randrange(4)
    if kind == 0:
        units.insert(to, units[at][:])
    elif kind == 1 and len(units) > 1:
        del units[at]
    elif kind == 2:
        units[at], units[to] = units[to], units[at]
    else:
        units[to:to] = [units[at][:2048] for _ in range(rng.randrange(2, 24))]


def _insert(units: list[bytearray], rng: random.Random, _: Mutate) -> None:
    """A new member, long name, pax header, end mark or stray block."""
    records = b"".join(rng.choices(VALUES, k=rng.randrange(1, 3)))
    new = rng.choice((
        member(b"j" * rng.choice((0, 1, 511, 512, 513, 1500)), name=rng.choice(NAMES)),
        member(LONG.encode() * rng.choice((1, 3)) + b"\0", name=b"././@LongLink", kind=b"L"),
        member(records, name=b"PaxHeaders/1", kind=b"x"),
        member(records, name=b"PaxHeaders/0", kind=b"g"),
        header(b"d/", 0, b"5"), END, bytes(BLOCK), b"\xff" * BLOCK, b"ustar" * 100,
    ))  # fmt: skip
    units.insert(rng.randrange(len(units) + 1), bytearray(new))


def _mutate(units: list[bytearray], rng: random.Random, mutate: Mutate) -> None:
    """libFuzzer's own change to one unit."""
    at = rng.randrange(len(units))
    units[at] = bytearray(mutate(bytes(units[at]), len(units[at]) + 100))
