from __future__ import annotations

import dataclasses
import pickle
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_pictures import smooth_image
from slow_view import slow_view
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from bagreid.data import AugmentConfig, augment
from bagreid.data.draws import View, draw, draw_views, erased_box

MGN = AugmentConfig(height=384, width=128, erase=0.5)
R50 = AugmentConfig(
    height=192, width=96, resize=(224, 112), jitter=(0.1, 0.1, 0.1, 0.0), test_size=(256, 128)
)
ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
PADDED = AugmentConfig(height=48, width=24, pad=6, interpolation="bilinear", erase=0.9)
HUED = AugmentConfig(height=48, width=24, jitter=(0.0, 0.0, 0.0, 0.2))
ALL = AugmentConfig(
    height=43, width=21, resize=(47, 25), pad=3, jitter=(0.3, 0.3, 0.3, 0.1), cast=0.3, erase=0.7
)
KEYS = np.array([0, 1, 2, 7, 8, 10**12, 3])
RECIPES = {"mgn": MGN, "r50": R50, "padded": PADDED, "hued": HUED, "all": ALL}


def train_view(
    image: Tensor, config: AugmentConfig, key: int, seed: int = 0, epoch: int = 0
) -> Tensor:
    resized = augment.resize(image, config.canvas, config)[None]
    views = draw_views(config, seed, epoch, np.array([key]))
    return augment.train_views(resized, views, config)[0]


def view(config: AugmentConfig, key: int = 0, *, seed: int = 0, epoch: int = 0) -> Tensor:
    return train_view(smooth_image(1, 72, 36, low=60), config, key, seed, epoch)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("low", [0, 60])
def test_a_view_is_what_plain_steps_make(recipe: str, low: int) -> None:
    config = RECIPES[recipe]
    image = smooth_image(1, 72, 36, low=low)
    for key in range(20):
        fast = train_view(image, config, key)
        assert fast.shape == (3, config.height, config.width)
        assert fast.dtype == torch.float32
        slow = slow_view(image, config, 0, 0, key)
        assert torch.allclose(fast.double(), slow, atol=2e-3 if config.jitter[3] else 2e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_view_is_what_torchvision_makes_step_by_step(recipe: str) -> None:
    """Of an image so grey that no step clips, which is where the two may differ."""
    config = replace(RECIPES[recipe], jitter=(0.1, 0.1, 0.1, 0.0), cast=0.0, erase=0.0, pad=0)
    image = smooth_image(1, 72, 36, low=60)
    adjust = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
    )
    plain = replace(config, jitter=(0.0, 0.0, 0.0, 0.0))
    for key, drawn in enumerate(draw(0, 0, np.arange(20))):
        slow = slow_view(image, plain, 0, 0, key)
        mean, std = torch.tensor(config.mean), torch.tensor(config.std)
        slow = slow * std[:, None, None] + mean[:, None, None]
        numbers = (drawn.brightness, drawn.contrast, drawn.saturation)
        for step in ORDERS[int(drawn.order * 6)]:
            slow = adjust[step](slow, 1 + 0.1 * (2 * numbers[step] - 1))
        slow = functional.normalize(slow, list(config.mean), list(config.std))
        assert torch.allclose(train_view(image, config, key).double(), slow, atol=2e-5)


def batch_of(config: AugmentConfig, count: int) -> tuple[Tensor, Tensor]:
    """Noise, for in it every rounding shows."""
    height, width = config.canvas
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, height, width, 3), generator=noise, dtype=torch.uint8)
    return images.permute(0, 3, 1, 2), draw_views(config, 0, 0, np.arange(count))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 21), st.integers(1, 21)),
    st.integers(0, 3),
    st.lists(st.integers(0, 12), max_size=4),
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from([1, 700, 2**17]),
)
def test_an_image_comes_to_the_same_bits_in_any_batch(
    size: tuple[int, int],
    more: int,
    cuts: list[int],
    last: bool,
    last_out: bool,
    threads: int,
    cached: int,
) -> None:
    canvas = (size[0] + more, size[1] + more)
    config = replace(ALL, height=size[0], width=size[1], resize=canvas, pad=more // 2)
    images, views = batch_of(config, 12)
    whole = augment.train_views(images, views, config)
    if not last:
        images = images.contiguous()
    out = torch.channels_last if last_out else torch.contiguous_format
    before = torch.get_num_threads(), augment.CACHED
    try:
        torch.set_num_threads(threads)
        augment.CACHED = cached
        edges = [0, *sorted(cuts), 12]
        parts = [
            augment.train_views(images[a:b], views[a:b], config, memory_format=out)
            for a, b in pairwise(edges)
        ]
    finally:
        torch.set_num_threads(before[0])
        augment.CACHED = before[1]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("recipe", RECIPES)
def test_batches_of_real_size_keep_their_bits(recipe: str) -> None:
    config = RECIPES[recipe]
    images, views = batch_of(config, 40)
    whole = augment.train_views(images, views, config)
    for part in (slice(0, 1), slice(3, 10), slice(17, 40)):
        assert torch.equal(augment.train_views(images[part], views[part], config), whole[part])


def test_the_result_is_written_where_it_fits() -> None:
    images, views = batch_of(R50, 3)
    for layout in (torch.contiguous_format, torch.channels_last):
        first = augment.train_views(images, views, R50, memory_format=layout)
        assert first.is_contiguous(memory_format=layout)
        kept = first.clone()
        first.zero_()
        again = augment.train_views(images, views, R50, memory_format=layout, out=first)
        assert again is first
        assert torch.equal(again, kept)
        fewer = augment.train_views(images[:2], views[:2], R50, memory_format=layout, out=first)
        assert fewer is not first
        assert torch.equal(fewer, kept[:2])


def test_a_view_holds_what_was_drawn() -> None:
    views = draw_views(ALL, 0, 0, np.arange(300))
    assert views.dtype == torch.float64
    columns: View[Tensor] = View._make(views.unbind(1))
    assert columns.top.unique().tolist() == list(range(47 + 6 - 43 + 1))
    assert columns.left.unique().tolist() == list(range(25 + 6 - 21 + 1))
    assert columns.flip.unique().tolist() == [0, 1]
    assert (columns.erase_bottom > columns.erase_top).float().mean() == pytest.approx(0.7, abs=0.1)
    assert draw_views(ALL, 0, 0, np.arange(0)).shape == (0, len(View._fields))


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
    together = list(draw(3, 1, KEYS))
    assert together == [one for key in KEYS for one in draw(3, 1, np.array([key]))]
    numbers = [number for draws in together for number in (*draws[:-1], *draws.box)]
    assert len(set(numbers)) == len(numbers) == 52 * len(KEYS)
    assert not list(draw(3, 1, KEYS[:0]))


def test_switching_one_augmentation_off_leaves_the_others() -> None:
    def flipped(config: AugmentConfig) -> list[bool]:
        return [
            draws.flip < config.flip and not torch.equal(view(config, key), view(PLAIN, key))
            for key, draws in enumerate(draw(0, 0, np.arange(30)))
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
    for draws in draw(0, 0, np.arange(4000)):
        box = erased_box(config, draws)
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
    assert all(erased_box(config, draws) is None for draws in draw(0, 0, KEYS))
    assert not (view(config) == 0).all(dim=0).any()


def test_crops_begin_everywhere() -> None:
    config = AugmentConfig(height=8, width=4, resize=(10, 5), pad=1, flip=0.0, erase=0.0)
    ramp = torch.arange(1, 51, dtype=torch.uint8).view(1, 10, 5).expand(3, 10, 5)
    corners = set()
    for key in range(400):
        shown = train_view(ramp, config, key)
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
