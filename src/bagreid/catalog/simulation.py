"""Bags simulated on strongly labelled images: how weak supervision is studied where truth is known.

The images of each person are cut at random into runs of a few, and runs of different people are
joined at random into bags, of which only the set of people is told. Every image lies in exactly
one bag, a person in many, with changing partners.

The release trains MGN on bags of two people with four images each, simulated from strong labels;
how its own sampler chose the partners is not documented. Here the bags are fixed by a seed, so
that every run, every rank and every epoch sees the same ones.

Shape letters: N images, P people, R runs, B bags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bagreid.contracts import IntArray

_STREAM = 0x6261_6773
"""Keeps these draws apart from all others of the same seed."""

_SWAPS_A_RUN = 10
"""A few times as many as ln R / 2, which mix any order of R runs well (R is some thousands)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BagSimulation:
    """How bags are made of strongly labelled images."""

    people: int = 2
    """People in a bag."""
    images: int = 4
    """Images of each of them in a bag."""
    seed: int = 0
    """Determines who meets whom, and on which images."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.people < 1 or self.images < 1:
            raise ValueError(
                "a bag needs at least one person with one image, not "
                f"{self.people} with {self.images}"
            )
        if self.seed < 0:
            raise ValueError(f"the seed must be 0 or more, not {self.seed}")

    @property
    def bag_size(self) -> int:
        """Images of a full bag."""
        return self.people * self.images


def simulate_bags(person: IntArray, options: BagSimulation) -> IntArray:
    """Puts every image into a bag.

    Args:
        person: `(N,)` number of each image's person, from 0, each of them there, ascending.
        options: How large the bags are, and the seed.

    Returns:
        `(N,)` int64 number of each image's bag, from 0. Each bag holds at least one and at most
        `options.people` people, of each at most `options.images` images; the bags are as few as
        that allows.
    """
    if not len(person):
        return np.zeros(0, np.int64)
    sequence = np.random.SeedSequence([_STREAM, options.seed])
    random = np.random.Generator(np.random.Philox(sequence))
    run_N, person_R = cut_runs(person, options.images, random)
    bag_R = join_runs(person_R, options.people, random)
    return random.permutation(int(bag_R.max()) + 1)[bag_R][run_N]


def cut_runs(
    person: IntArray, images: int, random: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Cuts each person's images, shuffled, into as few runs as possible, of nearly equal length.

    Of nearly equal length, so that no image is left alone where others of its person could share
    a bag with it: nine images in runs of at most four become three runs of three.

    Args:
        person: `(N,)` number of each image's person, from 0, each of them there, ascending.
        images: Images of a run, at most.
        random: Where the shuffling comes from.

    Returns:
        `(N,)` run of each image, and `(R,)` person of each run, ascending.
    """
    count_P = np.bincount(person)
    runs_P = -(-count_P // images)
    first_P = np.cumsum(count_P) - count_P
    shuffled = np.lexsort((random.random(len(person)), person))
    rank_N = np.empty(len(person), np.int64)
    rank_N[shuffled] = np.arange(len(person)) - first_P[person]
    within_N = rank_N * runs_P[person] // count_P[person]
    run_N = (np.cumsum(runs_P) - runs_P)[person] + within_N
    return run_N, np.repeat(np.arange(len(count_P)), runs_P)


def join_runs(person_R: IntArray, people: int, random: np.random.Generator) -> IntArray:
    """Joins runs of different people into bags.

    The runs, person by person, are dealt out to the bags in turn: no person has more runs than
    there are bags, so none meets itself. Then pairs of runs drawn at random change places wherever
    both bags still hold different people afterwards.

    Args:
        person_R: `(R,)` person of each run, ascending.
        people: People of a bag, at most.
        random: Where the draws come from.

    Returns:
        `(R,)` bag of each run, from 0.
    """
    runs = len(person_R)
    bags = max(-(-runs // people), int(np.bincount(person_R).max()))
    bag_of: list[int] = (np.arange(runs) % bags).tolist()
    person: list[int] = person_R.tolist()
    inside: list[set[int]] = [set() for _ in range(bags)]
    for bag, who in zip(bag_of, person, strict=True):
        inside[bag].add(who)
    for one, other in random.integers(runs, size=(_SWAPS_A_RUN * runs, 2)).tolist():
        a, b, x, y = bag_of[one], bag_of[other], person[one], person[other]
        if a == b or x == y or y in inside[a] or x in inside[b]:
            continue
        inside[a].remove(x)
        inside[b].remove(y)
        inside[a].add(y)
        inside[b].add(x)
        bag_of[one], bag_of[other] = b, a
    return np.array(bag_of, np.int64)
