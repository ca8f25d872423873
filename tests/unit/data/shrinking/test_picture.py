"""One image made smaller: its size, its form, and what is left alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin

from bagreid.data.shrinking.config import ShrinkConfig
from bagreid.data.shrinking.picture import shrink_picture, smaller_size
from bagreid.data.shrinking.verdict import Verdict
from bagreid.data.soundness import Inspector

ORIENTATION = ExifTags.Base.Orientation


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    with Inspector() as inspector:
        yield inspector


def clouds(height: int = 96, width: int = 48, channels: int = 3) -> Image.Image:
    """A smooth picture: what is lost is what the encoder loses."""
    random = np.random.Generator(np.random.Philox(5))
    coarse = random.integers(0, 256, (6, 3, channels), dtype=np.uint8).squeeze()
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def noise(height: int, width: int) -> Image.Image:
    random = np.random.Generator(np.random.Philox(6))
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, form: str = "JPEG", **how: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, form, **how)
    return written.getvalue()


def opened(data: bytes) -> JpegImagePlugin.JpegImageFile:
    image = Image.open(io.BytesIO(data))
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    return image


def shrink(data: bytes, inspector: Inspector, **config: Any) -> Verdict:
    return shrink_picture(data, ShrinkConfig(**{"shortest_edge": 24} | config), inspector)


def _profiled() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded(clouds(), quality=95, exif=exif, icc_profile=profile)


SPOILT = _profiled()
"""To be spoilt: with all that can stand in front of pixels."""


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(96, 48, (48, 24)), (48, 96, (24, 48)), (97, 49, (48, 24)), (50, 25, (48, 24))],
)
def test_the_shorter_side_gets_the_length_asked_for(
    height: int, width: int, expected: tuple[int, int], inspector: Inspector
) -> None:
    verdict = shrink(encoded(clouds(height, width), quality=95), inspector)
    assert verdict.fate == "shrunk"
    assert opened(verdict.data).size == expected[::-1]


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 9000))
def test_sides_are_the_nearest_whole_numbers(height: int, width: int, edge: int) -> None:
    new_height, new_width = smaller_size(height, width, edge)
    assert min(new_height, new_width) == edge
    scale = edge / min(height, width)
    assert abs(new_height - height * scale) <= 0.5 + 1e-6
    assert abs(new_width - width * scale) <= 0.5 + 1e-6


@pytest.mark.parametrize("edge", [24, 25, 1000])
def test_an_image_is_never_enlarged(edge: int, inspector: Inspector) -> None:
    data = encoded(clouds(48, 24), quality=95)
    assert shrink(data, inspector, shortest_edge=edge) == Verdict("small")


def test_pixels_are_those_of_an_antialiased_bicubic_resize(inspector: Inspector) -> None:
    data = encoded(clouds(), quality=95, subsampling=0)
    ours = np.asarray(opened(shrink(data, inspector, quality=100).data)).astype(int)
    twin = np.asarray(opened(data).resize((24, 48), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(ours - twin).max() <= 4
    assert np.abs(ours - twin).mean() < 0.7


def test_fine_stripes_become_grey_and_not_a_pattern(inspector: Inspector) -> None:
    stripes = np.zeros((96, 48, 3), np.uint8)
    stripes[:, ::2] = 255
    data = encoded(Image.fromarray(stripes), quality=100, subsampling=0)
    smaller = np.asarray(opened(shrink(data, inspector, quality=100).data))[4:-4, 4:-4]
    assert np.abs(smaller.astype(int) - 127).max() < 12


@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_colour_is_stored_as_finely_as_in_the_source(sampling: int, inspector: Inspector) -> None:
    data = encoded(clouds(), quality=95, subsampling=sampling)
    smaller = opened(shrink(data, inspector).data)
    assert JpegImagePlugin.get_sampling(smaller) == sampling


def test_grey_stays_grey(inspector: Inspector) -> None:
    smaller = opened(shrink(encoded(clouds(channels=1), quality=95), inspector).data)
    assert (smaller.mode, smaller.size) == ("L", (24, 48))


def test_cmyk_becomes_what_loaders_see_of_it(inspector: Inspector) -> None:
    data = encoded(clouds(channels=4).convert("CMYK"), quality=95)
    smaller = opened(shrink(data, inspector).data)
    seen = Image.fromarray(inspector.decode(data).permute(1, 2, 0).contiguous().numpy())
    twin = np.asarray(seen.resize((24, 48), Image.Resampling.BICUBIC)).astype(int)
    assert smaller.mode == "RGB"
    assert np.abs(np.asarray(smaller).astype(int) - twin).mean() < 6


@pytest.mark.parametrize("progressive", [False, True])
def test_quality_is_what_was_asked_for(progressive: bool, inspector: Inspector) -> None:
    data = encoded(clouds(), quality=100, progressive=progressive)
    for quality in (50, 90, 100):
        smaller = opened(shrink(data, inspector, quality=quality).data)
        assert smaller.quantization == opened(encoded(clouds(), quality=quality)).quantization


def test_turning_is_carried_over_and_not_applied(inspector: Inspector) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[ExifTags.Base.Make] = "a camera " * 100
    smaller = opened(shrink(encoded(clouds(), quality=95, exif=exif), inspector).data)
    assert smaller.size == (24, 48)
    assert dict(smaller.getexif()) == {ORIENTATION: 6}


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0", b"Exif\0\0" + b"\xff" * 40, b"Exif\0\0"])
def test_a_damaged_exif_block_harms_nothing(exif: bytes, inspector: Inspector) -> None:
    smaller = opened(shrink(encoded(clouds(), quality=95, exif=exif), inspector).data)
    assert smaller.size == (24, 48)
    assert "exif" not in smaller.info


def test_a_colour_profile_is_carried_over(inspector: Inspector) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(noise(96, 48), quality=100, icc_profile=profile)
    assert opened(shrink(data, inspector).data).info["icc_profile"] == profile


def test_an_image_that_would_not_take_fewer_bytes_is_left_alone(inspector: Inspector) -> None:
    coarse = encoded(noise(32, 32), quality=5)
    assert shrink(coarse, inspector, shortest_edge=31, quality=100) == Verdict("no gain")


def test_noise_at_full_quality_is_encoded(inspector: Inspector) -> None:
    data = encoded(noise(600, 300), quality=100, subsampling=0)
    verdict = shrink(data, inspector, shortest_edge=290, quality=100)
    assert verdict.fate == "shrunk"
    assert opened(verdict.data).size == (290, 580)


def test_what_is_no_jpeg_is_left_alone(inspector: Inspector) -> None:
    assert shrink(encoded(clouds(), "PNG"), inspector) == Verdict("no JPEG")


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[:-60] + bytes(40) + data[-20:]


def headless(data: bytes) -> bytes:
    return b"\0" + data[1:]


@pytest.mark.parametrize("damage", [cut, flipped, headless, lambda _: b"", lambda d: d[:30]])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_what_does_not_decode_is_broken(damage: Any, form: str, inspector: Inspector) -> None:
    verdict = shrink(damage(encoded(noise(96, 48), form)), inspector)
    assert (verdict.fate, verdict.data) == ("broken", b"")
    assert verdict.reason


def test_the_same_image_gives_the_same_bytes(inspector: Inspector) -> None:
    data = encoded(noise(96, 48), quality=95)
    assert shrink(data, inspector) == shrink(data, inspector)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shortest_edge": 0}, "shortest-edge must be from 1"),
        ({"quality": 0}, "quality must be from 1 to 100"),
        ({"quality": 101}, "quality must be from 1 to 100"),
    ],
)
def test_absurd_settings_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShrinkConfig(**wrong)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damage_anywhere_ends_in_a_verdict(damage: list[tuple[int, int]]) -> None:
    data = bytearray(SPOILT)
    for place, value in damage:
        data[place % len(data)] = value
    with Inspector() as inspector:
        verdict = shrink(bytes(data), inspector)
    if verdict.fate == "shrunk":
        assert min(opened(verdict.data).size) == 24
