"""Exact evaluation: feature extraction, ranking by counting, metrics, results.

The names below are fetched when they are first asked for, so that the statistics of a result can
be computed without torch: `statistics`, `needle` and `comparison` need NumPy alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bagreid.evaluation.baselines import histogram_features
    from bagreid.evaluation.extraction import extract_features
    from bagreid.evaluation.features import ImageFeatures
    from bagreid.evaluation.folders import open_features
    from bagreid.evaluation.inputs import LoadedFeatures, load_features
    from bagreid.evaluation.protocol import Evaluation, evaluate_catalog, evaluate_features
    from bagreid.evaluation.ranking import RankingCounts, RankingResult, evaluate_ranking
    from bagreid.evaluation.results import write_evaluation

_HOMES = {
    "baselines": ("histogram_features",),
    "extraction": ("extract_features",),
    "features": ("ImageFeatures",),
    "folders": ("open_features",),
    "inputs": ("LoadedFeatures", "load_features"),
    "protocol": ("Evaluation", "evaluate_catalog", "evaluate_features"),
    "ranking": ("RankingCounts", "RankingResult", "evaluate_ranking"),
    "results": ("write_evaluation",),
}

__all__ = [
    "Evaluation",
    "ImageFeatures",
    "LoadedFeatures",
    "RankingCounts",
    "RankingResult",
    "evaluate_catalog",
    "evaluate_features",
    "evaluate_ranking",
    "extract_features",
    "histogram_features",
    "load_features",
    "open_features",
    "write_evaluation",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
