"""The class logits of features that were extracted before: nobody extracts twice.

Shape letters: N images, D embedding, r dimensions with the inner products of the logits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.shards import Batch
from bagreid.evaluation.sources import FeatureSource, as_source
from bagreid.evaluation.writing import Say, Task, collect_features, write_features
from bagreid.models import project_logits
from bagreid.world import World

BLOCK = 1024
"""Images projected at a time."""

_VIEWS = 2
"""An image and its mirror image."""


def project_features(
    images: ImageFeatures,
    projection: Tensor,
    *,
    weights: str = "",
    out_dir: Path | None = None,
    source: str = "",
    world: World | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
) -> ImageFeatures:
    """Turns a network's embeddings into features that compare its logits.

    The stored embedding is of length 1: with its length before that, it is the sum f over both
    views, and the logits follow from [f; 2].

    Args:
        images: Embeddings, with their norms.
        projection: ``(D + 1, r)`` of the same network (`bagreid.models.projection_of`).
        weights: What tells the network from others.
        out_dir: A folder for the result; None keeps it in memory, r · 8 bytes an image.
        source: What the folder shall say made it.
        world: Who computes with whom; many processes need a folder.
        say: Told what a folder holds already.
        progress: Called with the images done and their number.

    Returns:
        ``(N, r)`` float64 features whose inner products are those of the logits, L2-normalised.

    Raises:
        BagreidError: The features are no embeddings of that network, or their norms are not known.
    """
    embeddings = as_source(images.features)
    _check(images, embeddings, projection)
    norms = np.asarray(images.norms)
    unseen = set(images.broken_places().tolist())
    rows = np.arange(len(norms)) if images.rows is None else np.asarray(images.rows)

    def produce(start: int, stop: int) -> Generator[Batch, None, None]:
        for first in range(start, stop, BLOCK):
            places = range(first, min(first + BLOCK, stop))
            features, lengths = _projected(embeddings, norms, places, projection)
            blind = [place - first for place in places if place in unseen]
            features[blind], lengths[blind] = 0, 0
            broken = [int(rows[first + place]) for place in blind]
            yield Batch(features, lengths.numpy(), broken)

    task = Task(
        count=len(norms),
        job={
            "images": f"{len(norms)} of digest {_digest(images)}",
            "weights": weights,
            "feature": "logits of extracted embeddings",
            "dtype": "float64",
        },
        stored="float64",
        batch=BLOCK,
        source=source,
        images=replace(images, kind="logits"),
    )
    world = world or World()
    if out_dir is None:
        return collect_features(task, produce, world=world, progress=progress)
    return write_features(out_dir, task, produce, world=world, say=say, progress=progress)


def _projected(
    embeddings: FeatureSource, norms: np.ndarray, places: range, projection: Tensor
) -> tuple[Tensor, Tensor]:
    """Features and their lengths, on the host; ``(n, r)`` and ``(n,)`` float64."""
    unit_nD = embeddings.block(places.start, places.stop).to(projection.device, torch.float64)
    length_n = torch.from_numpy(norms[places.start : places.stop].copy()).to(projection.device)
    logits_nr = project_logits(unit_nD * length_n[:, None], projection, views=_VIEWS)
    lengths = torch.linalg.vector_norm(logits_nr, dim=1)
    return torch.nn.functional.normalize(logits_nr).cpu(), lengths.cpu()


def _check(images: ImageFeatures, embeddings: FeatureSource, projection: Tensor) -> None:
    if images.kind == "logits":
        raise BagreidError(
            "these features compare logits already", remedy="Leave the checkpoint out"
        )
    if images.norms is None:
        raise BagreidError(
            "these features do not say how long they were before they were normalised, which the "
            "logits need",
            remedy="Extract them again; for the logits, with --feature logits",
        )
    dim = embeddings.shape[1]
    if dim != len(projection) - 1:
        raise BagreidError(
            f"the features have {dim} dimensions, the checkpoint's classifier takes "
            f"{len(projection) - 1}",
            remedy="Give the checkpoint that the features were extracted with",
        )


def _digest(images: ImageFeatures) -> str:
    """What tells these features from others: their lengths differ from image to image."""
    digest = hashlib.sha256()
    for values in (images.norms, images.pids, images.camids, images.rows):
        if values is not None:
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:16]
