"""Networks: any timm backbone with a classifier, and the reading of weight files."""

from bagreid.models.inference import ModelMeta, load_for_inference
from bagreid.models.network import ModelConfig, ModelOutput, ReidNetwork, build_model

__all__ = [
    "ModelConfig",
    "ModelMeta",
    "ModelOutput",
    "ReidNetwork",
    "build_model",
    "load_for_inference",
]
