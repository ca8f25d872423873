"""Every number of the released recipes, in the configurations as they are resolved.

The numbers are those of the release's code (arXiv 1904.03845), by the names of our options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bagreid.cli.train import load_config
from bagreid.models import ModelConfig, build_model
from bagreid.models.mgn import HEADS, REDUCED_DIM, MultiGranularityNetwork
from bagreid.recipes import DataConfig, as_plain, with_method
from bagreid.training.optimizer import build_optimizer, rate_factor

CONFIGS = Path(__file__).parents[3] / "configs" / "dgl"

MGN: dict[str, Any] = {
    # 384×128, bicubic resize, flip, random erasing p 0.5 (value 0 after normalisation)
    "augment.height": 384,
    "augment.width": 128,
    "augment.test_size": None,
    "augment.resize": None,
    "augment.pad": 0,
    "augment.interpolation": "bicubic",
    "augment.flip": 0.5,
    "augment.erase": 0.5,
    "augment.jitter": [0.0, 0.0, 0.0, 0.0],
    "augment.cast": 0.0,
    # batch 16 identities × 4 images, bags of 2 identities
    "data.bag_people": 2,
    "data.bag_images": 4,
    "plan.kind": "bag_file",
    "plan.groups": 8,
    "plan.images_per_group": 8,
    # MGN from ImageNet weights
    "model.backbone": "mgn",
    "model.pretrained": True,
    # Adam + AMSGrad, lr 2e-4, weight decay 5e-4
    "optimizer.name": "adam",
    "optimizer.amsgrad": True,
    "optimizer.learning_rate": 2e-4,
    "optimizer.classifier_learning_rate": None,
    "optimizer.weight_decay": 5e-4,
    # 300 epochs, ×0.1 at 250 and 290
    "train.epochs": 300,
    "schedule.kind": "step",
    "schedule.milestones": [250, 290],
    "schedule.gamma": 0.1,
    "schedule.warmup": 0.0,
    # 1 · graph + 2 · weak triplet, margin 1.2; graph = unary + 2 · pairwise, σ 1
    "loss.graph_weight": 1.0,
    "loss.pairwise_weight": 2.0,
    "loss.sigma": 1.0,
    "loss.triplet_weight": 2.0,
    "loss.triplet_margin": 1.2,
    "loss.triplet_kin": "candidates",
    "loss.triplet_normalised": False,
    "loss.label_smoothing": 0.0,
    # pseudo label: argmax of Y·P on the drawn bag, from the network itself
    "supervision.source": "bag",
    "supervision.inference": "argmax",
    "supervision.candidates": "drawn_bag",
    "supervision.teacher_decay": 0.0,
    "test.convention": "standard",
}

RESNET50: dict[str, Any] = {
    # resize 224×112, random crop 192×96, flip, colour jitter 0.1/0.1/0.1/0, random erasing
    "augment.resize": [224, 112],
    "augment.height": 192,
    "augment.width": 96,
    "augment.pad": 0,
    "augment.flip": 0.5,
    "augment.jitter": [0.1, 0.1, 0.1, 0.0],
    "augment.erase": 0.5,
    "augment.cast": 0.0,
    # batch 180 = 12 groups of 15, in equal thirds from 1, 3 and 5 neighbouring folders
    "plan.kind": "windows",
    "plan.groups": 12,
    "plan.images_per_group": 15,
    "plan.window_sizes": [1, 3, 5],
    "model.backbone": "resnet50",
    "model.pretrained": True,
    "model.neck": "none",
    "model.last_stride": 2,
    # unary only, balanced assignment
    "loss.graph_weight": 1.0,
    "loss.pairwise_weight": 0.0,
    "loss.triplet_weight": 0.0,
    "loss.label_smoothing": 0.0,
    "supervision.source": "bag",
    "supervision.inference": "balanced",
    "supervision.candidates": "drawn_bag",
    "supervision.teacher_decay": 0.0,
    # SGD Nesterov 0.9, weight decay 5e-4, 1e-4 for the backbone and 1e-3 for the classifier
    "optimizer.name": "sgd",
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 5e-4,
    "optimizer.learning_rate": 1e-4,
    "optimizer.classifier_learning_rate": 1e-3,
    "schedule.kind": "step",
    "schedule.milestones": [],
    "schedule.warmup": 0.0,
    "train.epochs": 8,
    # test at 256×128, bicubic, on the logits, as the released script does
    "augment.test_size": [256, 128],
    "augment.interpolation": "bicubic",
    "model.embedding": "logits",
    "test.convention": "sysu30k",
}

RELEASED = {
    "mgn_market1501": (MGN, "data/market1501"),
    "mgn_dukemtmc": (MGN, "data/dukemtmc"),
    "mgn_msmt17": (MGN, "data/msmt17"),
    "mgn_cuhk03": (MGN, "data/cuhk03"),
    "r50_sysu30k": (RESNET50, "data/SYSU-30k-released"),
}


def flat_options(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flat_options(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_every_released_number_is_in_the_configuration(name: str) -> None:
    numbers, root = RELEASED[name]
    options = flat_options(as_plain(load_config(CONFIGS / f"{name}.py")))
    assert {key: options.get(key, "no such option") for key in numbers} == numbers
    assert options["data.root"] == root
    assert options["plan.groups"] * options["plan.images_per_group"] == (
        64 if numbers is MGN else 180
    )


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_the_ceiling_differs_in_nothing_but_the_source_of_its_targets(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.py")
    ours = flat_options(as_plain(config))
    ceiling = flat_options(as_plain(with_method(config, "truth")))
    differing = {key for key in ours if ours[key] != ceiling[key]}
    assert differing == {"supervision.source"}
    assert ceiling["supervision.source"] == "truth"


def test_the_network_has_the_released_heads() -> None:
    assert (len(HEADS), REDUCED_DIM) == (8, 256)
    with torch.device("meta"):
        network = build_model(ModelConfig(backbone="mgn"), num_classes=751)
    assert isinstance(network, MultiGranularityNetwork)
    assert network.embedding_dim == 2048
    shapes = [tuple(network.get_submodule(head).weight.shape) for head in HEADS]  # type: ignore[union-attr]
    assert shapes == [(751, 256)] * 8


def test_the_rate_drops_by_ten_at_250_and_290() -> None:
    schedule = load_config(CONFIGS / "mgn_market1501.py").schedule
    rates = [2e-4 * rate_factor(epoch * 200, 200, 300, schedule) for epoch in (0, 249, 250, 290)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-5, 2e-6])


def test_the_optimisers_are_the_released_ones() -> None:
    network = torch.nn.Linear(2, 2)
    adam = build_optimizer(network, load_config(CONFIGS / "mgn_market1501.py").optimizer)
    assert type(adam) is torch.optim.Adam
    assert (adam.defaults["amsgrad"], adam.defaults["weight_decay"]) == (True, 5e-4)
    sgd = build_optimizer(network, load_config(CONFIGS / "r50_sysu30k.py").optimizer)
    assert type(sgd) is torch.optim.SGD
    assert (sgd.defaults["nesterov"], sgd.defaults["momentum"]) == (True, 0.9)


@pytest.mark.parametrize("wrong", [{"bag_people": 0}, {"bag_images": 0}, {"bag_seed": -1}])
def test_absurd_bags_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs at least"):
        DataConfig(**wrong)
