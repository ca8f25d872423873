"""A step without a finite gradient changes nothing; one with a finite gradient is PyTorch's own."""

from __future__ import annotations

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from bagreid.training.config import OptimizerConfig
from bagreid.training.guards import FIRST_SCALE, GROW_AFTER, StepGuard
from bagreid.training.optimizer import build_optimizer

NAMES: tuple[Literal["sgd", "adam", "adamw"], ...] = ("sgd", "adam", "adamw")


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def batch(bad: bool = False) -> Tensor:
    images = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    if bad:
        images[2, 1] = torch.nan
    return images


def everything(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    moments = [
        value for state in optimizer.state.values() for value in state.values()
        if isinstance(value, Tensor)
    ]  # fmt: skip
    kept = [tensor for name, tensor in network.state_dict().items() if "tracked" not in name]
    return [tensor.clone() for tensor in (*kept, *moments)]


def one_step(
    network: nn.Module, guard: StepGuard, optimizer: torch.optim.Optimizer, images: Tensor
) -> tuple[float, float, float]:
    guard.begin()
    optimizer.zero_grad()
    loss = network(images).square().mean()
    guard.scaled(loss).backward()
    skipped, counted, norm = guard.update(optimizer, loss.detach())
    return float(skipped), float(counted), float(norm)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("earlier", [0, 2])
def test_a_step_that_is_not_finite_changes_nothing(
    name: Literal["sgd", "adam", "adamw"], half: bool, earlier: int
) -> None:
    network = small_network()
    guard = StepGuard(network, half=half)
    optimizer = build_optimizer(network, OptimizerConfig(name=name, learning_rate=0.1))
    for _ in range(earlier):
        assert one_step(network, guard, optimizer, batch())[:2] == (0.0, 0.0)
    before = everything(network, optimizer)
    skipped, counted, norm = one_step(network, guard, optimizer, batch(bad=True))
    assert (skipped, counted) == (1.0, 1.0)
    assert norm != norm
    after = everything(network, optimizer)
    for one, two in zip(before, after[: len(before)], strict=True):
        assert torch.equal(one, two)
    assert all(not moment.any() for moment in after[len(before) :])  # first made by this step
    assert one_step(network, guard, optimizer, batch())[:2] == (0.0, 0.0)
    assert all(tensor.isfinite().all() for tensor in everything(network, optimizer))


@pytest.mark.parametrize("name", NAMES)
def test_a_finite_step_is_the_optimisers_own(name: Literal["sgd", "adam", "adamw"]) -> None:
    network = small_network()
    twin = copy.deepcopy(network)
    config = OptimizerConfig(name=name, learning_rate=0.1)
    guard = StepGuard(network, half=False)
    optimizer, plain = build_optimizer(network, config), build_optimizer(twin, config)
    for _ in range(3):
        norm = one_step(network, guard, optimizer, batch())[2]
        plain.zero_grad()
        twin(batch()).square().mean().backward()
        plain.step()
        slow = sum(float(p.grad.square().sum()) for p in twin.parameters() if p.grad is not None)
        assert norm == pytest.approx(slow**0.5, rel=1e-5)
    for one, two in zip(everything(network, optimizer), everything(twin, plain), strict=True):
        assert torch.equal(one, two)


def test_the_scale_moves_as_pytorchs_scaler_moves_it() -> None:
    network = small_network()
    guard = StepGuard(network, half=True)
    optimizer = build_optimizer(network, OptimizerConfig(learning_rate=1e-6))
    scaler = torch.amp.GradScaler("cpu", init_scale=FIRST_SCALE, growth_interval=GROW_AFTER)
    twin = copy.deepcopy(network)
    plain = build_optimizer(twin, OptimizerConfig(learning_rate=1e-6))
    guard.since_overflow.fill_(GROW_AFTER - 3)
    scaler.scale(torch.zeros(()))
    scaler._growth_tracker.fill_(GROW_AFTER - 3)  # type: ignore[union-attr]
    for bad in (False, False, False, True, True, False):
        images = batch(bad)
        one_step(network, guard, optimizer, images)
        plain.zero_grad()
        scaler.scale(twin(images).square().mean()).backward()  # type: ignore[no-untyped-call]
        scaler.step(plain)
        scaler.update()
        assert float(guard.scale) == scaler.get_scale()
    for one, two in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_an_overflow_counts_only_when_the_scale_cannot_fall() -> None:
    network = small_network()
    guard = StepGuard(network, half=True)
    optimizer = build_optimizer(network, OptimizerConfig())
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, torch.inf)
    finite, nan = torch.tensor(1.0), torch.tensor(torch.nan)
    for expected in [0.0] * 16 + [1.0] * 3:
        guard.begin()
        assert guard.update(optimizer, finite).counted == expected
    assert guard.scale == 1.0
    guard.scale.fill_(64)
    assert guard.update(optimizer, nan).counted == 1.0


def test_statistics_can_be_put_back_before_the_update() -> None:
    network = small_network()
    guard = StepGuard(network, half=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    guard.begin()
    network(batch())
    assert not torch.equal(network[1].running_mean, before["1.running_mean"])  # type: ignore[index, arg-type]
    guard.roll_back()
    for name, value in network.state_dict().items():
        assert "tracked" in name or torch.equal(value, before[name])


def test_a_step_that_is_done_is_not_taken_back() -> None:
    network = small_network()
    guard = StepGuard(network, half=False)
    optimizer = build_optimizer(network, OptimizerConfig())
    one_step(network, guard, optimizer, batch())
    done = {name: value.clone() for name, value in network.state_dict().items()}
    guard.roll_back()
    for name, value in network.state_dict().items():
        assert torch.equal(value, done[name]), name


def test_joined_statistics_load_and_copy_like_any_others() -> None:
    network = small_network()
    StepGuard(network, half=False)
    network(batch())
    other = small_network()
    other.load_state_dict(network.state_dict())
    StepGuard(other, half=False)
    other.load_state_dict(network.state_dict())
    twin = copy.deepcopy(network)
    for each in (other, twin):
        for one, two in zip(network.buffers(), each.buffers(), strict=True):
            assert torch.equal(one, two)
    twin(batch())
    assert not torch.equal(network[1].running_mean, twin[1].running_mean)  # type: ignore[index, arg-type]


def test_a_network_without_batch_norm_is_guarded_too() -> None:
    network = nn.Linear(3, 2)
    guard = StepGuard(network, half=False)
    optimizer = build_optimizer(network, OptimizerConfig())
    guard.begin()
    loss = network(torch.full((1, 3), torch.inf)).sum()
    loss.backward()
    before = network.weight.clone()
    assert guard.update(optimizer, loss.detach()).skipped == 1.0
    assert torch.equal(before, network.weight)
