"""JPEGs of people as the release has them: 144 pixels wide, 288 high, about 3 KB."""

from __future__ import annotations

import io

from PIL import Image

from bagreid.data.synthetic import SyntheticConfig, layout
from bagreid.data.synthetic.shots import render

WIDTH, HEIGHT = 144, 288

_QUALITY = 30  # with the softness of video frames scaled up, this gives the release's 3 KB


def make_pictures(count: int) -> list[bytes]:
    """Renders people and packs them as small as the release's.

    Args:
        count: How many.

    Returns:
        JPEGs of `HEIGHT` by `WIDTH` pixels, all different.
    """
    config = SyntheticConfig(people=max(8, count // 8), images_per_folder=8, shortest_edge=WIDTH)
    entries = [entry for chunk in layout.chunks(config) for entry in layout.entries(config, chunk)]
    return [_repack(render(config.seed, entry.shot, WIDTH)) for entry in entries[:count]]


def _repack(data: bytes) -> bytes:
    half = Image.open(io.BytesIO(data)).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    whole = half.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    whole.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
