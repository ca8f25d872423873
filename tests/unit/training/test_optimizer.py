"""The learning rate's path against a slow twin, and who is in which group."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import nn

from bagreid.models import ModelConfig, build_model
from bagreid.training.config import OptimizerConfig, ScheduleConfig
from bagreid.training.optimizer import build_optimizer, rate_factor, restore_optimizer, set_rate


def literal_path(
    kind: str, steps: int, epochs: int, warmup: float, milestones: tuple[int, ...], gamma: float
) -> list[float]:
    """Every step's share of the peak, walked from the first step to the last."""
    total = steps * epochs
    rising = round(total * warmup)
    path = [number / rising for number in range(1, rising + 1)]
    rate = 1.0
    for epoch in range(epochs):
        rate = rate * gamma ** milestones.count(epoch)
        for step in range(steps):
            done = epoch * steps + step
            if done < rising:
                continue
            if kind == "step":
                path.append(rate)
            else:
                path.append(math.cos(math.pi / 2 * (done - rising) / (total - rising)) ** 2)
    return path


@pytest.mark.parametrize("kind", ["cosine", "step"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.37])
@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (7, 5), (10, 3)])
@pytest.mark.parametrize("milestones", [(), (2,), (1, 2)])
def test_the_rate_of_every_step_equals_the_slow_twin(
    kind: str, warmup: float, steps: int, epochs: int, milestones: tuple[int, ...]
) -> None:
    config = ScheduleConfig(kind=kind, warmup=warmup, milestones=milestones, gamma=0.2)  # type: ignore[arg-type]
    ours = [rate_factor(step, steps, epochs, config) for step in range(steps * epochs)]
    assert ours == pytest.approx(literal_path(kind, steps, epochs, warmup, milestones, 0.2))
    assert min(ours) > 0
    assert max(ours) <= 1


@pytest.mark.parametrize("backbone", ["resnet10t", "mgn"])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_backbone_and_head_have_their_own_rates(backbone: str, name: str) -> None:
    neck = {"neck": "bn"} if backbone == "resnet10t" else {}
    model = build_model(ModelConfig(backbone=backbone, **neck), 5)  # type: ignore[arg-type]
    config = OptimizerConfig(
        name=name, learning_rate=1e-3, classifier_learning_rate=4e-3, weight_decay=0.25
    )  # type: ignore[arg-type]
    body, head = build_optimizer(model, config).param_groups
    inside = {id(parameter) for parameter in head["params"]}
    named = {key for key, parameter in model.named_parameters() if id(parameter) in inside}
    if backbone == "resnet10t":
        assert named == {"neck.weight", "classifier.weight", "classifier.bias"}
    else:
        assert {key.split(".")[0].rstrip("_0123456789") for key in named} == {"reduction", "fc_id"}
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(body["params"]) + len(head["params"]) == len(learned)
    assert (body["lr"], head["lr"]) == (1e-3, 4e-3)
    assert body["weight_decay"] == head["weight_decay"] == 0.25


def test_a_rate_is_set_as_a_share_of_each_peak() -> None:
    model = build_model(ModelConfig(backbone="resnet10t"), 5)
    optimizer = build_optimizer(
        model, OptimizerConfig(learning_rate=0.1, classifier_learning_rate=0.4)
    )
    assert set_rate(optimizer, 0.5) == 0.05
    assert set_rate(optimizer, 0.25) == 0.025
    assert [group["lr"] for group in optimizer.param_groups] == [0.025, 0.1]


def test_the_head_shares_the_rate_unless_told() -> None:
    model = build_model(ModelConfig(backbone="resnet10t"), 5)
    groups = build_optimizer(model, OptimizerConfig(learning_rate=0.1)).param_groups
    assert [group["lr"] for group in groups] == [0.1, 0.1]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.backbone.weight)


@pytest.mark.parametrize(
    ("config", "weight"),
    [
        # gradient 1 + decay 0.5·1; Nesterov: g + m·g
        (OptimizerConfig(learning_rate=0.1, momentum=0.9, weight_decay=0.5), 1 - 0.1 * 1.5 * 1.9),
        (OptimizerConfig(learning_rate=0.1, momentum=0.0, weight_decay=0.0), 0.9),
        (OptimizerConfig(name="adam", learning_rate=0.1, weight_decay=0.0), 0.9),
        (OptimizerConfig(name="adamw", learning_rate=0.1, weight_decay=0.5), 1 * 0.95 - 0.1),
    ],
)
def test_a_first_step_goes_where_the_formula_says(config: OptimizerConfig, weight: float) -> None:
    model = Line()
    optimizer = build_optimizer(model, config)
    model.backbone(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    assert model.backbone.weight.item() == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_moments_saved_in_another_memory_format_go_on_alike(
    name: Literal["sgd", "adam", "adamw"],
) -> None:
    def run(format_after: torch.memory_format) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Conv2d(3, 4, 3, bias=False)
        config = OptimizerConfig(name=name, learning_rate=0.1)
        optimizer = build_optimizer(model, config)
        for step in range(3):
            if step == 1:
                state = optimizer.state_dict()
                for kept in state["state"].values():
                    kept.update({
                        key: value.to(memory_format=format_after)
                        for key, value in kept.items() if value.ndim == 4
                    })  # fmt: skip
                optimizer = build_optimizer(model, config)
                restore_optimizer(optimizer, state)
            optimizer.zero_grad()
            model(torch.randn(2, 3, 5, 5)).square().mean().backward()
            optimizer.step()
        return model.weight.detach()

    assert torch.equal(run(torch.contiguous_format), run(torch.channels_last))


@pytest.mark.parametrize("wrong", [{"learning_rate": 0.0}, {"classifier_learning_rate": -1.0}])
def test_rates_must_be_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        OptimizerConfig(**wrong)  # type: ignore[arg-type]
