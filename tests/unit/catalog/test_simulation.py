"""Simulated bags: no image lost, none twice, never too many people, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.catalog.simulation import BagSimulation, cut_runs, join_runs, simulate_bags

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=30)
options = st.builds(
    BagSimulation,
    people=st.integers(1, 5),
    images=st.integers(1, 9),
    seed=st.integers(0, 2**40),
)


def of(counts: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


@given(sizes, options)
def test_bags_are_as_promised(counts: list[int], made: BagSimulation) -> None:
    person = of(counts)
    bag = simulate_bags(person, made)
    assert bag.shape == person.shape
    runs = [-(-count // made.images) for count in counts]
    bags = max(-(-sum(runs) // made.people), *runs)
    assert set(bag.tolist()) == set(range(bags))
    for number in range(bags):
        of_person = Counter(person[bag == number].tolist())
        assert 1 <= len(of_person) <= made.people
        assert max(of_person.values()) <= made.images
    assert np.array_equal(bag, simulate_bags(person, made))


@given(sizes, st.integers(1, 9), st.integers(0, 9))
def test_runs_are_few_and_nearly_equal(counts: list[int], images: int, seed: int) -> None:
    person = of(counts)
    run, person_of_run = cut_runs(person, images, np.random.Generator(np.random.Philox(seed)))
    assert np.array_equal(person_of_run[run], person)
    lengths = np.bincount(run)
    for who, count in enumerate(counts):
        own = lengths[person_of_run == who]
        assert len(own) == -(-count // images)
        assert own.max() - own.min() <= 1


@given(sizes, st.integers(1, 5), st.integers(0, 9))
def test_nobody_meets_itself(runs: list[int], people: int, seed: int) -> None:
    person = of(runs)
    bag = join_runs(person, people, np.random.Generator(np.random.Philox(seed)))
    assert len(set(zip(bag.tolist(), person.tolist(), strict=True))) == len(person)
    assert np.bincount(bag).max() <= people


def partners(person: np.ndarray, bag: np.ndarray, who: int) -> set[int]:
    return set(person[np.isin(bag, bag[person == who])].tolist()) - {who}


def test_partners_change_from_bag_to_bag_and_from_seed_to_seed() -> None:
    person = of([40] * 50)
    bag = simulate_bags(person, BagSimulation())
    for who in range(50):
        assert len(partners(person, bag, who)) >= 6, "of ten bags hardly any two share a partner"
    other = simulate_bags(person, BagSimulation(seed=1))
    assert partners(person, bag, 0) != partners(person, other, 0)
    neighbours = [abs(a - b) for a in range(50) for b in partners(person, bag, a)]
    assert 10 < np.mean(neighbours) < 24, "partners are anybody: two of fifty are 17 apart"


def test_a_person_who_has_most_of_the_images_is_alone_where_there_is_nobody_left() -> None:
    person = of([40, 4])
    bag = simulate_bags(person, BagSimulation())
    people = [len(set(person[bag == number].tolist())) for number in range(10)]
    assert sorted(people) == [1] * 9 + [2]


def test_an_odd_number_of_runs_leaves_one_person_alone() -> None:
    person = of([4, 4, 4])
    bag = simulate_bags(person, BagSimulation())
    assert sorted(np.bincount(bag).tolist()) == [4, 8]


def test_no_images_make_no_bags() -> None:
    assert simulate_bags(np.zeros(0, np.int64), BagSimulation()).shape == (0,)


@pytest.mark.parametrize("wrong", [{"people": 0}, {"images": 0}, {"seed": -1}])
def test_absurd_options_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs at least"):
        BagSimulation(**wrong)
