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


def balanced_labels(logits: Tensor, candidates: Tensor, group_of: Tensor) -> Tensor:
    """`balanced_assignment` of all bags of a batch at once, without leaving the device.

    The same labels, where all bags take their turns side by side and every shape is known
    beforehand.

    Args:
        logits: ``(N, C)`` floating.
        candidates: ``(N, K)`` int64, ascending, padded with −1 at the end; images of one group hold
            the same set.
        group_of: ``(N, G)`` one-hot, the group of each image.

    Returns:
        ``(N,)`` int64 identity indices.

    Raises:
        ValueError: See `bagreid.graph.unary.candidate_scores`.
    """
    scores = candidate_scores(logits.detach(), candidates)
    group_of = group_of.to(scores.dtype)
    group = group_of.argmax(dim=1)
    listed = (candidates >= 0).sum(dim=1)
    images = group_of.sum(dim=0)[group].to(torch.int64)
    share, extra = images // listed, images % listed
    same = group[:, None] == group[None, :]
    first = torch.arange(len(group), device=group.device)
    first = first[None, :] < first[:, None]  # of equally scoring voters the first image
    column = torch.full_like(group, -1)
    places = torch.arange(candidates.shape[1], device=group.device)
    is_open = (group_of.T @ (candidates >= 0).to(scores.dtype)) > 0
    for turn in range(candidates.shape[1]):
        free = (column < 0) & is_open[group].any(dim=1)
        votes = scores.masked_fill(~is_open[group], -torch.inf).argmax(dim=1)
        ballot = (votes[:, None] == places) & free[:, None]
        counts = (group_of.T @ ballot.to(scores.dtype)).masked_fill(~is_open, -1.0)
        winner = counts.argmax(dim=1)[group]
        voter = free & (votes == winner)
        score = scores.gather(1, winner[:, None])
        ahead = (score < score.T) | ((score == score.T) & first)
        place = (ahead & same & voter[None, :]).sum(dim=1)
        taken = voter & (place < share + (turn < extra).to(torch.int64))
        column = torch.where(taken, winner, column)
        is_open = is_open.scatter(1, counts.argmax(dim=1, keepdim=True), False)
    column = torch.where(column < 0, scores.argmax(dim=1), column)
    return candidates.gather(1, column[:, None]).squeeze(1)


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
