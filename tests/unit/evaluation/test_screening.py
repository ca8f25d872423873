"""The bounds of low precision against exact arithmetic, on inputs made to break them."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.evaluation.screening import (
    Bfloat16Screen,
    float32_error,
    float_limits,
    key_limits,
    ordered,
    rounded,
)

from .literal import inner

Rows = npt.NDArray[np.float64]


def cancelling(query: Rows, _rng: np.random.Generator) -> Rows:
    """Sums of large products that leave almost nothing."""
    sign = np.where(np.arange(query.shape[1]) * 2 < query.shape[1], 1.0, -1.0)
    return query[:, ::-1] * sign


def aligned(query: Rows, _rng: np.random.Generator) -> Rows:
    """Values just below the middle of two bfloat16 numbers: all roundings go one way."""
    query[:] = 1 + 2.0**-8 - 2.0**-20
    return query.copy()


def opposed(query: Rows, _rng: np.random.Generator) -> Rows:
    """One side's roundings go up, the other's down."""
    query[:] = 1 + 2.0**-8 - 2.0**-20
    return np.full_like(query, 1 + 3 * 2.0**-8 + 2.0**-20)


KINDS: dict[str, Callable[[Rows, np.random.Generator], Rows]] = {
    "normal": lambda query, rng: rng.normal(size=query.shape),
    "equal": lambda query, _rng: query.copy(),
    "near duplicates": lambda query, rng: query * (1 + 1e-7 * rng.normal(size=query.shape)),
    "cancelling": cancelling,
    "aligned": aligned,
    "opposed": opposed,
    "wide": lambda query, rng: 10.0 ** rng.uniform(-30, 12, query.shape),
    "tiny": lambda query, rng: 1e-39 * rng.normal(size=query.shape),
    "huge": lambda query, rng: 1e16 * rng.normal(size=query.shape),
    "zero": lambda query, _rng: 0 * query,
    "one large": lambda query, _rng: np.eye(*query.shape) * 1e15 + 1e-3,
}


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dim=st.sampled_from([1, 3, 64, 300]),
    scale=st.sampled_from([1e-38, 1e-20, 1.0, 1e10]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    kind=st.sampled_from(sorted(KINDS)),
)
def test_limits_hold_for_the_exact_score(
    seed: int, dim: int, scale: float, dtype: Any, kind: str
) -> None:
    rng = np.random.Generator(np.random.Philox(key=seed))
    query = rng.normal(size=(4, dim))
    gallery = KINDS[kind](query, rng)
    most = 6e4 if dtype == np.float16 else 1e16
    query, gallery = ((values * scale).clip(-most, most) for values in (query, gallery))
    query, gallery = query.astype(dtype), gallery.astype(dtype)
    q, g = (torch.from_numpy(values.astype(np.float32)) for values in (query, gallery))
    exact = [[inner(left, right) for right in gallery] for left in query]
    centre = torch.tensor([float(row[0]) for row in exact], dtype=torch.float64)
    screen = Bfloat16Screen(q, centre, 6)
    norms = screen.round_block(g).largest()
    keys, error = screen.scores(4), screen.error(norms)
    assert keys.shape == (4, 4)
    assert_limits_hold(exact, keys, lambda value: key_limits(value - screen.centre_Q, error))
    whole = torch.linalg.vector_norm(q, dim=1)
    fine = float32_error(whole, torch.linalg.vector_norm(g, dim=1).amax(), dim)
    assert_limits_hold(exact, q @ g.T, lambda value: float_limits(value, fine))


def assert_limits_hold(
    exact: list[list[Fraction]], found: torch.Tensor, limits: Callable[[torch.Tensor], Any]
) -> None:
    """Against a value just above the score nothing counts as reaching it, just below as missing."""
    for column in range(len(exact)):
        score = np.array([float(row[column]) for row in exact])
        above = torch.from_numpy(np.nextafter(score, np.inf))
        below = torch.from_numpy(np.nextafter(score, -np.inf))
        assert (found[:, column] < limits(above)[1]).all()
        assert (found[:, column] >= limits(below)[0]).all()


def test_the_bound_is_nearly_met_where_all_roundings_agree() -> None:
    query = np.ones((3, 256))
    gallery = aligned(query, np.random.Generator(np.random.Philox(key=1)))
    q, g = (torch.from_numpy(values.astype(np.float32)) for values in (query, gallery))
    screen = Bfloat16Screen(q, torch.zeros(3, dtype=torch.float64), 3)
    error = screen.error(screen.round_block(g).largest())
    off = abs(float(inner(q[0].numpy(), g[0].numpy())) - 256.0)
    assert 0.95 * float(error[0]) < off <= float(error[0])


def test_what_rounding_takes_away_is_measured() -> None:
    rows = torch.randn(700, 96, generator=torch.Generator().manual_seed(3))
    out = torch.zeros(700, 128, dtype=torch.bfloat16)
    norms = rounded(rows, out)
    exact = (rows.double() - rows.bfloat16().double()).norm(dim=1)
    torch.testing.assert_close(norms.lost.double(), exact, rtol=1e-5, atol=0)
    torch.testing.assert_close(norms.whole.double(), rows.double().norm(dim=1), rtol=1e-5, atol=0)
    assert torch.equal(out[:, :96], rows.bfloat16())
    assert not out[:, 96:].any()


@given(
    values=st.lists(
        st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0, 1e-40, -1e-40]),
        min_size=2,
        max_size=9,
    )
)
def test_keys_compare_as_their_numbers_do(values: list[float]) -> None:
    numbers = torch.tensor(values).bfloat16()
    keys = ordered(numbers.clone())
    less = numbers[:, None] < numbers
    assert torch.equal(less | (numbers[:, None] == numbers), (keys[:, None] <= keys) | (
        numbers[:, None] == numbers
    ))  # fmt: skip
    assert (keys[:, None] < keys)[less].all()


@pytest.mark.parametrize("shape", [(3, 5, 7), (130, 300, 160), (1000, 512, 2048)])
def test_sums_are_kept_in_float32_here(shape: tuple[int, int, int]) -> None:
    """Where they were not, float32 would take over: slower, and no less exact."""
    queries, size, dim = shape
    screen = Bfloat16Screen(torch.ones(queries, dim), torch.zeros(queries).double(), size)
    if not screen.is_sound():
        pytest.skip("this processor's bfloat16 products are not summed in float32")
    again = Bfloat16Screen(torch.ones(queries, dim), torch.zeros(queries).double(), size)
    assert again.is_sound()
