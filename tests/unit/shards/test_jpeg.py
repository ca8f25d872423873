"""Sizes from headers, against Pillow, which decodes."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bagreid.data import decode
from bagreid.shards.jpeg import BrokenImage, credible_size, image_size


def encoded(height: int, width: int, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, kind, **options)
    return file.getvalue()


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    kind=st.sampled_from(["JPEG", "PNG"]),
    progressive=st.booleans(),
    comment=st.binary(max_size=400),
)
def test_the_size_is_pillows(
    height: int, width: int, kind: str, progressive: bool, comment: bytes
) -> None:
    options = {"progressive": progressive, "comment": comment} if kind == "JPEG" else {}
    data = encoded(height, width, kind, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image_size(data) == image_size(memoryview(data)) == image.size[::-1]


@given(st.binary(max_size=64), st.integers(0, 700))
def test_other_bytes_are_a_size_or_a_typed_error(start: bytes, kept: int) -> None:
    for data in (start, b"\xff\xd8" + start, encoded(40, 24)[:kept]):
        try:
            height, width = image_size(data)
        except BrokenImage:
            continue
        assert 0 <= height < 2**32
        assert 0 <= width < 2**32


def test_the_decoder_knows_the_same_error_and_the_same_reader() -> None:
    assert decode.BrokenImage is BrokenImage
    assert decode.image_size is image_size
    with pytest.raises(BrokenImage):
        decode.decode_jpeg(b"no picture")


def test_a_header_is_read_without_torch() -> None:
    code = "import sys, bagreid.shards.jpeg; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_absurd_size_is_no_picture() -> None:
    for height, width in ((0, 5), (65_500, 65_500)):
        data = bytearray(encoded(16, 8))
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        assert image_size(data) == (height, width)
        with pytest.raises(BrokenImage, match=f"claims to be {height}×{width}"):
            credible_size(data)
    assert credible_size(encoded(16, 8)) == (16, 8)
