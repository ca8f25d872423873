"""Image bytes to pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from bagreid.shards.jpeg import MAX_PIXELS, BrokenImage, credible_size, image_size

__all__ = ["MAX_PIXELS", "BrokenImage", "decode_jpeg", "image_size"]


def decode_jpeg(data: bytes | memoryview) -> Tensor:
    """Decodes a JPEG (or PNG) of any colour space.

    Args:
        data: The whole file.

    Returns:
        ``(3, H, W)`` uint8, red, green, blue.

    Raises:
        BrokenImage: If the bytes are cut, corrupt or something else. Damage inside the compressed
            pixels that the format has no means to notice shows as wrong pixels instead.
    """
    credible_size(data)
    try:
        # A copy, for torch wants to own writable memory; it costs a hundredth of the decoding.
        buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        image: Tensor = decode_image(buffer, mode=ImageReadMode.RGB)
    except RuntimeError as error:
        raise BrokenImage("the image does not decode") from error
    if image.dtype != torch.uint8:  # a PNG of 16 bits a channel
        image = (image.to(torch.int32) >> 8).to(torch.uint8)
    return image
