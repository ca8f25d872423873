from __future__ import annotations

import pickle
import random
import tracemalloc
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.contracts import BagreidError, PlannedBatch
from bagreid.plan import PlanConfig, make_bag_plan

from .archives import bag_plan, epoch_groups, released_bags, rows_of_bag, table

sizes_of_folders = st.lists(st.integers(0, 40), min_size=1, max_size=24).filter(any)
configs = st.builds(
    PlanConfig,
    kind=st.sampled_from(["windows", "bag_file"]),
    groups=st.integers(1, 13),
    images_per_group=st.integers(1, 17),
)


def same(one: PlannedBatch, other: PlannedBatch) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("rows", "groups", "bags", "keys")
    )


@given(sizes_of_folders, configs, st.integers(0, 3))
def test_the_ranks_and_parts_of_any_world_make_up_the_global_batch(
    sizes: list[int], config: PlanConfig, epoch: int
) -> None:
    plan = bag_plan(sizes, released_bags(len(sizes)), config)
    for step in {0, plan.steps_per_epoch // 2, plan.steps_per_epoch - 1}:
        whole = plan.batch(epoch, step)
        assert (
            whole.groups.tolist()
            == np.repeat(np.arange(config.groups), config.images_per_group).tolist()
        )
        for parts, world_size in product(range(1, 5), range(1, 9)):
            if config.groups // parts < world_size:
                with pytest.raises(ValueError, match=rf"^{config.groups} groups .* {world_size} r"):
                    plan.shares(world_size, 0, parts)
                with pytest.raises(ValueError, match=f"cut into {parts} parts"):
                    plan.batch(epoch, step, 0, world_size, 0, parts)
                continue
            dealt = [
                groups
                for part in np.array_split(np.arange(config.groups), parts)
                for groups in np.array_split(part, world_size)
            ]
            shares = [
                plan.batch(epoch, step, rank, world_size, part, parts)
                for part in range(parts)
                for rank in range(world_size)
            ]
            for share, groups in zip(shares, dealt, strict=True):
                assert sorted(set(share.groups.tolist())) == groups.tolist()
            counts = [plan.shares(world_size, part, parts) for part in range(parts)]
            assert [len(share.rows) for share in shares] == [n for part in counts for n in part]
            together = PlannedBatch(
                *(
                    np.concatenate([getattr(share, name) for share in shares])
                    for name in ("rows", "groups", "bags", "keys")
                )
            )
            assert same(together, whole)


@given(sizes_of_folders, configs, st.integers(0, 3))
def test_an_epoch_shows_every_image_once_but_for_filling_up(
    sizes: list[int], config: PlanConfig, epoch: int
) -> None:
    bags = released_bags(len(sizes))
    plan = bag_plan(sizes, bags, config)
    groups = epoch_groups(plan, epoch, config.groups)
    distinct = list(dict.fromkeys(groups))
    # The last batches are filled up from the epoch's first groups, in their order.
    assert groups == (distinct * len(groups))[: len(groups)]
    shown_in: dict[int, int] = {}
    size = config.images_per_group
    for bag in {bag for bag, _ in distinct}:
        cuts = [rows for other, rows in distinct if other == bag]
        times = Counter(row for rows in cuts for row in rows)
        assert set(times) <= rows_of_bag(sizes, bags[bag])
        # A pool's last group is filled up evenly, and by no more than it must.
        assert len(cuts) == -(-len(times) // size)
        spare = len(cuts) * size - len(times)
        assert max(times.values()) <= 1 + -(-spare // len(times))
        assert not shown_in.keys() & times.keys()
        shown_in |= dict.fromkeys(times, bag)
    assert set(shown_in) == set(range(sum(sizes)))
    assert plan.left_out == 0


@given(sizes_of_folders, st.integers(1, 17), st.integers(0, 3))
def test_windows_are_whole_bags_that_tile_the_folders(
    sizes: list[int], images_per_group: int, epoch: int
) -> None:
    bags = released_bags(len(sizes))
    config = PlanConfig(groups=4, images_per_group=images_per_group)
    groups = epoch_groups(bag_plan(sizes, bags, config), epoch, 4)
    for bag in {bag for bag, _ in groups}:
        shown = {row for other, rows in groups if other == bag for row in rows}
        assert shown == rows_of_bag(sizes, bags[bag])
    drawn = sorted(bags[bag] for bag in {bag for bag, _ in groups})
    assert all(one[-1] < other[0] for one, other in pairwise(drawn))
    assert {len(bag) for bag in drawn} <= {1, 3, 5}


@given(st.integers(20, 120), st.integers(1, 60), st.integers(1, 20))
@settings(max_examples=30)
def test_each_width_gets_a_third_of_the_groups(
    folders: int, size: int, images_per_group: int
) -> None:
    bags = released_bags(folders)
    config = PlanConfig(groups=1, images_per_group=images_per_group)
    plan = bag_plan([size] * folders, bags, config)
    widths = Counter(len(bags[bag]) for bag, _ in epoch_groups(plan, 0, 1))
    third = sum(widths.values()) / 3
    groups_of = {width: -(-width * size // images_per_group) for width in (1, 3, 5)}
    # As near as it goes: half a window of 3 and of 5 either way, made up for by single folders.
    tolerance = groups_of[5] + 4 * groups_of[1]
    assert all(abs(widths[width] - third) <= tolerance for width in (1, 3, 5))
    assert plan.steps_per_epoch == sum(widths.values())


def test_thirds_of_uneven_folders_hold_within_a_few_percent() -> None:
    sizes = np.random.Generator(np.random.Philox(1)).integers(0, 200, 3000).tolist()
    bags = released_bags(3000)
    plan = bag_plan(sizes, bags, PlanConfig(groups=1))
    batches = [plan.batch(0, step) for step in range(plan.steps_per_epoch)]
    widths = Counter(len(bags[int(batch.bags[0])]) for batch in batches)
    for width in (1, 3, 5):
        assert widths[width] / len(batches) == pytest.approx(1 / 3, abs=0.02)


@given(sizes_of_folders, configs, st.data())
def test_a_batch_does_not_depend_on_what_was_asked_before(
    sizes: list[int], config: PlanConfig, data: st.DataObject
) -> None:
    bags = released_bags(len(sizes))
    used = bag_plan(sizes, bags, config, seed=3)
    steps = st.integers(0, used.steps_per_epoch - 1)
    for epoch, step in data.draw(st.lists(st.tuples(st.integers(0, 3), steps), max_size=6)):
        fresh = bag_plan(sizes, bags, config, seed=3)
        assert same(used.batch(epoch, step), fresh.batch(epoch, step))
        assert same(pickle.loads(pickle.dumps(used)).batch(epoch, step), fresh.batch(epoch, step))  # noqa: S301


@given(sizes_of_folders, configs)
def test_keys_number_the_samples_of_an_epoch(sizes: list[int], config: PlanConfig) -> None:
    plan = bag_plan(sizes, released_bags(len(sizes)), config)
    keys = [plan.batch(1, step).keys for step in range(plan.steps_per_epoch)]
    samples = plan.steps_per_epoch * config.groups * config.images_per_group
    assert np.concatenate(keys).tolist() == list(range(samples))


@pytest.mark.parametrize("kind", ["windows", "bag_file"])
def test_epochs_and_seeds_differ(kind: str) -> None:
    def rows(seed: int, epoch: int) -> list[int]:
        config = PlanConfig(kind=kind)  # type: ignore[arg-type]
        plan = bag_plan([30] * 40, released_bags(40), config, seed)
        return plan.batch(epoch, 0).rows.tolist()

    drawn = [tuple(rows(seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(drawn)) == len(drawn)


def test_global_generators_are_left_alone() -> None:
    before = random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    bag_plan([30] * 40, released_bags(40), PlanConfig()).batch(0, 0)
    assert (random.getstate(), pickle.dumps(np.random.get_state())) == before  # noqa: NPY002


def test_over_epochs_a_folder_is_shown_in_each_of_its_bags() -> None:
    bags = released_bags(9)
    plan = bag_plan([4] * 9, bags, PlanConfig(kind="bag_file", groups=3, images_per_group=2))
    seen: Counter[int] = Counter()
    for epoch in range(200):
        chosen = {bag for bag, rows in epoch_groups(plan, epoch, 3) if 16 in rows}
        assert len(chosen) == 1  # row 16 lies in folder 4
        seen += Counter(chosen)
    covering = {number for number, bag in enumerate(bags) if 4 in bag}
    assert len(covering) == 9
    assert set(seen) == covering
    assert min(seen.values()) >= 8  # each has 22 of 200 on average


def test_of_equal_bags_the_first_is_drawn_for_a_window() -> None:
    bags = [[0], [1], [2], [0, 1, 2], [2, 1, 0][::-1]]
    plan = bag_plan([9] * 3, bags, PlanConfig(groups=1, window_sizes=(3,)))
    assert {bag for bag, _ in epoch_groups(plan, 0, 1)} == {3}


def test_windows_refuse_bags_of_another_kind() -> None:
    pairs = [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(BagreidError, match=r"6 of 6 windows of 1 .* bag_file"):
        bag_plan([9] * 6, pairs, PlanConfig(window_sizes=(1,)))
    assert bag_plan([9] * 6, pairs, PlanConfig(kind="bag_file")).steps_per_epoch == 1


def test_an_empty_folder_needs_no_bag_of_its_own() -> None:
    sizes = [9, 0, 9]
    plan = bag_plan(sizes, [[0], [2]], PlanConfig(groups=2, window_sizes=(1,)))
    assert sorted({bag for bag, _ in epoch_groups(plan, 0, 2)}) == [0, 1]


def test_images_in_no_bag_are_counted() -> None:
    plan = bag_plan([5, 7, 11], [[0], [2]], PlanConfig(kind="bag_file"))
    assert plan.left_out == 7
    shown = {row for _, rows in epoch_groups(plan, 0, 12) for row in rows}
    assert shown == rows_of_bag([5, 7, 11], [0, 2])


def test_bags_that_share_no_folder_are_each_shown_once_an_epoch() -> None:
    sizes, bags = [8, 7, 8, 5, 9], [[0], [1], [2], [3], [4]]
    config = PlanConfig(kind="bag_file", groups=2, images_per_group=8)
    plan = bag_plan(sizes, bags, config)
    assert plan.steps_per_epoch == 3  # four bags of one group and one of two
    shown = Counter(bag for bag, _ in epoch_groups(plan, 0, 2))
    assert shown == {0: 1, 1: 1, 2: 1, 3: 1, 4: 2}


def test_rows_of_a_bag_are_those_of_all_its_folders() -> None:
    sizes, bags = [3, 0, 2, 4], [[0, 1, 3], [2]]
    plan = bag_plan(sizes, bags, PlanConfig(kind="bag_file"))
    assert plan.bag_rows(0).tolist() == [0, 1, 2, 5, 6, 7, 8]


@pytest.mark.parametrize("kind", ["windows", "bag_file"])
def test_no_image_is_an_error(kind: str) -> None:
    with pytest.raises(BagreidError, match="no image to plan with"):
        bag_plan([0, 0], released_bags(2), PlanConfig(kind=kind))  # type: ignore[arg-type]


def test_wrong_use_is_refused() -> None:
    plan = bag_plan([30] * 10, released_bags(10), PlanConfig())
    for step in (-1, plan.steps_per_epoch):
        with pytest.raises(ValueError, match="no step"):
            plan.batch(0, step)
    for rank, part in ((2, 0), (-1, 0), (0, 3), (0, -1)):
        with pytest.raises(ValueError, match=f"no rank {rank} of 2, or no part {part} of 3"):
            plan.batch(0, 0, rank, 2, part, 3)
    with pytest.raises(ValueError, match="not identities"):
        bag_plan([3], [[0]], PlanConfig(kind="identities"))


@pytest.mark.parametrize(
    "wrong",
    [{"groups": 0}, {"images_per_group": 0}, {"window_sizes": (3, 1)}, {"window_sizes": ()}],
)
def test_senseless_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not"):
        PlanConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["windows", "bag_file"])
def test_the_tables_of_the_released_size_are_small(kind: str) -> None:
    folders, size = 28_310, 1_000
    bags = table(released_bags(folders))
    start = np.arange(folders) * size
    tracemalloc.start()
    config = PlanConfig(kind=kind)  # type: ignore[arg-type]
    plan = make_bag_plan(start, start + size, bags, config, seed=0)
    last = plan.batch(0, plan.steps_per_epoch - 1)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last.rows.max() < folders * size
    assert held < 50e6
    assert peak < 100e6
    # Fill-up, in a pool's last group and at the end of the epoch, is a small share.
    assert plan.steps_per_epoch * 180 < 1.02 * folders * size
