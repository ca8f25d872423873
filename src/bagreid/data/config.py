"""The configuration of decoding and augmentation; free of torch, so that help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is done to an image between its bytes and the network."""

    height: int = 256
    """Height of a training image in pixels."""

    width: int = 128
    """Width of a training image in pixels."""

    test_size: tuple[int, int] | None = None
    """Height and width of a test image; as in training where this is None."""

    resize: tuple[int, int] | None = None
    """Height and width to resize to before the random crop; None: the training size itself."""

    pad: int = 0
    """Black pixels added to each side before the random crop."""

    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """How images are resized, with antialiasing."""

    flip: float = 0.5
    """Probability of mirroring left and right."""

    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Colour jitter: strengths of brightness, contrast, saturation (factors within 1 ± strength)
    and hue (a turn within ± strength, at most 0.5)."""

    cast: float = 0.0
    """Colour cast: red, green and blue are each multiplied by their own factor of up to e to the
    power of this, up or down, as cameras with other white balances do."""

    erase: float = 0.5
    """Probability of erasing a random rectangle: it becomes 0 after normalisation, the mean colour
    (random erasing, arXiv 1708.04896)."""

    erase_area: tuple[float, float] = (0.02, 0.4)
    """Least and greatest share of the image that is erased."""

    erase_aspect: tuple[float, float] = (0.3, 3.33)
    """Least and greatest height of the erased rectangle over its width."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of red, green and blue (of 0…1) that is subtracted; ImageNet's."""

    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Standard deviation of red, green and blue that is divided by; ImageNet's."""

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width an image is resized to before padding and cropping."""
        return self.resize or (self.height, self.width)

    def __post_init__(self) -> None:
        lengths = (self.height, self.width, *(self.test_size or ()), *(self.resize or ()))
        if min(lengths) < 1 or self.pad < 0:
            raise ValueError(f"image sizes must be positive, not {lengths} with pad {self.pad}")
        canvas = tuple(side + 2 * self.pad for side in self.canvas)
        if canvas[0] < self.height or canvas[1] < self.width:
            raise ValueError(f"cannot crop {self.height}×{self.width} out of {canvas}")
        if not (0 <= self.flip <= 1 and 0 <= self.erase <= 1):
            raise ValueError(f"flip {self.flip} and erase {self.erase} are probabilities")
        if min(self.jitter) < 0 or self.jitter[3] > 0.5 or self.cast < 0:
            raise ValueError(
                f"jitter {self.jitter} and cast {self.cast} must be at least 0, hue at most 0.5"
            )
        area, aspect = self.erase_area, self.erase_aspect
        if not (0 < area[0] <= area[1] <= 1 and 0 < aspect[0] <= aspect[1]):
            raise ValueError(f"erased area {area} or aspect {aspect} is no range")
        if min(self.std) <= 0:
            raise ValueError(f"standard deviations must be positive: {self.std}")
