from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.plan import PlanConfig, make_identity_plan
from bagreid.plan.identities import spread_groups

from .archives import epoch_groups

labels_of_rows = st.lists(st.integers(-1, 9), min_size=1, max_size=120).filter(
    lambda labels: max(labels) >= 0
)


def config(groups: int, images_per_group: int) -> PlanConfig:
    return PlanConfig(kind="identities", groups=groups, images_per_group=images_per_group)


@given(labels_of_rows, st.integers(1, 9), st.integers(1, 9), st.integers(0, 2))
def test_an_epoch_shows_every_known_image_in_groups_of_its_identity(
    labels: list[int], groups: int, images_per_group: int, epoch: int
) -> None:
    plan = make_identity_plan(np.array(labels), config(groups, images_per_group), 0)
    shown = epoch_groups(plan, epoch, groups)
    for identity, rows in shown:
        assert {labels[row] for row in rows} == {identity}
    distinct = set(shown)
    assert {row for _, rows in distinct for row in rows} == {
        row for row, label in enumerate(labels) if label >= 0
    }
    per_identity = Counter(identity for identity, _ in distinct)
    for identity, count in per_identity.items():
        assert count == -(-labels.count(identity) // images_per_group)
    assert plan.left_out == labels.count(-1)
    # Filling up adds less than a batch.
    assert len(shown) - len(distinct) < groups


@given(st.lists(st.integers(1, 12), min_size=1, max_size=25), st.integers(1, 9))
def test_a_batch_repeats_no_identity_unless_it_must(counts: list[int], groups: int) -> None:
    batches = -(-sum(counts) // groups)
    random = np.random.Generator(np.random.Philox(0))
    order = spread_groups(np.array(counts), batches, groups, random)
    owner = np.repeat(np.arange(len(counts)), counts)
    assert set(order.tolist()) == set(range(sum(counts)))
    if max(counts) <= batches and len(counts) >= groups:
        for batch in owner[order].reshape(batches, groups):
            assert len(set(batch.tolist())) == groups


@given(labels_of_rows, st.integers(1, 9))
def test_the_ranks_of_any_world_share_the_global_batch(labels: list[int], groups: int) -> None:
    plan = make_identity_plan(np.array(labels), config(groups, 4), 5)
    for world_size in range(1, groups + 1):
        for step in range(plan.steps_per_epoch):
            shares = [plan.batch(2, step, rank, world_size) for rank in range(world_size)]
            whole = plan.batch(2, step)
            for name in ("rows", "groups", "bags", "keys"):
                together = np.concatenate([getattr(share, name) for share in shares])
                assert together.tolist() == getattr(whole, name).tolist()


def test_rows_of_an_identity_stand_in_for_one_another() -> None:
    plan = make_identity_plan(np.array([2, 0, -1, 2, 2]), config(2, 2), 0)
    assert plan.bag_rows(2).tolist() == [0, 3, 4]


def test_no_known_identity_is_an_error() -> None:
    with pytest.raises(BagreidError, match="no image to plan with"):
        make_identity_plan(np.full(5, -1), config(2, 2), 0)
    with pytest.raises(ValueError, match="not windows"):
        make_identity_plan(np.zeros(5), PlanConfig(), 0)
