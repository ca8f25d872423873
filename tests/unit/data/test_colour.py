from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_pictures import smooth_image
from torch import Tensor
from torchvision.transforms.v2 import functional

from bagreid.data.colour import ColourMap, apply_colour, mean_grey, turn_hue

STEPS = {
    "brightness": functional.adjust_brightness,
    "contrast": functional.adjust_contrast,
    "saturation": functional.adjust_saturation,
}


def applied(image: Tensor, order: tuple[str, ...], factors: dict[str, float]) -> Tensor:
    colour = ColourMap()
    for step in order:
        colour = getattr(colour, step)(factors[step])
    images = image[None].float()
    apply_colour(images, torch.tensor([colour], dtype=torch.float64))
    return images[0]


@given(
    st.sampled_from(list(permutations(STEPS))),
    st.fixed_dictionaries({step: st.floats(0.6, 1.4) for step in STEPS}),
    st.integers(0, 20),
)
def test_the_linear_map_is_torchvisions_adjustments(
    order: tuple[str, ...], factors: dict[str, float], seed: int
) -> None:
    image = smooth_image(seed, low=100)  # so far from black and white that nothing is clipped
    slow = image.double() / 255
    for step in order:
        slow = STEPS[step](slow, factors[step])
    fast = applied(image, order, factors)
    if slow.min() > 0.002 and slow.max() < 0.998:
        assert torch.allclose(fast.double() / 255, slow, atol=1e-5)


@pytest.mark.parametrize("strength", [0.1, 0.4])
def test_where_pixels_are_clipped_the_difference_is_small(strength: float) -> None:
    factors = dict.fromkeys(STEPS, 1 + strength)
    image = smooth_image(3)
    slow = image
    for step in STEPS:
        slow = STEPS[step](slow, factors[step])
    fast = applied(image, tuple(STEPS), factors)
    assert fast.min() >= 0
    assert fast.max() <= 255
    assert (fast - slow.float()).abs().mean() < 255 * strength / 10


def test_mean_grey_is_that_of_torchvision() -> None:
    image = smooth_image(1)
    slow = functional.rgb_to_grayscale(image.double()).mean()
    for whole in (True, False):
        found = mean_grey(image[None].float(), whole=whole)
        assert found.tolist() == pytest.approx([slow.item()], abs=1e-9)


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 0.01, 0.3, 0.5])
def test_turning_the_hue_is_torchvisions(turn: float) -> None:
    noise = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, 40, 30), generator=noise).float()
    images[1, :, :5] = images[1, :1, :5]  # grey, which has no hue
    images[1, 1, 5:9] = images[1, 0, 5:9]  # two channels alike
    fast = turn_hue(images, torch.tensor([turn, turn / 2]))
    for one, share in enumerate((turn, turn / 2)):
        slow = functional.adjust_hue(images[one] / 255, share) * 255
        assert torch.allclose(fast[one], slow, atol=2e-2)
