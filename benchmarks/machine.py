"""What a benchmark ran on, and where its result goes: ``benchmarks/results/NAME.json``."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

import bagreid

RESULTS = Path(__file__).parent / "results"
TELLING_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
)
"""Processor features that decide how fast a matrix product is."""


def _cpu_field(names: tuple[str, ...]) -> str:
    """The first line of /proc/cpuinfo with one of the names, or nothing where there is none."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        key, _, value = line.partition(":")
        if key.strip() in names:
            return value.strip()
    return ""


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def describe_machine() -> dict[str, Any]:
    """The machine in the terms that matter for our timings."""
    flags = _cpu_field(("flags", "Features")).split()
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else range(0)
    return {
        "cpu": _cpu_field(("model name",)) or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": _memory_gib(),
        "flags": [flag for flag in TELLING_FLAGS if flag in flags],
        "gpus": [torch.cuda.get_device_name(number) for number in gpus],
        "torch_threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "versions": {
            "bagreid": bagreid.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
    }


def write_result(name: str, result: dict[str, Any]) -> Path:
    """Writes one benchmark's result beside the machine it was measured on.

    Args:
        name: The benchmark's name, which names the file.
        result: Plain values: what was measured, how often, the limits it is held to.

    Returns:
        The file.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        **result,
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(
        orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY) + b"\n"
    )
    partial.replace(path)
    return path
