"""Networks: any timm backbone with a classifier, and the reading of weight files."""

from bagreid.models.network import ModelConfig, ModelOutput, ReidNetwork, build_model

__all__ = ["ModelConfig", "ModelOutput", "ReidNetwork", "build_model"]
