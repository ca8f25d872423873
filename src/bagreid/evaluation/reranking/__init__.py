"""k-reciprocal re-ranking from exact neighbour lists and sparse sets."""

from bagreid.evaluation.reranking.config import Reranking
from bagreid.evaluation.reranking.ranking import Reranker, Stage, silent
from bagreid.evaluation.reranking.search import Walk, find_neighbours

__all__ = ["Reranker", "Reranking", "Stage", "Walk", "find_neighbours", "silent"]
