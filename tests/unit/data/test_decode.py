from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.io import encode_jpeg

from bagreid.contracts import BagreidError
from bagreid.data.decode import BrokenImage, decode_jpeg, image_size


def picture(height: int = 40, width: int = 24) -> Image.Image:
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return Image.fromarray(ramp.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


JPEG = encoded(picture(), quality=95)


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG")]
)
def test_every_colour_space_becomes_red_green_blue(mode: str, kind: str) -> None:
    image = decode_jpeg(encoded(picture().convert(mode), kind))
    assert image.shape == (3, 40, 24)
    assert image.dtype == torch.uint8
    wanted = torch.from_numpy(np.array(picture())).permute(2, 0, 1)
    assert (image.float() - wanted.float()).abs().mean() < 4


def test_grey_becomes_three_equal_channels() -> None:
    image = decode_jpeg(encoded(picture().convert("L")))
    assert image.shape == (3, 40, 24)
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])


def test_sixteen_bits_a_channel_become_eight() -> None:
    deep = Image.fromarray(np.full((5, 4), 0x7F01, dtype=np.uint16))
    image = decode_jpeg(encoded(deep, "PNG"))
    assert image.dtype == torch.uint8
    assert image.unique().tolist() == [0x7F]


def test_a_view_of_read_only_memory_is_read() -> None:
    assert torch.equal(decode_jpeg(memoryview(JPEG)), decode_jpeg(JPEG))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"x" * 300}])
def test_the_size_stands_in_the_header(options: dict[str, object]) -> None:
    assert image_size(encoded(picture(), **options)) == (40, 24)
    assert image_size(encoded(picture(), "PNG")[:24]) == (40, 24)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"hello, world", b"\x89PNG\r\n\x1a\n", b"GIF89a"]
)
def test_other_bytes_are_broken_images(data: bytes) -> None:
    with pytest.raises(BrokenImage):
        decode_jpeg(data)


@given(st.integers(0, len(JPEG) - 3))
def test_a_cut_jpeg_is_a_broken_image(length: int) -> None:
    with pytest.raises(BrokenImage):
        decode_jpeg(JPEG[:length])


@given(st.lists(st.tuples(st.integers(0, len(JPEG) - 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_jpeg_is_an_image_or_a_typed_error(damage: list[tuple[int, int]]) -> None:
    data = bytearray(JPEG)
    for at, value in damage:
        data[at] = value
    try:
        image = decode_jpeg(bytes(data))
    except BagreidError:
        return
    assert image.dtype == torch.uint8
    assert image.shape[0] == 3


def test_an_absurd_size_is_refused_before_memory_is_asked_for() -> None:
    data = bytearray(encode_jpeg(torch.zeros(3, 16, 8, dtype=torch.uint8)).numpy().tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"
    with pytest.raises(BrokenImage, match="claims to be 65500×65500"):
        decode_jpeg(bytes(data))
