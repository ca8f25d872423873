from __future__ import annotations

import dataclasses
import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_pictures import smooth_image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from bagreid.data import AugmentConfig, augment

MGN = AugmentConfig(height=384, width=128, erase=0.5)
R50 = AugmentConfig(
    height=192, width=96, resize=(224, 112), jitter=(0.1, 0.1, 0.1, 0.0), test_size=(256, 128)
)
PADDED = AugmentConfig(height=48, width=24, pad=6, interpolation="bilinear", erase=0.9)
HUED = AugmentConfig(height=48, width=24, jitter=(0.0, 0.0, 0.0, 0.2))
KEYS = np.array([0, 1, 2, 7, 8, 10**12, 3])
RECIPES = {"mgn": MGN, "r50": R50, "padded": PADDED, "hued": HUED}


def view(config: AugmentConfig, key: int = 0, *, seed: int = 0, epoch: int = 0) -> Tensor:
    image = smooth_image(1, 72, 36, low=60)
    return augment.train_view(image, config, seed=seed, epoch=epoch, key=key)


def plain_view(image: Tensor, config: AugmentConfig, key: int) -> Tensor:
    """The same draws, through torchvision's functions one by one."""
    (draws,) = augment.draw(0, 0, np.array([key]))
    mode = InterpolationMode(config.interpolation)
    image = functional.resize(image, list(config.canvas), interpolation=mode, antialias=True)
    image = functional.pad(image, [config.pad] * 4)
    height, width = config.height, config.width
    top = int(draws.top * (image.shape[1] - height + 1))
    left = int(draws.left * (image.shape[2] - width + 1))
    image = image[:, top : top + height, left : left + width]
    if draws.flip < config.flip:
        image = functional.horizontal_flip(image)
    image = functional.to_dtype(image, torch.float64, scale=True)
    adjust = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
    )
    order = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)][int(draws.order * 6)]
    numbers = (draws.brightness, draws.contrast, draws.saturation)
    for step in order:
        strength = config.jitter[step]
        image = adjust[step](image, 1 + strength * (2 * numbers[step] - 1))
    if config.jitter[3]:
        image = functional.adjust_hue(image, config.jitter[3] * (2 * draws.hue - 1))
    image = functional.normalize(image, list(config.mean), list(config.std))
    if draws.erase < config.erase:
        box = augment.erased_box(config, draws)
        assert box is not None
        image = functional.erase(image, *box, torch.zeros(3, 1, 1, dtype=image.dtype))
    return image


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_view_is_what_torchvision_makes_step_by_step(recipe: str) -> None:
    config = RECIPES[recipe]
    # Grey enough that no step clips, which is where the two may differ.
    image = smooth_image(1, 72, 36, low=60)
    for key in range(20):
        fast = augment.train_view(image, config, seed=0, epoch=0, key=key)
        assert fast.shape == (3, config.height, config.width)
        assert fast.dtype == torch.float32
        slow = plain_view(image, config, key)
        assert torch.allclose(fast.double(), slow, atol=2e-3 if config.jitter[3] else 2e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_view_follows_from_seed_epoch_and_key(recipe: str) -> None:
    config = replace(RECIPES[recipe], erase=1.0)
    again = [view(config, 5, seed=2, epoch=1) for _ in range(2)]
    assert torch.equal(*again)
    others = [
        view(config, key, seed=seed, epoch=epoch)
        for seed in (2, 3)
        for epoch in (1, 2)
        for key in range(5, 12)
    ]
    assert [torch.equal(again[0], other) for other in others] == [True] + 27 * [False]


def test_draws_follow_from_each_key_and_share_no_number() -> None:
    together = list(augment.draw(3, 1, KEYS))
    assert together == [one for key in KEYS for one in augment.draw(3, 1, np.array([key]))]
    numbers = [number for draws in together for number in (*draws[:-1], *draws.box)]
    assert len(set(numbers)) == len(numbers) == 52 * len(KEYS)
    assert not list(augment.draw(3, 1, KEYS[:0]))


def test_switching_one_augmentation_off_leaves_the_others() -> None:
    def flipped(config: AugmentConfig) -> list[bool]:
        return [
            draws.flip < config.flip and not torch.equal(view(config, key), view(PLAIN, key))
            for key, draws in enumerate(augment.draw(0, 0, np.arange(30)))
        ]

    PLAIN = AugmentConfig(height=48, width=24, flip=0.0, erase=0.0)
    only_flip = AugmentConfig(height=48, width=24, erase=0.0)
    assert flipped(only_flip) == flipped(AugmentConfig(height=48, width=24))
    assert 5 < sum(flipped(only_flip)) < 25


def test_a_cast_multiplies_each_channel_by_its_own_factor() -> None:
    PLAIN = AugmentConfig(height=48, width=24, flip=0.0, erase=0.0, mean=(0, 0, 0), std=(1, 1, 1))
    strength = 0.3
    cast = dataclasses.replace(PLAIN, cast=strength)
    factors = set()
    for key in range(20):
        plain, seen = view(PLAIN, key), view(cast, key)
        for channel in range(3):
            unclipped = (plain[channel] > 0.05) & (seen[channel] < 1)
            ratio = (seen[channel] / plain[channel])[unclipped]
            torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-4, atol=0)
            assert np.exp(-strength) <= float(ratio[0]) <= np.exp(strength)
            factors.add(round(float(ratio[0]), 5))
    assert len(factors) > 50


def test_no_global_generator_is_touched() -> None:
    def states() -> tuple[object, bytes, bytes]:
        numpy_state = pickle.dumps(np.random.get_state())  # noqa: NPY002
        return random.getstate(), numpy_state, torch.get_rng_state().numpy().tobytes()

    before = states()
    for config in RECIPES.values():
        view(config)
        augment.test_view(smooth_image(0), config)
    assert states() == before


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [view(config, key) for config in RECIPES.values() for key in range(5)]
        torch.set_num_threads(3)
        shared = [view(config, key) for config in RECIPES.values() for key in range(5)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for pair in zip(alone, shared, strict=True))


def test_erased_rectangles_keep_to_their_ranges() -> None:
    config = AugmentConfig(height=96, width=48, erase_area=(0.05, 0.2), erase_aspect=(0.5, 2.0))
    boxes = []
    for draws in augment.draw(0, 0, np.arange(4000)):
        box = augment.erased_box(config, draws)
        assert box is not None
        boxes.append(box)
    top, left, height, width = np.array(boxes).T
    assert top.min() == 0
    assert left.min() == 0
    assert (top + height).max() == 96
    assert (left + width).max() == 48
    area, aspect = height * width / (96 * 48), height / width
    assert area.min() == pytest.approx(0.05, abs=0.01)
    assert area.max() == pytest.approx(0.2, abs=0.01)
    assert np.median(aspect) == pytest.approx(1, abs=0.1)
    assert aspect.min() == pytest.approx(0.5, abs=0.1)
    assert aspect.max() == pytest.approx(2, abs=0.3)


def test_half_of_the_views_are_erased_to_exactly_zero() -> None:
    erased = [
        bool((view(AugmentConfig(height=48, width=24), key) == 0).all(dim=0).any())
        for key in range(200)
    ]
    assert 70 < sum(erased) < 130


def test_a_rectangle_that_never_fits_is_left_away() -> None:
    config = AugmentConfig(height=8, width=4, erase_area=(1.0, 1.0), erase=1.0)
    assert all(augment.erased_box(config, draws) is None for draws in augment.draw(0, 0, KEYS))
    assert not (view(config) == 0).all(dim=0).any()


def test_crops_begin_everywhere() -> None:
    config = AugmentConfig(height=8, width=4, resize=(10, 5), pad=1, flip=0.0, erase=0.0)
    ramp = torch.arange(1, 51, dtype=torch.uint8).view(1, 10, 5).expand(3, 10, 5)
    corners = set()
    for key in range(400):
        shown = augment.train_view(ramp, config, seed=0, epoch=0, key=key)
        pixels = (shown[0] * config.std[0] + config.mean[0]).mul(255).round()
        corners.add((int(pixels[4, 2]), int(pixels[0, 0])))
    inside = {
        row * 5 + column + 1 for row in range(3, 8) for column in range(1, 5)
    }  # where pixel (4, 2) of the crop can come from
    assert {middle for middle, _ in corners} == inside
    assert {corner for _, corner in corners} >= {0, 1}


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(48, 24), (31, 77), (200, 100), (64, 32), (2, 3)])
@pytest.mark.parametrize("last", [(True, True), (True, False), (False, True), (False, False)])
def test_resizing_into_a_batch_is_resizing(
    interpolation: str, size: tuple[int, int], last: tuple[bool, bool]
) -> None:
    config = AugmentConfig(interpolation=interpolation)  # type: ignore[arg-type]
    image = smooth_image(3)
    if last[0]:
        image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    batch = torch.zeros(2, *size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    if not last[1]:
        batch = batch.contiguous()
    augment.resize_into(image, batch[1], config)
    assert torch.equal(batch[1], augment.resize(image, size, config))
    assert not batch[0].any()


def test_a_test_view_is_resized_and_normalised() -> None:
    image = smooth_image(2, 72, 36)
    resized = functional.resize(
        image, [256, 128], interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    slow = functional.normalize(resized.double() / 255, list(R50.mean), list(R50.std))
    assert torch.allclose(augment.test_view(image, R50).double(), slow, atol=1e-5)
    assert augment.test_view(image, PADDED).shape == (3, 48, 24)


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 0},
        {"pad": -1},
        {"resize": (200, 128)},
        {"flip": 1.5},
        {"erase": -0.1},
        {"jitter": (0.1, 0.1, 0.1, 0.6)},
        {"jitter": (-0.1, 0.0, 0.0, 0.0)},
        {"erase_area": (0.4, 0.2)},
        {"erase_aspect": (0.0, 2.0)},
        {"std": (0.2, 0.2, 0.0)},
        {"test_size": (0, 5)},
    ],
)
def test_senseless_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|cannot crop|are probabilities|is no range"):
        AugmentConfig(**wrong)  # type: ignore[arg-type]
