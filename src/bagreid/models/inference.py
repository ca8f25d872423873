"""A trained or released checkpoint, ready to compute features."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.models.mgn import HEADS, is_mgn
from bagreid.models.network import ModelConfig, ReidModel, build_model
from bagreid.models.weights import (
    RELEASED_RESNET50,
    LoadReport,
    is_head,
    load_weights,
    read_file,
    state_dict_of,
    to_our_names,
)


@dataclass(frozen=True, slots=True)
class ModelMeta:
    """What must be known of a checkpoint to show it images as it was trained.

    Attributes:
        config: The network.
        num_classes: Training identities.
        height: Image height in pixels.
        width: Image width in pixels.
        interpolation: How images are resized.
        report: What was loaded.
        training: The resolved configuration of the run; empty for a foreign checkpoint.
    """

    config: ModelConfig
    num_classes: int
    height: int
    width: int
    interpolation: Literal["bilinear", "bicubic"]
    report: LoadReport
    training: dict[str, Any]


def load_for_inference(
    path: Path, device: torch.device, *, feature: Literal["backbone", "logits"] | None = None
) -> tuple[ReidModel, ModelMeta]:
    """Builds the network a checkpoint was made with, and fills it.

    Args:
        path: A checkpoint of `bagreid train` (its moving average is taken), a released ResNet-50
            (tested at 256×128, bicubic, as released) or MGN (at 384×128), or a bare ResNet-50.
        device: Where it will compute.
        feature: What it gives (`embedder`); None takes what the checkpoint's run compared, and
            the logits of a released ResNet-50, as the released test does.

    Returns:
        The network in evaluation mode, and what is known of it.

    Raises:
        BagreidError: The file cannot be read, does not fill the network it belongs to, or cannot
            give that feature.
    """
    content = read_file(path)
    run = content.get("config", {}) if isinstance(content, dict) else {}
    run = run if isinstance(run, dict) else {}
    form, tensors = to_our_names(state_dict_of(content, path))
    if feature is None and form == RELEASED_RESNET50 and "classifier.weight" in tensors:
        feature = "logits"
    config = _model_config(run, is_mgn(tensors), feature, path)
    num_classes = _num_classes(tensors)
    model = build_model(config, num_classes)
    report = load_weights(model, path, tensors=tensors, form=form)
    _check_filled(report, config)
    shown = run.get("augment", {})
    meta = ModelMeta(
        config=config,
        num_classes=num_classes,
        height=int(shown.get("height", 384 if config.backbone == "mgn" else 256)),
        width=int(shown.get("width", 128)),
        interpolation=shown.get("interpolation", "bicubic"),
        report=report,
        training=run,
    )
    return model.to(device).eval(), meta


def _num_classes(tensors: dict[str, Tensor]) -> int:
    """Length of the file's classifiers; 1 where it has none."""
    heads = ("classifier.weight", *(f"{head}.weight" for head in HEADS))
    return next((len(tensors[name]) for name in heads if name in tensors), 1)


def _model_config(
    run: dict[str, Any], mgn: bool, feature: Literal["backbone", "logits"] | None, path: Path
) -> ModelConfig:
    try:
        own = ModelConfig(**run.get("model", {"backbone": "mgn" if mgn else "resnet50"}))
    except (TypeError, ValueError) as error:
        raise BagreidError(
            f"the checkpoint's model options are not known here ({error})",
            path=path,
            remedy="Use the version of bagreid that wrote it",
        ) from error
    if own.backbone == "mgn" and feature == "logits":
        raise BagreidError(
            "an MGN has eight classifiers, so no one vector of logits to compare",
            path=path,
            remedy="Compare its embedding, as its release does: feature backbone",
        )
    return dataclasses.replace(own, pretrained=False, embedding=feature or own.embedding)


def _check_filled(report: LoadReport, config: ModelConfig) -> None:
    """Refuses a network of which anything that its feature needs was left as initialised."""
    needs_head = config.embedding == "logits"
    absent = [*report.missing, *(name for name, _, _ in report.mismatched)]
    # files older than PyTorch 0.4.1 do not count batches, and evaluation does not ask
    lacking = [
        name
        for name in absent
        if (needs_head or not is_head(name)) and not name.endswith(".num_batches_tracked")
    ]
    if lacking:
        raise BagreidError(
            f"the checkpoint does not fill a network of backbone {config.backbone}",
            path=report.path,
            position=f"{len(lacking)} tensors, the first is {lacking[0]}",
            remedy="A foreign checkpoint must be a ResNet-50 or an MGN; others must come from "
            "bagreid train",
        )
