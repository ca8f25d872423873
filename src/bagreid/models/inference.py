"""A trained or released checkpoint, ready to compute features."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from bagreid.contracts import BagreidError
from bagreid.models.network import ModelConfig, ReidNetwork, build_model
from bagreid.models.weights import LoadReport, load_weights, read_file, state_dict_of, to_our_names


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
) -> tuple[ReidNetwork, ModelMeta]:
    """Builds the network a checkpoint was made with, and fills it.

    Args:
        path: A checkpoint of `bagreid train`, a released ResNet-50 checkpoint (tested at 256×128,
            bicubic, as released), or a bare ResNet-50 backbone.
        device: Where it will compute.
        feature: What its ``embed`` gives; None takes what the checkpoint says.

    Returns:
        The network in evaluation mode, and what is known of it.

    Raises:
        BagreidError: The file cannot be read, or does not fill the backbone of any known network.
    """
    content = read_file(path)
    run = content.get("config", {}) if isinstance(content, dict) else {}
    run = run if isinstance(run, dict) else {}
    form, tensors = to_our_names(state_dict_of(_averaged(content), path))
    head = tensors.get("classifier.weight")
    num_classes = 1 if head is None else len(head)
    config = _model_config(run, path)
    config = dataclasses.replace(config, pretrained=False, embedding=feature or config.embedding)
    model = build_model(config, num_classes)
    report = load_weights(model, path, tensors=tensors, form=form)
    absent = [name for name in report.missing if not name.startswith("classifier.")]
    if absent or report.mismatched or (feature == "logits" and head is None):
        raise BagreidError(
            f"the checkpoint does not fill a {config.backbone}",
            path=path,
            position=(absent + [name for name, _, _ in report.mismatched] + ["classifier"])[0],
            remedy="A foreign checkpoint must be a ResNet-50; others must come from bagreid train",
        )
    shown = run.get("augment", {})
    meta = ModelMeta(
        config=config,
        num_classes=num_classes,
        height=int(shown.get("height", 256)),
        width=int(shown.get("width", 128)),
        interpolation=shown.get("interpolation", "bicubic"),
        report=report,
        training=run,
    )
    return model.to(device).eval(), meta


def _averaged(content: Any) -> Any:
    """Of a checkpoint of ours, the teacher: the moving average is what is evaluated."""
    if isinstance(content, dict) and "teacher" in content and "model" in content:
        return content["teacher"]
    return content


def _model_config(run: dict[str, Any], path: Path) -> ModelConfig:
    if "model" not in run:
        return ModelConfig(backbone="resnet50")
    try:
        return ModelConfig(**run["model"])
    except TypeError as error:
        raise BagreidError(
            f"the checkpoint's model options are not known here ({error})",
            path=path,
            remedy="Use the version of bagreid that wrote it",
        ) from error
