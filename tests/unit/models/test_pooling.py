"""The mean over places against PyTorch's own, forward and backward."""

from __future__ import annotations

import pytest
import torch

from bagreid.models.pooling import mean_over_places


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(1, 3, 2, 5), (7, 64, 90, 60), (3, 2, 1, 1)])
def test_it_is_the_mean_of_a_full_precision_copy(
    dtype: torch.dtype, layout: torch.memory_format, shape: tuple[int, ...]
) -> None:
    draw = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps = draw.to(dtype).contiguous(memory_format=layout)
    one, two = (maps.clone(memory_format=torch.preserve_format).requires_grad_() for _ in "12")
    ours = mean_over_places(one)
    copy = two if dtype.itemsize >= 4 else two.float()
    theirs = copy.mean(dim=(2, 3))
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
    (ours.square().sum() + one.double().sum()).backward()
    (theirs.square().sum() + two.double().sum()).backward()
    torch.testing.assert_close(one.grad, two.grad)


def test_its_gradient_is_that_of_finite_differences() -> None:
    maps = torch.randn(2, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mean_over_places, maps)
