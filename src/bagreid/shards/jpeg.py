"""What the first bytes of an image say, read without decoding it and without torch.

JPEG's markers are those of ITU-T T.81, Annex B; PNG's header chunk that of the PNG specification,
section 11.2.2.
"""

from __future__ import annotations

from bagreid.contracts import BagreidError

MAX_PIXELS = 2**26
"""A picture of a person has not 67 million pixels, but a flipped bit in its header may say so, and
a decoder would then ask for gigabytes."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_NOT_A_FRAME = {0xC4, 0xC8, 0xCC}  # tables that share the number range of the frame headers


class BrokenImage(BagreidError):  # noqa: N818 - what it says of an image, not of us
    """The bytes are no whole image."""


def image_size(data: bytes | memoryview) -> tuple[int, int]:
    """Reads an image's size from its header, without decoding it.

    Args:
        data: The file, or enough of its beginning.

    Returns:
        Height and width in pixels.

    Raises:
        BrokenImage: If the bytes begin neither like a JPEG nor like a PNG, or end too early.
    """
    if data[:8] == _PNG and len(data) >= 24:
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    if data[:2] != _JPEG:
        raise BrokenImage("the bytes are neither a JPEG nor a PNG")
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NOT_A_FRAME:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(
                data[at + 7 : at + 9], "big"
            )
        # 0xFF pads; every other marker before the frame header states its segment's length.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise BrokenImage("the JPEG has no frame header")


def credible_size(data: bytes | memoryview) -> tuple[int, int]:
    """Reads an image's size from its header, and refuses what no picture has.

    Args:
        data: The file, or enough of its beginning.

    Returns:
        Height and width in pixels, together at least 1 and at most `MAX_PIXELS`.

    Raises:
        BrokenImage: If there is no size, or an absurd one.
    """
    height, width = image_size(data)
    if not 0 < height * width <= MAX_PIXELS:
        raise BrokenImage(f"the image claims to be {height}×{width} pixels")
    return height, width
