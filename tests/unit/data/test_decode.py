from __future__ import annotations

import contextlib
import io
import multiprocessing
import resource
import struct
import zlib
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
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


JPEGS = {
    "baseline": JPEG,
    "progressive": encoded(picture(), quality=95, progressive=True),
    "grey": encoded(picture().convert("L")),
    "cmyk": encoded(picture().convert("CMYK")),
    "with restarts": encoded(picture(), restart_marker_rows=1),
    "with a thumbnail": encoded(picture(), exif=b"Exif\0\0" + JPEG),
}
PNGS = {mode: encoded(picture().convert(mode), "PNG") for mode in ("RGB", "LA", "P")}


@pytest.mark.parametrize("kind", JPEGS)
@given(data=st.data())
def test_a_cut_jpeg_is_a_broken_image(kind: str, data: st.DataObject) -> None:
    whole = JPEGS[kind]
    decode_jpeg(whole)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BrokenImage):
        decode_jpeg(whole[:length])
    with pytest.raises(BrokenImage):  # a download that was to be continued
        decode_jpeg(whole[:length].ljust(len(whole), b"\0"))


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_cut_at_a_marker_is_a_broken_image(kind: str) -> None:
    whole = JPEGS[kind]
    markers = [at for at in range(2, len(whole) - 1) if whole[at] == 0xFF and whole[at + 1]]
    assert len(markers) > 6
    for at in markers:
        for length in (at, at + 1, at + 2, at + 3):
            if length < len(whole):
                with pytest.raises(BrokenImage):
                    decode_jpeg(whole[:length])


def test_the_reason_is_the_decoders_own() -> None:
    with pytest.raises(BrokenImage, match="does not decode: Image is incomplete or truncated"):
        decode_jpeg(JPEG[:-2])


@st.composite
def damaged(draw: st.DrawFn, wholes: tuple[bytes, ...]) -> bytes:
    """A file with bytes changed, zeroed, copied elsewhere, or cut off."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 4))):
        place = st.integers(0, max(len(data) - 1, 0))
        at, length, other = draw(place), draw(st.integers(1, 200)), draw(place)
        what = draw(st.sampled_from(["flip", "set", "zero", "copy", "cut", "insert"]))
        if what == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "set":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
        elif what == "zero":
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif what == "copy":
            data[at : at + length] = data[other : other + length]
        elif what == "cut":
            del data[at:]
        else:
            data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


@settings(max_examples=400)
@given(damaged((*JPEGS.values(), *PNGS.values())))
def test_damage_gives_an_image_or_a_broken_image(data: bytes) -> None:
    try:
        image = decode_jpeg(data)
    except BrokenImage as error:
        message = str(error)
    else:
        message = ""
        assert image.dtype == torch.uint8
        assert image.shape[0] == 3
        assert image.numel() <= 3 * 512 * max(len(data), 2**20)
    assert "\n" not in message


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_called_jpg_are_broken_images(kind: str) -> None:
    with pytest.raises(BrokenImage, match="neither a JPEG nor a PNG"):
        decode_jpeg(encoded(picture(), kind))


@pytest.mark.parametrize("mode", PNGS)
@pytest.mark.parametrize("damage", ["bad filter", "too short", "no deflate", "cut"])
def test_a_png_that_is_wrong_behind_its_checksums_harms_nobody(mode: str, damage: str) -> None:
    """torchvision dies of these, and takes the process along."""
    whole = PNGS[mode]
    at = whole.index(b"IDAT")
    length = int.from_bytes(whole[at - 4 : at], "big")
    packed = whole[at + 4 : at + 4 + length]
    plain = zlib.decompress(packed)
    packed = {
        "bad filter": zlib.compress(b"\x63" * len(plain)),
        "too short": zlib.compress(plain[:50]),
        "no deflate": packed[:20] + bytes(30) + packed[50:],
        "cut": packed[: length // 2],
    }[damage]
    chunk = b"IDAT" + packed
    data = whole[: at - 4] + struct.pack(">I", len(packed)) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + whole[at + 8 + length :]
    with contextlib.suppress(BrokenImage):
        assert decode_jpeg(data).shape == (3, 40, 24)


def test_a_file_of_endless_scans_is_refused() -> None:
    whole = JPEGS["progressive"]
    at = whole.rindex(b"\xff\xda")
    with pytest.raises(BrokenImage, match="claims to have 1,0"):
        decode_jpeg(whole[:at] + whole[at:-2] * 1000 + whole[-2:])


def test_a_small_file_that_claims_to_be_large_is_refused() -> None:
    data = bytearray(JPEG)
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\x10\x00\x10\x00"
    with pytest.raises(BrokenImage, match="claims to hold 16,777,216 pixels"):
        decode_jpeg(bytes(data))


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_an_empty_picture_is_no_claim(mode: str, options: dict[str, object]) -> None:
    empty = Image.new(mode, (1200, 1200))
    assert decode_jpeg(encoded(empty, **options)).shape == (3, 1200, 1200)


def decode_with_little_memory(data: bytes, answer: Connection) -> None:
    # memory that other tests gave back to the heap would do for the picture, limit or not
    held = [bytearray(200 << 20) for _ in range(4)]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (60 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        decode_jpeg(data)
    except BagreidError as error:
        answer.send((type(error), str(error)))
    answer.close()
    held.clear()


def test_lack_of_memory_says_nothing_of_the_image() -> None:
    """Or a busy machine would send whole images into quarantine."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    data = encoded(Image.new("RGB", (8000, 8000)))
    process = fork.Process(target=decode_with_little_memory, args=(data, there))
    process.start()
    there.close()
    kind, said = here.recv()
    process.join()
    assert kind is BagreidError
    assert said.startswith("the memory does not suffice to decode an image of 8000×8000 pixels")


def test_an_absurd_size_is_refused_before_memory_is_asked_for() -> None:
    data = bytearray(encode_jpeg(torch.zeros(3, 16, 8, dtype=torch.uint8)).numpy().tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"
    with pytest.raises(BrokenImage, match="claims to be 65500×65500"):
        decode_jpeg(bytes(data))
