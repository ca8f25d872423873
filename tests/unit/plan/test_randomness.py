from __future__ import annotations

from itertools import product

from bagreid.plan.randomness import Purpose, generator


def test_streams_are_distinct_and_repeatable() -> None:
    asked = list(product(Purpose, (0, 1, 2**64 - 1), (0, 1), (0, 1, 10**12)))
    drawn = {where: tuple(generator(*where).integers(0, 2**63, 50).tolist()) for where in asked}
    numbers = [number for stream in drawn.values() for number in stream]
    assert len(set(numbers)) == len(numbers)
    assert all(
        tuple(generator(*where).integers(0, 2**63, 50).tolist()) == drawn[where] for where in asked
    )
