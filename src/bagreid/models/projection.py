"""The released test feature, all class logits, in far fewer dimensions and exactly.

The released script compares vectors of logits: 28,310 numbers an image, 54 GB for the gallery.
With A = [W b] of the classifier (C × (D+1)) and A = Q·R its QR decomposition,

    ⟨A·u, A·u'⟩ = ⟨R·u, R·u'⟩   for all u = [f; 1],

because Q has orthonormal columns; R has min(C, D+1) rows. The sum over an image and its mirror
image is linear, so it commutes with R.

Shape letters: N images, D embedding, C identities, r = min(C, D + 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def logit_factor(classifier: nn.Linear) -> Tensor:
    """R of the classifier, transposed: ``(D + 1, r)`` float32, for the right of ``[f, 1]``.

    Decomposed in float64, so that what is lost is the rounding of one float32 product.
    """
    weight = classifier.weight.detach().double()
    bias = classifier.bias.detach().double()
    triangle: Tensor = torch.linalg.qr(torch.cat([weight, bias[:, None]], dim=1), mode="r").R
    return triangle.T.float()


def project_logits(embedding_ND: Tensor, factor: Tensor) -> Tensor:
    """``(N, D)`` what the classifier sees → ``(N, r)`` with the inner products of the logits."""
    ones = embedding_ND.new_ones(len(embedding_ND), 1)
    return torch.cat([embedding_ND, ones], dim=1).to(factor.dtype) @ factor
