"""Fuzzes the reader of image sizes against a twin written after ITU-T T.81, Annex B."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from fuzz_target import Target
from PIL import Image

from bagreid.shards.jpeg import MAX_PIXELS, BrokenImage, credible_size, image_size


def check(data: bytes) -> None:
    found = size_or_none(data)
    assert found == size_or_none(memoryview(data))
    assert found == twin(data)
    if found is not None:
        assert size_or_none(data + b"\0more\xff\xc0") == found, "what comes later changes nothing"
    credible = found is not None and 0 < found[0] * found[1] <= MAX_PIXELS
    assert size_or_none(data, credible_size) == (found if credible else None)


def size_or_none(
    data: bytes | memoryview,
    read: Callable[[bytes | memoryview], tuple[int, int]] = image_size,
) -> tuple[int, int] | None:
    try:
        return read(data)
    except BrokenImage:
        return None


def twin(data: bytes) -> tuple[int, int] | None:
    file = io.BytesIO(data)
    if file.read(8) == b"\x89PNG\r\n\x1a\n":
        file.read(8)
        width, height = file.read(4), file.read(4)
        if len(height) == 4:
            return int.from_bytes(height, "big"), int.from_bytes(width, "big")
        return None
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        return None
    while file.read(1) == b"\xff":
        marker = file.read(1)
        while marker == b"\xff":
            marker = file.read(1)
        segment = file.read(2)
        if len(segment) < 2:
            return None
        if marker[0] & 0xF0 == 0xC0 and marker[0] not in (0xC4, 0xC8, 0xCC):
            size = file.read(5)
            if len(size) < 5:
                return None
            return int.from_bytes(size[1:3], "big"), int.from_bytes(size[3:5], "big")
        file.seek(int.from_bytes(segment, "big") - 2, io.SEEK_CUR)
    return None


def seeds() -> Iterator[bytes]:
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            out = io.BytesIO()
            comment = {"comment": b"\xff\xc0" * 9}
            Image.new(mode, (7, 5)).save(out, "JPEG", progressive=progressive, **comment)
            yield out.getvalue()
            yield out.getvalue()[:60]
    out = io.BytesIO()
    Image.new("RGB", (3, 4)).save(out, "PNG")
    yield out.getvalue()
    yield out.getvalue()[:20]
    yield b"\xff\xd8" + b"\xff" * 40 + b"\xc0\0\x11\x08\0\x05\0\x07"
    yield b"\xff\xd8\xff\xe0\0\0\xff\xc0\0\x11\x08\0\x05\0\x07"
    yield b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff"


TARGET = Target(
    name="jpeg",
    check=check,
    seeds=seeds,
    lines_of=("bagreid.shards.jpeg",),
    largest=2048,
)
