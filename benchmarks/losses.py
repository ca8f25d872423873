"""Graph loss and weak triplet against plain cross-entropy, forward and backward, side by side.

N = 180 images, C = 28,310 identities, 9 candidates an image, 256-d appearance, 2,048-d embedding.
Rounds alternate between the contestants, so that a busy machine is unfair to none; the ratios are
of medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from machine import write_result
from torch import Tensor

from bagreid.losses import graph_loss, graph_terms, weak_triplet_loss

N, C, K, A, D = 180, 28_310, 9, 256, 2_048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="timed rounds of each contestant")
    args = parser.parse_args()
    torch.manual_seed(0)
    contestants = make_contestants()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(args.rounds + 3):
        for name, step in contestants.items():
            begun = time.perf_counter()
            step()
            if round_ >= 3:
                times[name].append(time.perf_counter() - begun)
    medians = {name: float(np.median(spent)) * 1e3 for name, spent in times.items()}
    plain = medians["cross-entropy"]
    for name, spent in medians.items():
        print(f"{name:<58}{spent:9.2f} ms {spent / plain:8.2f} x")
    write_result(
        "losses",
        {
            "images": N,
            "identities": C,
            "candidates": K,
            "rounds": args.rounds,
            "median_ms": medians,
            "best_ms": {name: min(spent) * 1e3 for name, spent in times.items()},
            "ratio_to_cross_entropy": {name: spent / plain for name, spent in medians.items()},
        },
    )


def make_contestants() -> dict[str, Callable[[], None]]:
    """Each takes fresh gradients of the same logits, appearance and embeddings."""
    logits = torch.randn(N, C, requires_grad=True)
    # pooled first-stage features of a real ResNet-50 lie this close: likenesses neither 0 nor 1
    appearance = (0.06 * torch.randn(N, A) + 0.3).requires_grad_()
    embedding = torch.randn(N, D, requires_grad=True)
    candidates = torch.randint(0, C, (N // 15, 1)).repeat_interleave(15, 0) + torch.arange(K)
    candidates = candidates.clamp(max=C - 1)
    target = candidates[:, 0]
    soft = torch.rand(N, K).softmax(dim=1)

    def backward(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def step() -> None:
            for leaf in (logits, appearance, embedding):
                leaf.grad = None
            loss().backward()  # type: ignore[no-untyped-call]

        return step

    def triplet() -> Tensor:
        return weak_triplet_loss(embedding, candidates, margin=1.2)

    def released() -> Tensor:
        return graph_loss(logits, candidates, appearance).total + 2 * triplet()

    def released_in_bf16() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return released()

    def unary_only() -> Tensor:
        unary, _ = graph_terms(logits, candidates, soft, target, None)
        return unary + 2 * triplet()

    return {
        "cross-entropy": backward(lambda: F.cross_entropy(logits, target)),
        "graph loss + weak triplet": backward(released),
        "graph loss + weak triplet, products in bf16 (autocast)": backward(released_in_bf16),
        "unary on soft pseudo labels + weak triplet": backward(unary_only),
        "weak triplet alone": backward(triplet),
    }


if __name__ == "__main__":
    main()
