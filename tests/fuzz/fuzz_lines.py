"""Says which lines of a parser a corpus reaches: `fuzz_lines.py NAME FOLDER...`.

The last line of the output is `REACHED/ALL`; the lines not reached stand before it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from fuzz_target import Target, sweep  # noqa: E402 - only now is its folder known

BUDGET = 30.0
"""Seconds for all inputs, for tracing is slow; the smallest inputs come first."""


def code_of(code: CodeType) -> Iterator[CodeType]:
    """The code of all functions, not that which runs on import."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if not constant.co_name.startswith("<") and constant.co_flags & 2:  # a function
                yield constant
            yield from code_of(constant)


def lines_in(module: ModuleType) -> set[tuple[str, int]]:
    assert module.__file__ is not None
    source = Path(module.__file__).read_text()
    code = compile(source, module.__file__, "exec")
    return {
        (module.__file__, line)
        for function in code_of(code)
        for _, _, line in function.co_lines()
        if line is not None and line != function.co_firstlineno
    }


def reached(run: Callable[[], None], files: set[str]) -> set[tuple[str, int]]:
    seen: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if file not in files:
            return None
        if event == "line":
            seen.add((file, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(None)
    return seen


def main() -> None:
    target: Target = importlib.import_module(f"fuzz_{sys.argv[1]}").TARGET
    every = set().union(*(lines_in(importlib.import_module(name)) for name in target.lines_of))
    paths = [path for folder in sys.argv[2:] for path in Path(folder).iterdir()]
    inputs = [
        *target.seeds(),
        *(p.read_bytes() for p in sorted(paths, key=lambda p: p.stat().st_size)),
    ]
    stop = time.monotonic() + BUDGET

    def run() -> None:
        for data in inputs:
            if time.monotonic() > stop:
                break
            with contextlib.suppress(Exception):  # a finding, told elsewhere
                target.check(data)

    seen = reached(run, {file for file, _ in every}) & every
    for file, line in sorted(every - seen):
        print(f"{file}:{line}")
    print(f"{len(seen)}/{len(every)}")
    sweep()


if __name__ == "__main__":
    main()
