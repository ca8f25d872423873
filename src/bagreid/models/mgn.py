"""Multiple Granularity Network: a ResNet-50 whose last stages look at whole, halves and thirds.

After "Learning Discriminative Features with Multiple Granularities for Person Re-Identification"
(arXiv 1804.01438), in the form that the SYSU-30k release trains: average pooling, eight classifiers
on the reduced 256-d features. Modules bear the released names, so that released checkpoints fit.

Shape letters: N images, C identities, H height, W width.
"""

from __future__ import annotations

import copy
import re
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bagreid.models.backbone import create_backbone
from bagreid.models.pooling import mean_over_places
from bagreid.models.stride import keep_resolution

REDUCED_DIM = 256
"""Length of each of the eight features."""

HEADS = (
    "fc_id_2048_0",
    "fc_id_2048_1",
    "fc_id_2048_2",
    "fc_id_256_1_0",
    "fc_id_256_1_1",
    "fc_id_256_2_0",
    "fc_id_256_2_1",
    "fc_id_256_2_2",
)
"""The classifiers, in the order of the features: the whole in branch 1, 2 and 3, upper and lower
half in branch 2, the thirds from above in branch 3. All of them are on 256-d features: the first
three are called after the 2,048-d ones that the paper classifies."""

_STEM = {
    "conv1.": "backone1.0.",
    "bn1.": "backone1.1.",
    "layer1.": "backone1.4.",
    "layer2.": "backone2.0.",
    "layer3.0.": "backone2.1.",
}
_SINGLE_TRUNK = re.compile(r"backb?one\.(\d+)\.(.+)")
_TRUNK_PLACES = {
    "0": "backone1.0",
    "1": "backone1.1",
    "4": "backone1.4",
    "5": "backone2.0",
    "6": "backone2.1",
}
_LATER_STAGE = re.compile(r"layer3\.(\d+)\.(.+)|layer4\.(.+)")


class MgnOutput(NamedTuple):
    """What the network says of N images; the first three are those of `ModelOutput`.

    Attributes:
        embedding: ``(N, 2048)``, the eight features side by side: what evaluation compares.
        logits: ``(N, C)``, the mean of the eight heads' logits: one answer from all granularities.
        appearance: ``(N, 256)``, the average-pooled output of the first stage.
        head_logits: Eight times ``(N, C)``, in the order of `HEADS`; the released graph loss is the
            mean over them.
        global_features: Three times ``(N, 256)``, the whole image in each branch; the released
            triplet loss is the mean over them.
    """

    embedding: Tensor
    logits: Tensor
    appearance: Tensor
    head_logits: tuple[Tensor, ...]
    global_features: tuple[Tensor, ...]


class MultiGranularityNetwork(nn.Module):
    """One ResNet-50 up to the first block of its third stage, then three branches.

    Branch 1 halves the resolution in the last stage, as ResNet-50 does, and pools the whole map.
    Branches 2 and 3 keep it, and pool the whole map and two or three horizontal strips of it.

    Args:
        num_classes: Number C of training identities.
        pretrained: Start the ResNet-50 from timm's weights, in all three branches.
    """

    def __init__(self, num_classes: int, *, pretrained: bool = False) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.appearance_dim = REDUCED_DIM
        self.embedding_dim = REDUCED_DIM * len(HEADS)
        resnet = create_backbone("resnet50", pretrained=pretrained)
        stem = ("conv1", "bn1", "act1", "maxpool", "layer1")
        first, *others = resnet.get_submodule("layer3").children()
        later, last = nn.Sequential(*others), resnet.get_submodule("layer4")
        # "backone" is how the release spells it: the names of modules are those of its checkpoints
        self.backone1 = nn.Sequential(*map(resnet.get_submodule, stem))
        self.backone2 = nn.Sequential(resnet.get_submodule("layer2"), first)
        self.p1 = nn.Sequential(copy.deepcopy(later), copy.deepcopy(last))
        keep_resolution(last)
        self.p2 = nn.Sequential(copy.deepcopy(later), copy.deepcopy(last))
        self.p3 = nn.Sequential(later, last)
        reduction = _reduction()
        for index, head in enumerate(HEADS):
            # as in the release all eight reductions start from the same draw
            self.add_module(f"reduction_{index}", copy.deepcopy(reduction))
            self.add_module(head, _classifier(num_classes))

    def forward(self, images: Tensor) -> MgnOutput:
        """``(N, 3, H, W)`` normalised images, released at 384×128 → `MgnOutput`."""
        low = self.backone1(images)
        features = self._features(low)
        heads = tuple(
            _full(self.get_submodule(head)(feature))
            for head, feature in zip(HEADS, features, strict=True)
        )
        return MgnOutput(
            embedding=_concatenated(features),
            logits=sum(heads[1:], heads[0]) / len(heads),
            appearance=mean_over_places(low),
            head_logits=heads,
            global_features=tuple(map(_full, features[:3])),
        )

    def embed(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` → the ``(N, 2048)`` features that evaluation compares."""
        return _concatenated(self._features(self.backone1(images)))

    def _features(self, low: Tensor) -> list[Tensor]:
        """Output of the first stage → eight times ``(N, 256)``, in the order of `HEADS`."""
        middle = self.backone2(low)
        one, two, three = self.p1(middle), self.p2(middle), self.p3(middle)
        pooled = [_strips(branch, 1)[0] for branch in (one, two, three)]
        pooled += _strips(two, 2) + _strips(three, 3)
        return [
            self.get_submodule(f"reduction_{index}")(vector).flatten(1)
            for index, vector in enumerate(pooled)
        ]


def _reduction() -> nn.Sequential:
    convolution = nn.Conv2d(2048, REDUCED_DIM, 1, bias=False)
    norm = nn.BatchNorm2d(REDUCED_DIM)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_in")
    nn.init.normal_(norm.weight, mean=1.0, std=0.02)
    nn.init.zeros_(norm.bias)
    return nn.Sequential(convolution, norm, nn.ReLU())


def _classifier(num_classes: int) -> nn.Linear:
    classifier = nn.Linear(REDUCED_DIM, num_classes)
    nn.init.kaiming_normal_(classifier.weight, mode="fan_out")
    nn.init.zeros_(classifier.bias)
    return classifier


def _strips(maps: Tensor, count: int) -> list[Tensor]:
    """``(N, D, H, W)`` → the means ``(N, D, 1, 1)`` of horizontal strips, from above.

    At the released 384×128 the strips are equal; at other sizes the upper ones are a row higher.

    Raises:
        ValueError: The map has fewer rows than strips.
    """
    if maps.shape[2] < count:
        raise ValueError(f"images of {maps.shape[2]} rows of features have no {count} strips")
    return [strip.mean(dim=(2, 3), keepdim=True) for strip in maps.tensor_split(count, dim=2)]


def _full(values: Tensor) -> Tensor:
    """Half precision → float32: distances and softmax need the digits."""
    return values.float() if values.itemsize < 4 else values


def _concatenated(features: list[Tensor]) -> Tensor:
    return _full(torch.cat(features, dim=1))


def is_mgn(tensors: dict[str, Tensor]) -> bool:
    """Whether a state dict is that of a Multiple Granularity Network."""
    return any(name.startswith("p3.1.") for name in tensors)


def released_name(name: str) -> str:
    """Name of a tensor here, given its name in an MGN of one undivided trunk.

    The public code that the release builds on has the trunk in one piece, ``backone.0`` to
    ``backone.6``; the release cut it behind the first stage.
    """
    found = _SINGLE_TRUNK.fullmatch(name)
    if found is None or found[1] not in _TRUNK_PLACES:
        return name
    return f"{_TRUNK_PLACES[found[1]]}.{found[2]}"


def places_of(name: str) -> tuple[str, ...]:
    """Names of the MGN's tensors that start from a tensor of a plain ResNet-50.

    Args:
        name: Its name in torchvision's and timm's ResNet-50: ``layer4.0.conv1.weight``.

    Returns:
        One name for the trunk, three (one a branch) for what follows; the name itself for what has
        no place.
    """
    for old, new in _STEM.items():
        if name.startswith(old):
            return (new + name.removeprefix(old),)
    found = _LATER_STAGE.fullmatch(name)
    if found is None:
        return (name,)
    block, third, fourth = found.groups()
    inside = f"1.{fourth}" if block is None else f"0.{int(block) - 1}.{third}"
    return tuple(f"p{branch}.{inside}" for branch in (1, 2, 3))
