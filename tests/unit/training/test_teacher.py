"""The teacher against a literal moving average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bagreid.training.teacher import Teacher


def student() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def numbers(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.98])
def test_it_is_the_moving_average_with_a_warm_up(decay: float) -> None:
    model, generator = student(), torch.Generator().manual_seed(1)
    teacher = Teacher(model, decay)
    average = numbers(model)
    for step in range(40):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn(parameter.shape, generator=generator).double()
        model(torch.randn(8, 3, generator=generator).double())  # moves the running statistics
        teacher.follow(model, step)
        keep = min(decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                average[name] = keep * average[name] + (1 - keep) * value
    own = numbers(teacher.network)
    assert "1.running_mean" in own
    for name, value in average.items():
        torch.testing.assert_close(own[name], value, rtol=1e-12, atol=1e-12, msg=name)
    if decay == 0:
        torch.testing.assert_close(own["1.running_var"], model.state_dict()["1.running_var"])


def test_it_is_never_trained_and_stays_in_evaluation_mode() -> None:
    model = student().train()
    teacher = Teacher(model, 0.9)
    teacher.train()
    assert not any(module.training for module in teacher.network.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(module.training for module in model.modules())
    before = numbers(teacher.network)
    teacher.network(torch.ones(8, 3).double())
    assert all(torch.equal(before[name], value) for name, value in numbers(teacher.network).items())


def test_it_shares_no_memory_with_the_network() -> None:
    model = student()
    teacher = Teacher(model, 0.9)
    before = numbers(teacher.network)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in numbers(teacher.network).items())
