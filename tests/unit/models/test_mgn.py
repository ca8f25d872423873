"""MGN: the released names, the released arithmetic, and checkpoints in and out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.models import (
    ModelConfig,
    MultiGranularityNetwork,
    build_model,
    load_for_inference,
)
from bagreid.models.mgn import HEADS
from bagreid.models.weights import load_weights

from .fabricate import fill, mgn, resnet50

CLASSES = 5
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def released() -> dict[str, Tensor]:
    return fill(mgn(CLASSES))


@pytest.fixture(scope="module")
def network(released: dict[str, Tensor]) -> MultiGranularityNetwork:
    network = build_model(ModelConfig(backbone="mgn"), CLASSES)
    assert isinstance(network, MultiGranularityNetwork)
    network.load_state_dict(released)
    return network.eval()


def pictures(count: int, height: int, width: int) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(3))


class Twin:
    """The released arithmetic, written on the state dict alone, for images of 384×128."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def __call__(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        x = self.norm(self.conv(images, "backone1.0", 2, 3), "backone1.1").relu()
        x = F.max_pool2d(x, 3, 2, 1)
        low = self.blocks(x, [f"backone1.4.{i}" for i in range(3)], 1)
        x = self.blocks(low, [f"backone2.0.{i}" for i in range(4)], 2)
        x = self.blocks(x, ["backone2.1"], 2)
        maps = []
        for branch, stride in (("p1", 2), ("p2", 1), ("p3", 1)):
            y = self.blocks(x, [f"{branch}.0.{i}" for i in range(5)], 1)
            maps.append(self.blocks(y, [f"{branch}.1.{i}" for i in range(3)], stride))
        one, two, three = maps
        assert one.shape[2:] == (12, 4)
        assert two.shape[2:] == three.shape[2:] == (24, 8)
        whole = [
            F.avg_pool2d(one, (12, 4)),
            F.avg_pool2d(two, (24, 8)),
            F.avg_pool2d(three, (24, 8)),
        ]
        halves, thirds = F.avg_pool2d(two, (12, 8)), F.avg_pool2d(three, (8, 8))
        pooled = [*whole, *halves.split(1, 2), *thirds.split(1, 2)]
        features = [self.reduce(vector, index) for index, vector in enumerate(pooled)]
        logits = [
            feature @ self.tensors[f"{head}.weight"].T + self.tensors[f"{head}.bias"]
            for head, feature in zip(HEADS, features, strict=True)
        ]
        return features, logits, F.avg_pool2d(low, (96, 32)).flatten(1)

    def conv(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, self.tensors[f"{name}.weight"], None, stride, padding)

    def norm(self, x: Tensor, name: str) -> Tensor:
        t = self.tensors
        mean, var = t[f"{name}.running_mean"], t[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, t[f"{name}.weight"], t[f"{name}.bias"])

    def blocks(self, x: Tensor, names: list[str], stride: int) -> Tensor:
        for index, name in enumerate(names):
            step = 1 if index else stride
            y = self.norm(self.conv(x, f"{name}.conv1"), f"{name}.bn1").relu()
            y = self.norm(self.conv(y, f"{name}.conv2", step, 1), f"{name}.bn2").relu()
            y = self.norm(self.conv(y, f"{name}.conv3"), f"{name}.bn3")
            if f"{name}.downsample.0.weight" in self.tensors:
                x = self.norm(self.conv(x, f"{name}.downsample.0", step), f"{name}.downsample.1")
            x = (x + y).relu()
        return x

    def reduce(self, x: Tensor, index: int) -> Tensor:
        x = self.conv(x, f"reduction_{index}.0")
        return self.norm(x, f"reduction_{index}.1").relu().flatten(1)


def test_its_names_and_shapes_are_the_released_ones(network: MultiGranularityNetwork) -> None:
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert own == dict(mgn(CLASSES))


@torch.inference_mode()
def test_it_computes_what_the_release_computes(
    network: MultiGranularityNetwork, released: dict[str, Tensor]
) -> None:
    images = pictures(1, 384, 128)
    output = network(images)
    features, logits, appearance = Twin(released)(images)
    assert all(feature.std() > 0 for feature in features)
    torch.testing.assert_close(output.embedding, torch.cat(features, dim=1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(output.appearance, appearance, rtol=1e-3, atol=1e-3)
    for theirs, expected in zip(output.head_logits, logits, strict=True):
        torch.testing.assert_close(theirs, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(output.logits, torch.stack(logits).mean(0), rtol=1e-3, atol=1e-3)
    for theirs, expected in zip(output.global_features, features[:3], strict=True):
        torch.testing.assert_close(theirs, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(48, 16), (256, 128)])
@torch.inference_mode()
def test_embeds_images_of_any_size(
    network: MultiGranularityNetwork, height: int, width: int
) -> None:
    images = pictures(2, height, width)
    features = network.embed(images)
    assert features.shape == (2, network.embedding_dim) == (2, 2048)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    assert torch.equal(features, network(images).embedding)


def test_refuses_images_too_low_for_three_strips(network: MultiGranularityNetwork) -> None:
    with pytest.raises(ValueError, match="3 strips"):
        network.embed(pictures(1, 32, 32))


def test_gradients_reach_every_parameter(
    network: MultiGranularityNetwork, released: dict[str, Tensor]
) -> None:
    network.train()
    try:
        output = network(pictures(2, 96, 32))
        loss = torch.stack(output.head_logits).square().mean() + output.appearance.mean()
        loss.backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
    finally:
        network.zero_grad()
        network.eval().load_state_dict(released)


def as_released(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from tensors.items()


def from_data_parallel(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in tensors.items():
        yield f"module.{name}", value


def with_the_trunk_in_one_piece(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    pieces = {"backone1.": "backone.", "backone2.0.": "backone.5.", "backone2.1.": "backone.6."}
    for name, value in tensors.items():
        old = next((piece for piece in pieces if name.startswith(piece)), "")
        yield pieces.get(old, "") + name.removeprefix(old), value


@pytest.mark.parametrize("form", [as_released, from_data_parallel, with_the_trunk_in_one_piece])
def test_a_released_checkpoint_is_recognised_and_fills_it(
    tmp_path: Path, released: dict[str, Tensor], form
) -> None:
    path = tmp_path / "model_best.pt"
    torch.save(dict(form(released)), path)
    model, meta = load_for_inference(path, CPU)
    assert isinstance(model, MultiGranularityNetwork)
    assert not model.training
    assert (meta.config.backbone, meta.num_classes) == ("mgn", CLASSES)
    assert (meta.height, meta.width, meta.interpolation) == (384, 128, "bicubic")
    assert meta.report.complete
    assert not meta.report.unused
    own = model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in released.items())


def test_a_checkpoint_of_ours_gives_its_teacher(
    tmp_path: Path, released: dict[str, Tensor]
) -> None:
    teacher = fill(mgn(CLASSES), seed=1)
    config = {"model": {"backbone": "mgn"}, "augment": {"height": 96, "width": 32}}
    path = tmp_path / "step-000000001.pt"
    torch.save({"config": config, "model": released, "teacher": teacher}, path)
    model, meta = load_for_inference(path, CPU)
    assert (meta.height, meta.width) == (96, 32)
    assert torch.equal(model.state_dict()["p3.1.2.conv3.weight"], teacher["p3.1.2.conv3.weight"])


def test_other_class_counts_leave_only_the_classifiers_out(
    tmp_path: Path, network: MultiGranularityNetwork
) -> None:
    path = tmp_path / "other.pth"
    other = fill(mgn(9), seed=2)
    torch.save(other, path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        report = load_weights(network, path)
        heads = {f"{head}.{part}" for head in HEADS for part in ("weight", "bias")}
        assert {name for name, _, _ in report.mismatched} == heads
        assert ("fc_id_256_2_1.weight", (9, 256), (CLASSES, 256)) in report.mismatched
        assert "fc_id_256_2_1.weight is 9 x 256 in the file, 5 x 256 here" in str(report)
        assert not report.missing
        assert not report.unused
        assert set(report.loaded) == other.keys() - heads
        own = network.state_dict()
        for name, value in other.items():
            assert torch.equal(own[name], before[name] if name in heads else value), name
    finally:
        network.load_state_dict(before)


def test_a_plain_resnet_fills_the_trunk_and_all_three_branches(
    tmp_path: Path, network: MultiGranularityNetwork
) -> None:
    path = tmp_path / "resnet50.pth"
    plain = fill(resnet50(), seed=4)
    torch.save({"state_dict": plain}, path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        report = load_weights(network, path)
        own = {name: value.clone() for name, value in network.state_dict().items()}
    finally:
        network.load_state_dict(before)
    places = {
        "conv1.weight": ["backone1.0.weight"],
        "bn1.running_var": ["backone1.1.running_var"],
        "layer1.2.conv3.weight": ["backone1.4.2.conv3.weight"],
        "layer2.3.bn1.bias": ["backone2.0.3.bn1.bias"],
        "layer3.0.downsample.1.weight": ["backone2.1.downsample.1.weight"],
        "layer3.5.conv2.weight": [f"p{branch}.0.4.conv2.weight" for branch in (1, 2, 3)],
        "layer4.0.downsample.0.weight": [f"p{i}.1.0.downsample.0.weight" for i in (1, 2, 3)],
    }
    for name, copies in places.items():
        assert all(torch.equal(own[copy], plain[name]) for copy in copies), name
    new = ("reduction_", "fc_id_")
    assert set(report.missing) == {name for name in own if name.startswith(new)}
    assert set(report.loaded) == own.keys() - set(report.missing)
    assert report.unused == ("fc.weight", "fc.bias")
    assert not report.mismatched


def test_a_checkpoint_without_some_reductions_is_refused(
    tmp_path: Path, released: dict[str, Tensor]
) -> None:
    path = tmp_path / "shared.pth"
    torch.save({name: t for name, t in released.items() if "reduction_7" not in name}, path)
    with pytest.raises(BagreidError, match=r"reduction_7\.0\.weight.*does not fill.*mgn"):
        load_for_inference(path, CPU)


def test_logits_are_no_feature_of_it(tmp_path: Path, released: dict[str, Tensor]) -> None:
    path = tmp_path / "model.pth"
    torch.save(released, path)
    with pytest.raises(BagreidError, match="eight classifiers"):
        load_for_inference(path, CPU, feature="logits")


@pytest.mark.parametrize("option", [{"neck": "bn"}, {"last_stride": 1}, {"embedding": "logits"}])
def test_options_it_settles_itself_are_refused(option: dict) -> None:
    with pytest.raises(ValueError, match="mgn settles"):
        ModelConfig(backbone="mgn", **option)
