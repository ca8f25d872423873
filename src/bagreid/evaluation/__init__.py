"""Exact evaluation: feature extraction, ranking by counting, metrics, results."""

from bagreid.evaluation.baselines import histogram_features
from bagreid.evaluation.extraction import extract_features
from bagreid.evaluation.features import ImageFeatures, open_features, read_feature_file
from bagreid.evaluation.protocol import Evaluation, evaluate_catalog, evaluate_features
from bagreid.evaluation.ranking import RankingCounts, RankingResult, evaluate_ranking
from bagreid.evaluation.results import write_evaluation

__all__ = [
    "Evaluation",
    "ImageFeatures",
    "RankingCounts",
    "RankingResult",
    "evaluate_catalog",
    "evaluate_features",
    "evaluate_ranking",
    "extract_features",
    "histogram_features",
    "open_features",
    "read_feature_file",
    "write_evaluation",
]
