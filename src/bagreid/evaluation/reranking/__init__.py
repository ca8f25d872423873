"""k-reciprocal re-ranking from exact neighbour lists and sparse sets."""

from bagreid.evaluation.reranking.config import Reranking
from bagreid.evaluation.reranking.ranking import Reranker
from bagreid.evaluation.reranking.search import Walk, find_neighbours

__all__ = ["Reranker", "Reranking", "Walk", "find_neighbours"]
