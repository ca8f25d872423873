"""What the bags say of an image before the network has spoken, and how far each kind is trusted.

An image lies in several overlapping bags: narrow ones that say much but may be wrong (a folder
holds strangers too) and wide ones that are right but say little. The prior is a mixture over the
kinds of bag,

    p(k | folder) = Σₛ w̃ₛ · evidence[folder, k, s],   w̃ₛ = wₛ / Σ of w over the folder's kinds,

where evidence[·, k, s] draws an identity from a random covering bag of kind s. The weights w start
at one over the kind's folders (a narrow bag says more) and are fitted to the data by
expectation-maximisation on the posteriors of training: the responsibility of kind s for an image
is Σₖ q(k)·w̃ₛ·evidence[k, s] / p(k), and w is scaled by (mean responsibility) / (mean w̃), a
running average of both being kept over the steps.

Shape letters: N images, K candidates, S kinds of bag.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BagPrior(nn.Module):
    """The mixture over kinds of bag, with its weights as (saved, not learned) state.

    Args:
        kinds: The number of folders of each of the S kinds of bag.
        decay: Decay of the running averages of EM, a step.
    """

    weight: Tensor
    responsibility: Tensor
    expectation: Tensor
    listed: Tensor
    covered: Tensor

    def __init__(self, kinds: Sequence[int], *, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        num_kinds = len(kinds)
        start = 1.0 / torch.tensor(kinds, dtype=torch.float32)
        self.register_buffer("weight", start / start.sum())
        self.register_buffer("responsibility", torch.full((num_kinds,), 1.0 / num_kinds))
        self.register_buffer("expectation", torch.full((num_kinds,), 1.0 / num_kinds))
        self.register_buffer("listed", torch.zeros(num_kinds))
        self.register_buffer("covered", torch.zeros(num_kinds))

    def mixture(self, evidence: Tensor) -> Tensor:
        """w̃ of each image: ``(N, K, S)`` evidence → ``(N, S)``, summing to 1 over its kinds."""
        present = (evidence.sum(dim=1) > 0).to(self.weight.dtype)
        weight = self.weight * present
        return weight / weight.sum(dim=1, keepdim=True)

    def forward(self, evidence: Tensor) -> Tensor:
        """``(N, K, S)`` evidence → ``(N, K)`` prior probabilities, 0 in the padding."""
        return torch.einsum("nks,ns->nk", evidence, self.mixture(evidence))

    @property
    def reliability(self) -> Tensor:
        """``(S,)``: how often a bag of each kind lists an image's identity; NaN before any."""
        return self.listed / self.covered

    def responsibilities(self, evidence: Tensor, posterior: Tensor) -> Tensor:
        """How far each kind of bag explains the posterior, and how often it lists the identity.

        Args:
            evidence: ``(N, K, S)``.
            posterior: ``(N, K)``, 0 in the padding.

        Returns:
            ``(4, S)``: the sums over the images of the responsibilities and of w̃, then of the
            posterior's share that the bags of each kind list, and of the images that they cover.
        """
        mixture = self.mixture(evidence)
        joint = evidence * mixture[:, None, :]
        given = joint / joint.sum(dim=2, keepdim=True).clamp(min=1e-12)
        explained = torch.einsum("nk,nks->s", posterior.to(given.dtype), given)
        listed, covered = listed_share(evidence, posterior)
        return torch.stack([explained, mixture.sum(dim=0), listed, covered])

    @torch.no_grad()
    def update(self, totals: Tensor, count: int) -> None:
        """One step of EM from `responsibilities`, summed over all ranks, of ``count`` images."""
        explained, expected, listed, covered = totals / count
        self.listed.lerp_(listed, 1 - self.decay)
        self.covered.lerp_(covered, 1 - self.decay)
        self.responsibility.lerp_(explained, 1 - self.decay)
        self.expectation.lerp_(expected, 1 - self.decay)
        target = self.weight * self.responsibility / self.expectation.clamp(min=1e-6)
        target = target.clamp(min=1e-4)
        self.weight.lerp_(target / target.sum(), 1 - self.decay)


def listed_share(evidence: Tensor, posterior: Tensor) -> tuple[Tensor, Tensor]:
    """How much of the posterior lies on identities that the bags of each kind list.

    An identity that every covering bag of a kind lists counts fully, one that half of them list
    half: it is the chance that a random covering bag of the kind lists the image's identity.

    Args:
        evidence: ``(N, K, S)``; an identity that all bags of a kind list has the largest value.
        posterior: ``(N, K)``.

    Returns:
        ``(S,)`` summed shares, and ``(S,)`` the number of images that a bag of the kind covers.
    """
    peak = evidence.amax(dim=1, keepdim=True)
    chance = evidence / peak.clamp(min=1e-12)
    covered = (peak.squeeze(1) > 0).to(evidence.dtype)
    listed = torch.einsum("nk,nks->s", posterior.to(evidence.dtype), chance)
    return listed, covered.sum(dim=0)
