"""The release's two inferences: the best candidate, and equal shares for all.

Shape letters: N images, K candidates, C identities.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bagreid.graph.unary import candidate_scores


def argmax_labels(logits: Tensor, candidates: Tensor) -> Tensor:
    """The likeliest candidate of each image: argmaxₖ Y[i,k]·P[i,k] of the released code.

    Computed on the logits, so that an image whose candidates' probabilities all underflow still
    gets one of its candidates. Of equal scores the candidate listed first wins.

    Args:
        logits: ``(N, C)`` floating.
        candidates: ``(N, K)`` int64, padded with −1.

    Returns:
        ``(N,)`` int64 identity indices.

    Raises:
        ValueError: See `bagreid.graph.unary.candidate_scores`.
    """
    best = candidate_scores(logits, candidates).argmax(dim=1, keepdim=True)
    return candidates.gather(1, best).squeeze(1)


def balanced_assignment(logits: Tensor, candidates: Tensor) -> Tensor:
    """Pseudo labels of one bag in which every identity gets an equal share of the images.

    The released code's balanced inference (unary only): with n identities and N images, n times
    each unassigned image votes for its best open identity; the identity with most votes takes its
    best-scoring voters up to its share and closes. The scores compared are the logits.

    Where the release leaves it open: of equally voted identities the lowest index goes first; of
    equally scoring voters the first image; if n does not divide N, the first N mod n identities
    to close take one image more; images that no open identity is left for (an identity closed
    with fewer voters than its share) go to their best identity of the bag.

    Args:
        logits: ``(N, C)`` floating, of the images of **one** bag.
        candidates: ``(N, K)`` int64, padded with −1; every row holds the same set.

    Returns:
        ``(N,)`` int64 identity indices.

    Raises:
        ValueError: The rows do not hold the same set; see also `candidate_scores`.
    """
    identities = _common_identities(candidates)
    own = identities.expand(len(candidates), -1)
    scores = candidate_scores(logits.detach(), own).cpu()
    share, extra = divmod(len(scores), scores.shape[1])
    labels = torch.full((len(scores),), -1, dtype=torch.int64)
    is_open = torch.ones(scores.shape[1], dtype=torch.bool)
    for turn in range(scores.shape[1]):
        free = (labels < 0).nonzero().flatten()
        votes = scores[free].masked_fill(~is_open, -torch.inf).argmax(dim=1)
        counts = torch.bincount(votes, minlength=scores.shape[1]).masked_fill(~is_open, -1)
        winner = int(counts.argmax())
        voters = free[votes == winner]
        order = scores[voters, winner].argsort(descending=True, stable=True)
        labels[voters[order[: share + (turn < extra)]]] = winner
        is_open[winner] = False
    left = labels < 0
    labels[left] = scores[left].argmax(dim=1)
    return identities.flatten()[labels.to(identities.device)]


def _common_identities(candidates: Tensor) -> Tensor:
    """The ``(1, n)`` ascending identities that all rows share."""
    ordered = candidates.sort(dim=1).values
    first: Tensor = torch.unique(ordered[0][ordered[0] >= 0])
    for row, listed in enumerate(ordered):
        if not torch.equal(torch.unique(listed[listed >= 0]), first):
            raise ValueError(
                f"balanced assignment takes one bag: image {row} has other candidates than image 0"
            )
    return first[None]
