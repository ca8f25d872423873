"""Image bytes to pixels."""

from __future__ import annotations

import io
import re
import struct
import zlib

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from bagreid.contracts import BagreidError
from bagreid.shards.jpeg import MAX_PIXELS, BrokenImage, credible_size, image_size

__all__ = ["MAX_PIXELS", "BrokenImage", "decode_jpeg", "image_size"]

PIXELS_A_BYTE = 512
"""A Huffman code takes at least a bit, and codes 64 pixels at most: more pixels a byte than this
(an empty picture reaches half of it) no whole JPEG has."""

MAX_SCANS = 256
"""A progressive JPEG has about ten scans. Each goes over the whole picture, so that a few thousand
of them, of some bytes each, would keep the decoder busy for hours."""

_PNG = b"\x89PNG\r\n\x1a\n"
_SCAN = b"\xff\xda"
_REASON = re.compile(r"\.c(?:pp|u)?:\d+, (.+)")
"""What the decoder itself says, behind the place in its source."""


def decode_jpeg(data: bytes | memoryview) -> Tensor:
    """Decodes a JPEG (or PNG) of any colour space.

    A file that was cut is noticed wherever that was: the decoder asks for bytes until it has met
    the end mark.

    Args:
        data: The whole file.

    Returns:
        ``(3, H, W)`` uint8, red, green, blue.

    Raises:
        BrokenImage: If the bytes are cut, corrupt or something else. Damage inside the compressed
            pixels that the format has no means to notice shows as wrong pixels instead.
        BagreidError: If the memory does not suffice, which says nothing of the image.
    """
    height, width = credible_size(data)
    # A copy, for torch wants to own writable memory; it costs a hundredth of the decoding.
    copy = bytearray(data)
    if copy.startswith(_PNG):
        return _decode_png(copy)
    _check_claims(copy, height * width)
    try:
        buffer = torch.frombuffer(copy, dtype=torch.uint8)
        image: Tensor = decode_image(buffer, mode=ImageReadMode.RGB)
    except RuntimeError as error:
        if "memory" in str(error):
            raise BagreidError(
                f"the memory does not suffice to decode an image of {height}×{width} pixels",
                remedy="Use fewer workers",
            ) from error
        said = _REASON.search(str(error))
        why = f": {said[1].rstrip('.')}" if said else ""
        raise BrokenImage(f"the image does not decode{why}") from error
    return image


def _check_claims(data: bytearray, pixels: int) -> None:
    """Refuses what would cost the decoder memory or time out of all proportion."""
    if pixels > PIXELS_A_BYTE * len(data):
        raise BrokenImage(f"the JPEG claims to hold {pixels:,} pixels in {len(data):,} bytes")
    if (scans := data.count(_SCAN)) > MAX_SCANS:
        raise BrokenImage(f"the JPEG claims to have {scans:,} scans")


def _decode_png(data: bytearray) -> Tensor:
    """A PNG that is called .jpg; by Pillow, for of a damaged one torchvision dies on the spot."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
            if opened.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip
                grey = (np.asarray(opened).astype(np.int32) >> 8).astype(np.uint8)
                image_HW3 = np.repeat(grey[..., None], 3, axis=2)
            else:
                image_HW3 = np.array(opened.convert("RGB"))
    except UnidentifiedImageError as error:
        raise BrokenImage("the PNG has no readable header") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise BrokenImage(f"the image does not decode: {error}") from error
    return torch.from_numpy(image_HW3).permute(2, 0, 1).contiguous()
