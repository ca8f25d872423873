"""Fuzzes one target with atheris: `fuzz_one.py NAME [libFuzzer's options and corpus folders]`."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from fuzz_target import Target, sweep  # noqa: E402 - only now is its folder known


def main() -> None:
    with atheris.instrument_imports(include=["bagreid"]):
        target: Target = importlib.import_module(f"fuzz_{sys.argv[1]}").TARGET
    folder = Path(os.environ["FUZZ_SEEDS"])
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed{number:03d}").write_bytes(seed)
    options = {}
    if change := target.mutate:
        options["custom_mutator"] = lambda data, largest, seed: change(
            data, largest, seed, atheris.Mutate
        )
    atexit.register(sweep)
    arguments = [sys.argv[0], *sys.argv[2:], f"-max_len={target.largest}"]
    atheris.Setup(arguments, target.check, **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
