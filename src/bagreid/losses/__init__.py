"""Losses composed from the graph; one a file."""

from bagreid.losses.graph_loss import GraphLoss, graph_loss, graph_terms
from bagreid.losses.weak_triplet import weak_triplet_loss

__all__ = ["GraphLoss", "graph_loss", "graph_terms", "weak_triplet_loss"]
