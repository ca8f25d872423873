"""A timm backbone that gives an embedding, class logits and low-level appearance features.

Shape letters: N images, C identities, D embedding, A appearance, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import timm
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from bagreid.contracts import BagreidError
from bagreid.models.backbone import create_backbone
from bagreid.models.mgn import MultiGranularityNetwork
from bagreid.models.pooling import mean_over_places
from bagreid.models.projection import logit_factor
from bagreid.models.stride import keep_resolution

_ANY_SIZE_ON_DEMAND = ("timm.models.vision_transformer", "timm.models.deit", "timm.models.eva")
"""timm's files whose models take images of any size if asked to."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network is trained."""

    backbone: str = "resnet50"
    """Any timm model with feature extraction, by its timm name; or ``mgn``, the three-branch
    ResNet-50 of the release, which has its own necks, strides and 2,048-d embedding."""
    neck: Literal["none", "bn"] = "none"
    """What stands between embedding and classifier: nothing (the release) or a batch norm, which
    lets the triplet loss and the classifier each have the geometry that suits it."""
    last_stride: Literal[1, 2] = 2
    """Stride of a ResNet's last stage; 1 doubles the resolution that the embedding pools over."""
    pretrained: bool = False
    """Start from timm's own weights (a download on first use); for a local file see --pretrained
    of `bagreid train`."""
    embedding: Literal["backbone", "logits"] = "backbone"
    """What evaluation compares: the pooled embedding, or the vector of class logits as the
    released test script does."""

    def __post_init__(self) -> None:
        own = (self.neck, self.last_stride, self.embedding)
        if self.backbone == "mgn" and own != ("none", 2, "backbone"):
            raise ValueError(
                "backbone mgn settles these itself: leave neck none, last_stride 2 and "
                "embedding backbone"
            )


class ModelOutput(NamedTuple):
    """What the network says of N images.

    Attributes:
        embedding: ``(N, D)``, the pooled output of the last stage.
        logits: ``(N, C)``, unnormalised class scores.
        appearance: ``(N, A)``, the average-pooled output of the first stage (256-d in ResNet-50).
    """

    embedding: Tensor
    logits: Tensor
    appearance: Tensor


class ReidNetwork(nn.Module):
    """Backbone, average pooling and a linear classifier.

    Args:
        config: Which backbone, and its options.
        num_classes: Number C of training identities.

    Raises:
        BagreidError: timm has no such model, or it gives no feature maps.
    """

    def __init__(self, config: ModelConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.backbone = _create_backbone(config)
        self.stage, reduction_channels = _first_stage(self.backbone)
        self.appearance_dim = reduction_channels
        # some backbones widen the pooled features by a layer before the classifier
        wide = getattr(self.backbone, "head_hidden_size", None)
        self.embedding_dim = int(wide or self.backbone.num_features)
        self.neck: nn.Module = nn.Identity()
        if config.neck == "bn":
            neck = nn.BatchNorm1d(self.embedding_dim)
            neck.bias.requires_grad_(False)
            self.neck = neck
        self.classifier = nn.Linear(self.embedding_dim, num_classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> ModelOutput:
        """``(N, 3, H, W)`` normalised images → `ModelOutput`."""
        try:
            final, maps = self.backbone.forward_intermediates(
                images, indices=[self.stage], output_fmt="NCHW"
            )
        except AssertionError as error:
            raise BagreidError(
                f"'{self.config.backbone}' does not take images of {images.shape[2]}×"
                f"{images.shape[3]} ({str(error).rstrip('.')})",
                remedy="Set --augment.height and --augment.width to what it takes",
            ) from error
        embedding = self.backbone.forward_head(final, pre_logits=True)
        # embedding, scores and appearance leave in float32: distances and softmax need the digits
        embedding = embedding.float() if embedding.dtype != torch.float64 else embedding
        logits = self.classifier(self.neck(embedding))
        logits = logits.float() if logits.dtype != torch.float64 else logits
        return ModelOutput(embedding, logits, mean_over_places(maps[0]))

    def embed(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` → the ``(N, D)`` (or ``(N, C)``) features that evaluation compares."""
        output: ModelOutput = self(images)
        if self.config.embedding == "logits":
            return output.logits
        features: Tensor = self.neck(output.embedding)
        return features


ReidModel = ReidNetwork | MultiGranularityNetwork
"""What can be trained and evaluated: ``model(images)`` has an ``embedding``, ``logits`` and an
``appearance``; ``model.embed(images)`` gives the features that evaluation compares."""


def embedder(model: ReidModel) -> Callable[[Tensor], Tensor]:
    """What a network gives for evaluation, short of the classifier.

    Args:
        model: A trained network.

    Returns:
        ``(N, 3, H, W)`` → ``(N, D)``: the features that evaluation compares or, where that is the
        logits, what the classifier sees, from which `projection_of` leads to them.
    """
    if not isinstance(model, ReidNetwork):
        return model.embed

    def embed(images: Tensor) -> Tensor:
        output: ModelOutput = model(images)
        features: Tensor = model.neck(output.embedding)
        return features

    return embed


def projection_of(model: ReidModel) -> Tensor | None:
    """How logits are compared without computing them; see `bagreid.models.projection`.

    Args:
        model: A trained network; its classifier is read here.

    Returns:
        ``(D + 1, r)`` float64 for `project_logits`; None where the embedding itself is compared.
    """
    if not isinstance(model, ReidNetwork) or model.config.embedding != "logits":
        return None
    return logit_factor(model.classifier)


def build_model(config: ModelConfig, num_classes: int) -> ReidModel:
    """Builds the network of a configuration for C identities."""
    if config.backbone == "mgn":
        return MultiGranularityNetwork(num_classes, pretrained=config.pretrained)
    return ReidNetwork(config, num_classes)


def _create_backbone(config: ModelConfig) -> Any:
    """A module with timm's surface, which nn.Module's type does not know."""
    name = config.backbone
    options: dict[str, Any] = {}
    if timm.is_model(name) and timm.models.model_entrypoint(name).__module__ in _ANY_SIZE_ON_DEMAND:
        options["dynamic_img_size"] = True
    backbone = create_backbone(name, pretrained=config.pretrained, **options)
    if not hasattr(backbone, "forward_intermediates"):
        raise BagreidError(
            f"'{name}' gives no intermediate feature maps",
            remedy="Choose a model of timm.list_models() with forward_intermediates",
        )
    if config.last_stride == 1:
        if not isinstance(backbone, ResNet):
            raise BagreidError(
                f"'{name}' is no ResNet, so it has no last stride to change",
                remedy="Use --model.last-stride 2",
            )
        keep_resolution(backbone.get_submodule("layer4"))
    return backbone


def _first_stage(backbone: nn.Module) -> tuple[int, int]:
    """Index and channels of the first stage behind the stem: the first map at stride 4 or more."""
    infos: Any = backbone.feature_info
    table = infos.info if hasattr(infos, "info") else infos
    for index, info in enumerate(table):
        if info["reduction"] >= 4:
            return index, int(info["num_chs"])
    raise BagreidError("the backbone has no feature map at stride 4 or more")
