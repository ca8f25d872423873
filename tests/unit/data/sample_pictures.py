"""Pictures to encode, augment and load."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def smooth_image(seed: int, height: int = 48, width: int = 24, low: int = 0) -> Tensor:
    """A ``(3, height, width)`` uint8 image of a few coloured clouds, values from ``low`` up."""
    random = np.random.Generator(np.random.Philox(seed))
    clouds = torch.from_numpy(random.random((1, 3, 4, 3), dtype=np.float32))
    image = torch.nn.functional.interpolate(clouds, (height, width), mode="bilinear")[0]
    return (low + image * (255 - 2 * low)).round().to(torch.uint8)
