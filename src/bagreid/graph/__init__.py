"""What the project exists for: from scores, likeness and bag labels to pseudo labels.

One idea a file: `unary` scores the candidates, `pairwise` penalises look-alikes that disagree,
`assignment` holds the release's two inferences, `prior` weighs the bags an image lies in,
`presence` keeps every identity of a bag in its bag, and `posterior` puts them together.
"""

from bagreid.graph.assignment import argmax_labels, balanced_assignment, balanced_labels
from bagreid.graph.pairwise import gaussian_affinity
from bagreid.graph.posterior import Posterior, infer_posterior
from bagreid.graph.presence import enforce_presence
from bagreid.graph.prior import BagPrior
from bagreid.graph.unary import candidate_scores

__all__ = [
    "BagPrior",
    "Posterior",
    "argmax_labels",
    "balanced_assignment",
    "balanced_labels",
    "candidate_scores",
    "enforce_presence",
    "gaussian_affinity",
    "infer_posterior",
]
