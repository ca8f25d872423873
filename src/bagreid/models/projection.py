"""The released test feature, all class logits, in far fewer dimensions and exactly.

The released script compares vectors of logits: 28,310 numbers an image, 54 GB for the gallery.
With A = [W b] of the classifier (C × (D+1)) and A = Q·R its QR decomposition,

    ⟨A·u, A·u'⟩ = ⟨R·u, R·u'⟩   for all u = [f; v],

because Q has orthonormal columns; R has r = min(C, D+1) rows, and RᵀR = AᵀA. With f the sum of the
embeddings of v views of an image (here two: itself and its mirror image), A·u is the sum of their
logits, and ‖R·u‖ its norm, which the protocol divides by. Nothing is inverted, so it does not
matter whether A has full rank.

All of it is done in float64: what it differs by from explicit float64 logits is of the order of
their own rounding.

Shape letters: N images, D embedding, C identities, r = min(C, D + 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROWS_AT_ONCE = 8192
"""Rows of the classifier of one decomposition, so that no float64 copy of it all is needed."""


def logit_factor(classifier: nn.Linear) -> Tensor:
    """Rᵀ of the classifier: ``(D + 1, r)`` float64, for the right of ``[f, v]``.

    Decomposed rows by rows: the triangle of what came before stands for it, by the same argument.
    """
    weight, bias = classifier.weight.detach(), classifier.bias.detach()
    triangle = weight.new_empty(0, weight.shape[1] + 1, dtype=torch.float64)
    for start in range(0, len(weight), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        rows = torch.cat([weight[part].double(), bias[part, None].double()], dim=1)
        triangle = torch.linalg.qr(torch.cat([triangle, rows]), mode="r").R
    return triangle.T.contiguous()


def project_logits(embedding_ND: Tensor, factor: Tensor, views: float = 1.0) -> Tensor:
    """What has the inner products of the logits.

    Args:
        embedding_ND: ``(N, D)`` what the classifier sees, summed over an image's views.
        factor: ``(D + 1, r)`` of `logit_factor`.
        views: How many embeddings each is the sum of.

    Returns:
        ``(N, r)`` float64.
    """
    # the bias apart: the product is of D columns, which suits the hardware better than D + 1
    return torch.addmm(views * factor[-1], embedding_ND.to(factor.dtype), factor[:-1])
