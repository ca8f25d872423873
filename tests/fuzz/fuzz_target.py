"""What a fuzz target is: a check of any bytes, and where to begin."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from bagreid.contracts import BagreidError

Mutate = Callable[[bytes, int], bytes]
"""libFuzzer's own mutation: (data, largest size) to data."""

Mutation = Callable[[bytes, int, int, Mutate], bytes]
"""(data, largest size, seed, libFuzzer's own mutation) to data."""

MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - only where it is there, and in an own folder

FINDINGS = Path(__file__).with_name("findings")
"""A folder a target with every input that was ever a finding; replayed by `make test`."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One parser under test.

    Attributes:
        name: Its name, which is also its module's: `fuzz_<name>`.
        check: Takes any bytes; raises where the parser does what it must not do.
        seeds: Inputs to begin with.
        lines_of: Modules whose lines the run should reach.
        mutate: Changes an input; None leaves it to libFuzzer.
        largest: Longest input in bytes.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    lines_of: tuple[str, ...]
    mutate: Mutation | None = None
    largest: int = 4096


Result = TypeVar("Result")

NAMES = ("tar", "bags", "lists", "truth", "jpeg")
"""All targets."""


def result_or_error(
    function: Callable[..., Result], *args: Any, **options: Any
) -> tuple[Result | None, BagreidError | None]:
    """What a function gives, or the error for users that it raises, looked over."""
    try:
        return function(*args, **options), None
    except BagreidError as error:
        check_error(error)
        return None, error


def check_error(error: BagreidError) -> None:
    """An error for users fits on a line and names a file and a place in it."""
    said = str(error)
    assert len(said.splitlines()) == 1, said
    assert len(said) < 1200, said
    assert error.path is not None, said
    assert error.position is not None, said


def word_mutation(words: Sequence[bytes]) -> Mutation:
    """A mutation that half of the time puts a word of the format somewhere, or moves a part."""

    def change(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5 or not data:
            return mutate(data, largest)
        raw = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            at, stop = sorted((rng.randrange(len(raw) + 1), rng.randrange(len(raw) + 1)))
            kind = rng.randrange(4)
            if kind == 0:
                raw[at:at] = rng.choice(words)
            elif kind == 1:
                raw[at : min(stop, at + 8)] = rng.choice(words)
            elif kind == 2:
                raw[at:at] = raw[at:stop][:200]
            else:
                del raw[at : min(stop, at + 40)]
        return bytes(raw[:largest])

    return change


@cache
def _folder() -> Path:
    where = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    return Path(tempfile.mkdtemp(prefix="bagreid-fuzz-", dir=where))


@contextmanager
def scratch_file(data: bytes, name: str) -> Iterator[Path]:
    """A file that holds `data` for a moment, in memory where the system allows it.

    It is always a new one: an old one may still be mapped.
    """
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    try:
        path = folder / name
        path.write_bytes(data)
        yield path
    finally:
        shutil.rmtree(folder)


def sweep() -> None:
    """Removes the folder of the scratch files."""
    if _folder.cache_info().currsize:
        shutil.rmtree(_folder(), ignore_errors=True)
        _folder.cache_clear()
