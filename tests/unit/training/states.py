"""States of runs for the tests of checkpoints, and how two are compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor


def small_state(seed: int = 0) -> dict[str, Any]:
    """Everything that a state may hold, each in its awkward form."""
    draw = torch.Generator().manual_seed(seed)
    flat = torch.randn(60, generator=draw)
    kernel = torch.randn(4, 3, 2, 2, generator=draw).to(memory_format=torch.channels_last)
    half = flat[:7].to(torch.bfloat16)
    return {
        "model": {
            "kernel": kernel,
            "first": flat[:20].view(4, 5),
            "second": flat[20:50].view(5, 6).t(),
            "tied": flat[:20].view(4, 5),
            "every_third": flat[1::3],
            "spread": flat[3].expand(2, 2),
            "parameter": torch.nn.Parameter(torch.ones(3)),
            "half": half,
            "mask": flat > 0,
            "count": torch.tensor(5 + seed),
            "nothing": torch.empty(0, 3),
            "one": torch.tensor([math.nan]),
        },
        "optimizer": {
            "state": {0: {"step": 3.0, "momentum": torch.zeros(3)}, 1: {}},
            "ids": [0, 1],
        },
        "record": {
            "label": np.arange(9, dtype=np.int32)[::-1],
            "confidence": np.linspace(0, 1, 6, dtype=np.float16).reshape(2, 3),
            "swapped": np.arange(3, dtype=">u2"),
            "flag": np.array(True),
            "none": np.zeros((0, 2)),
        },
        "random": (torch.arange(16, dtype=torch.uint8), [1, (2, "drei")]),
        "plain": [
            None,
            True,
            1,
            -0.0,
            math.inf,
            math.nan,
            "ä",
            b"\x00\xff",
            2**70,
            np.float32(0.1),
        ],
    }


def same(one: Any, two: Any, at: str = "") -> None:
    """Both say the same, in the same types."""
    if isinstance(one, np.generic):
        one = one.item()
    if isinstance(one, Tensor):
        assert isinstance(two, Tensor), at
        assert (one.dtype, one.shape, one.stride()) == (two.dtype, two.shape, two.stride()), at
        assert raw(one) == raw(two), at
    elif isinstance(one, np.ndarray):
        assert isinstance(two, np.ndarray), at
        assert one.dtype.newbyteorder("=") == two.dtype, at
        np.testing.assert_array_equal(one, two)
    elif isinstance(one, dict):
        assert type(two) is dict, at
        assert one.keys() == two.keys(), at
        for key in one:
            same(one[key], two[key], f"{at}/{key}")
    elif isinstance(one, list | tuple):
        assert type(two) is type(one), at
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            same(left, right, f"{at}/{index}")
    else:
        assert type(one) is type(two), at
        assert repr(one) == repr(two), at


def raw(tensor: Tensor) -> bytes:
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
