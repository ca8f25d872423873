"""How much memory a piece of work takes at most, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import sys
from pathlib import Path
path = Path(sys.argv[1])
{prepare}
def kilobytes(name):
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(name))
Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is taken now
before = kilobytes("VmRSS")
print(work(), (kilobytes("VmHWM") - before) * 1024)
"""


def said_and_peak(prepare: str, path: Path) -> tuple[str, int]:
    """Runs the function `work` that `prepare` defines, which may use `path`.

    Args:
        prepare: A program that imports all that is needed and defines `work()`.
        path: A file for it.

    Returns:
        What it returned, as text; and by how many bytes the process grew meanwhile at most.
    """
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not say how much memory a process took at most")
    command = [sys.executable, "-c", _PROGRAM.format(prepare=prepare), str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return " ".join(said[:-1]), int(said[-1])
