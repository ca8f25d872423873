"""Networks: any timm backbone with a classifier, MGN, and the reading of weight files."""

from bagreid.models.inference import ModelMeta, load_for_inference
from bagreid.models.mgn import MgnOutput, MultiGranularityNetwork
from bagreid.models.network import (
    ModelConfig,
    ModelOutput,
    ReidModel,
    ReidNetwork,
    build_model,
    embedder,
    projection_of,
)
from bagreid.models.projection import project_logits

__all__ = [
    "MgnOutput",
    "ModelConfig",
    "ModelMeta",
    "ModelOutput",
    "MultiGranularityNetwork",
    "ReidModel",
    "ReidNetwork",
    "build_model",
    "embedder",
    "load_for_inference",
    "project_logits",
    "projection_of",
]
