"""Exact evaluation: feature extraction, ranking by counting, metrics, results."""

from bagreid.evaluation.ranking import RankingCounts, RankingResult, evaluate_ranking

__all__ = ["RankingCounts", "RankingResult", "evaluate_ranking"]
