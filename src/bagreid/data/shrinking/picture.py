"""One image: decoded, made smaller, encoded again.

torchvision decodes and resizes, for it does both in half of Pillow's time; Pillow encodes, for
torchvision cannot choose how finely colour is stored.

The rules: The shorter side gets exactly the wanted length, the longer one the nearest whole number
of pixels. Grey stays grey; CMYK becomes RGB, as every loader here sees it. Colour is stored as
finely as in the source (4:4:4, 4:2:2 or 4:2:0; in full where the source has another form).
Pixels stay turned as they are stored: the EXIF orientation is not applied, but carried over, and
so is a colour profile; everything else beside the pixels (thumbnails, camera notes) is dropped.
"""

from __future__ import annotations

import io
import warnings

from PIL import ExifTags, Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from bagreid.data.decode import BrokenImage
from bagreid.data.shrinking.config import ShrinkConfig
from bagreid.data.shrinking.verdict import Verdict
from bagreid.data.soundness import Inspector
from bagreid.shards.jpeg import image_size

_SMALL = Verdict("small")
_NO_GAIN = Verdict("no gain")
_NO_JPEG = Verdict("no JPEG")


def shrink_picture(data: bytes, config: ShrinkConfig, inspector: Inspector) -> Verdict:
    """Makes one image smaller, where that is asked for and gains anything.

    Args:
        data: The whole file.
        config: Size and quality.
        inspector: Decodes, and notices what is broken.

    Returns:
        The smaller image, or why it is to be copied. An image that is small enough by its header
        is not decoded.
    """
    try:
        if min(image_size(data)) <= config.shortest_edge:
            return _SMALL
        pixels = inspector.decode(data)
        if not data.startswith(b"\xff\xd8"):
            return _NO_JPEG
        smaller = _resize(pixels, config)
        encoded = _encode(smaller, _opened(data), config)
    except BrokenImage as error:
        return Verdict("broken", reason=error.message)
    except (OSError, SyntaxError) as error:  # Pillow looks more closely at what stands in front
        return Verdict("broken", reason=f"Pillow refuses it ({error})")
    return Verdict("shrunk", encoded) if len(encoded) < len(data) else _NO_GAIN


def smaller_size(height: int, width: int, shortest_edge: int) -> tuple[int, int]:
    """Height and width with the shorter side as asked for, the longer one rounded.

    Args:
        height: Pixels.
        width: Pixels.
        shortest_edge: What the shorter one of the two becomes.

    Returns:
        The new height and width.
    """
    short = min(height, width)
    new_height, new_width = (
        (2 * side * shortest_edge + short) // (2 * short) for side in (height, width)
    )
    return new_height, new_width


def _resize(pixels: Tensor, config: ShrinkConfig) -> Tensor:
    size = smaller_size(pixels.shape[1], pixels.shape[2], config.shortest_edge)
    mode = InterpolationMode(config.interpolation)
    resized: Tensor = functional.resize(pixels, list(size), interpolation=mode, antialias=True)
    return resized


def _opened(data: bytes) -> JpegImageFile:
    """What stands in front of the pixels, as Pillow reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd in blocks that are dropped
        return JpegImageFile(io.BytesIO(data))


def _encode(pixels: Tensor, source: JpegImageFile, config: ShrinkConfig) -> bytes:
    """Encodes `(3, H, W)` uint8 pixels in the manner of the source."""
    if source.layers == 1:
        image = Image.fromarray(pixels[0].contiguous().numpy())
    else:
        image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    extra: dict[str, bytes] = {}
    profile = source.info.get("icc_profile")  # None, too, where parts of it are missing
    if profile and source.layers != 4:
        extra["icc_profile"] = profile
    orientation = _orientation(source)
    if orientation is not None:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        extra["exif"] = exif.tobytes()
    written = io.BytesIO()
    # Pillow's buffer must hold the whole file once tables are fitted, and its guess is too small
    # for noisy images: 27 bits for each of a block's 64 coefficients are the most there can be.
    room = 11 * image.width * image.height + 2**16 + len(extra.get("icc_profile", b""))
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, room)
    # Tables fitted to the image take 5 % of the bytes away and add a tenth to the time.
    image.save(
        written,
        "JPEG",
        quality=config.quality,
        subsampling=max(get_sampling(source), 0),
        optimize=True,
        **extra,
    )
    return written.getvalue()


def _orientation(source: JpegImageFile) -> int | None:
    """How a viewer is to turn the image; None where it is upright or the tag is unreadable."""
    if "exif" not in source.info:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = source.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return None
    return value if isinstance(value, int) and 2 <= value <= 8 else None
