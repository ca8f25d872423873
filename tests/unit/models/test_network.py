"""Networks around timm backbones: shapes, appearance, last stride, batch norm."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from bagreid.contracts import BagreidError
from bagreid.models import ModelConfig, ReidNetwork, build_model
from bagreid.models.batch_norm import synchronise_batch_norm
from bagreid.models.stride import keep_resolution
from bagreid.world import World


def network(backbone: str, **options: object) -> ReidNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ModelConfig(backbone=backbone, **options), 7)  # type: ignore[arg-type]
    assert isinstance(model, ReidNetwork)
    return model.eval()


def images(height: int = 64, width: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("backbone", "embedding", "appearance"),
    [
        ("resnet10t", 512, 64),
        ("convnext_atto", 320, 40),
        ("vit_tiny_patch16_224", 192, 192),
        ("mobilenetv3_small_050", 1024, 8),
    ],
)
@torch.no_grad()
def test_any_backbone_gives_embedding_logits_and_appearance(
    backbone: str, embedding: int, appearance: int
) -> None:
    model = network(backbone, neck="bn")
    output = model(images())
    assert output.embedding.shape == (2, embedding)
    assert output.logits.shape == (2, 7)
    assert output.appearance.shape == (2, appearance)
    assert (model.embedding_dim, model.appearance_dim) == (embedding, appearance)
    assert {part.dtype for part in output} == {torch.float32}
    assert torch.equal(model.embed(images()), model.neck(output.embedding))


@torch.no_grad()
def test_the_appearance_of_a_resnet50_is_its_pooled_first_stage() -> None:
    model = network("resnet50")
    body = model.backbone
    x = body.maxpool(body.act1(body.bn1(body.conv1(images()))))
    low = body.layer1(x)
    high = body.layer4(body.layer3(body.layer2(low)))
    output = model(images())
    assert output.appearance.shape == (2, 256)
    torch.testing.assert_close(output.appearance, low.mean(dim=(2, 3)))
    torch.testing.assert_close(output.embedding, high.mean(dim=(2, 3)))
    torch.testing.assert_close(output.logits, model.classifier(output.embedding))


@torch.no_grad()
def test_the_logits_can_be_the_feature() -> None:
    model = network("resnet10t", embedding="logits")
    assert torch.equal(model.embed(images()), model(images()).logits)


def test_the_neck_stands_before_the_classifier_and_shifts_nothing() -> None:
    model = network("resnet10t", neck="bn")
    assert isinstance(model.neck, nn.BatchNorm1d)
    assert not model.neck.bias.requires_grad
    output = model(images())
    torch.testing.assert_close(output.logits, model.classifier(model.neck(output.embedding)))


@torch.no_grad()
def test_last_stride_1_takes_out_the_stride_and_nothing_else() -> None:
    usual, fine = network("resnet50"), network("resnet50", last_stride=1)
    for name, module in fine.backbone.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        other = usual.backbone.get_submodule(name)
        strided = name in ("layer4.0.conv2", "layer4.0.downsample.0")
        assert module.stride == ((1, 1) if strided else other.stride), name
        assert module.dilation == other.dilation == (1, 1), name
        assert other.stride == ((2, 2) if strided else module.stride), name
    for (name, ours), theirs in zip(
        fine.state_dict().items(), usual.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name
    assert usual.backbone.forward_features(images()).shape == (2, 2048, 2, 1)
    assert fine.backbone.forward_features(images()).shape == (2, 2048, 4, 2)


@pytest.mark.parametrize(
    "name", ["resnet10t", "resnet18", "resnet26d", "resnetaa50", "resnetblur18"]
)
@torch.no_grad()
def test_every_form_of_downsampling_keeps_its_resolution(name: str) -> None:
    body = timm.create_model(name, num_classes=0).eval()
    before = body.forward_features(images()).shape
    keep_resolution(body.layer4)
    after = body.forward_features(images()).shape
    assert after[2:] == (2 * before[2], 2 * before[3])


def test_last_stride_is_for_resnets() -> None:
    with pytest.raises(BagreidError, match=r"'convnext_atto' is no ResNet.*last-stride 2"):
        network("convnext_atto", last_stride=1)


@pytest.mark.parametrize(
    ("name", "near"), [("resnet5O", "resnet50"), ("convnext_att", "convnext_atto")]
)
def test_an_unknown_backbone_is_told_with_names_near_it(name: str, near: str) -> None:
    with pytest.raises(BagreidError, match=f"no model named '{name}'.*{near}"):
        network(name)


def test_a_name_like_no_other_is_told_where_to_look() -> None:
    with pytest.raises(BagreidError, match="List them with"):
        network("%%%")


def test_a_size_that_the_backbone_does_not_take_is_told() -> None:
    model = network("swin_tiny_patch4_window7_224")
    with pytest.raises(BagreidError, match=r"does not take images of 64×32.*--augment\.height"):
        model(images())


def test_weights_that_cannot_be_had_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm keeps no weights of this model, so it fails alike with and without a network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BagreidError, match=r"weights of 'resnet10t\.none' cannot be had.*no-pre"):
        network("resnet10t.none", pretrained=True)


def test_one_process_keeps_its_batch_norms() -> None:
    model = network("resnet10t", neck="bn")
    kinds = [type(module) for module in model.modules()]
    assert synchronise_batch_norm(model, World()) is model
    assert [type(module) for module in model.modules()] == kinds
    synchronise_batch_norm(model, World(size=2))
    assert [type(module) for module in model.modules()] != kinds
