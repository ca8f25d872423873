"""Every seed and every past finding of fuzzing once more, without atheris."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_target import FINDINGS, NAMES, Mutate, Target, sweep


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Iterator[None]:
    yield
    sweep()


def target_of(name: str) -> Target:
    target: Target = importlib.import_module(f"fuzz_{name}").TARGET
    return target


@pytest.mark.parametrize("name", NAMES)
def test_seeds(name: str) -> None:
    target = target_of(name)
    for data in target.seeds():
        assert len(data) <= target.largest
        target.check(data)


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*/*")), ids=lambda path: path.name)
def test_past_findings(path: Path) -> None:
    target_of(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_mutated_seeds(name: str) -> None:
    """A few inputs of the kind that fuzzing tries, so that its own code cannot rot."""
    target = target_of(name)
    for seed, data in enumerate(list(target.seeds()) * 3):
        if target.mutate is None:
            target.check(flip(seed)(data, target.largest))
        else:
            target.check(target.mutate(data, target.largest, seed, flip(seed)))


def flip(seed: int) -> Mutate:
    """Turns some bits over."""

    def mutate(data: bytes, largest: int) -> bytes:
        changed = bytearray(data)
        for step in range(1 + seed % 3):
            if changed:
                changed[(seed * 7919 + step * 104729) % len(changed)] ^= 1 << (seed + step) % 8
        return bytes(changed[:largest])

    return mutate
