"""Features of an archive's images: the outputs for the image and its mirror image, added up.

Shape letters: N images, n images of a batch, D features, H height, W width.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError, IntArray
from bagreid.data import AugmentConfig
from bagreid.data.loader import test_loader
from bagreid.data.quarantine import BrokenImages
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.computing import Embed, FlipSum, Precision, flip_summed
from bagreid.evaluation.features import ImageFeatures, images_of
from bagreid.evaluation.identity import digest_of_images
from bagreid.evaluation.shards import Batch
from bagreid.evaluation.writing import Say, Task, collect_features, write_features
from bagreid.world import World

if TYPE_CHECKING:
    from torch import Tensor

    from bagreid.models import ModelMeta

__all__ = ["Embed", "extract_features", "flip_summed", "view_of_tests"]


def extract_features(
    embed: Embed,
    catalog: Catalog,
    rows: IntArray | range,
    augment: AugmentConfig,
    *,
    projection: Tensor | None = None,
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
    stored: str | None = None,
    out_dir: Path | None = None,
    source: str = "",
    weights: str = "",
    known: BrokenImages | None = None,
    world: World | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
) -> ImageFeatures:
    """Computes the flip-summed, L2-normalised features of some images, decoding each once.

    In a folder every batch is kept as soon as it is done: the same call goes on from the last one,
    also on another number of processes.

    Args:
        embed: The network, in evaluation mode, on the device (`bagreid.models.embedder`).
        catalog: The archive.
        rows: ``(N,)`` catalog rows, in the order wanted.
        augment: Size, interpolation and normalisation; nothing random is done.
        projection: How the logits are compared instead (`bagreid.models.projection_of`).
        batch_size: Images at a time.
        workers: Processes that decode, while the network computes; 0: this one does.
        device: Where the network is.
        precision: What the network computes in: fp32, or bf16 or fp16 where that is enough for it.
        stored: Type of the stored numbers: float32, float16, bfloat16 or float64; None: float32,
            and float64 where logits are projected, which keeps all their digits.
        out_dir: A folder for the features, which are then memory-mapped; None keeps them in memory.
        source: What the folder shall say made the features.
        weights: What tells the network from others: features of others are never mixed with its
            own in a folder.
        known: The images known to be broken, which are not read; others found broken are added.
        world: Who computes with whom; many processes need a folder.
        say: Told what a folder holds already.
        progress: Called with the images done (by all processes) and their number, after each batch.

    Returns:
        The features; those of broken images are zero, and `broken` lists their rows.

    Raises:
        BagreidError: When the network gives NaN or infinity (naming the image), the folder holds
            something else, or a file cannot be written.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if not len(rows):
        raise BagreidError("there are no images to extract features of", path=catalog.root)
    world = world or World()
    network = FlipSum(embed, projection, augment, torch.device(device), precision)
    quarantine = known.known if known is not None else ()

    def produce(start: int, stop: int) -> Generator[Batch, None, None]:
        loader = test_loader(catalog, rows[start:stop], augment, batch_size, workers, quarantine)
        with _naming_images(catalog):
            yield from network.batches(loader)

    task = Task(
        count=len(rows),
        job=_job(network, catalog, rows, stored or network.stored, weights),
        stored=stored or network.stored,
        batch=batch_size,
        source=source,
        images=images_of(
            catalog, rows, np.zeros((0, 0)), (), kind="logits" if network.projects else "backbone"
        ),
    )
    if out_dir is None:
        images = collect_features(task, produce, world=world, progress=progress)
    else:
        images = write_features(out_dir, task, produce, world=world, say=say, progress=progress)
    if known is not None and world.is_main:
        known.add(images.broken)
    return images


@contextmanager
def _naming_images(catalog: Catalog) -> Iterator[None]:
    """Names the image of an error by the catalog."""
    try:
        yield
    except BagreidError as error:
        row = getattr(error, "row", None)
        if row is None:
            raise
        raise BagreidError(
            error.message, path=catalog.root, position=catalog.name(row), remedy=error.remedy
        ) from error


def _job(
    network: FlipSum, catalog: Catalog, rows: IntArray, stored: str, weights: str
) -> dict[str, str]:
    """All that the features depend on, in words for people.

    How many images a batch has, and who computes it, only decides how they are rounded.
    """
    augment = network.augment
    height, width = augment.test_size or (augment.height, augment.width)
    return {
        "images": f"{len(rows)} of digest {digest_of_images(catalog, rows)}",
        "weights": weights,
        "feature": "logits" if network.projects else "backbone",
        "view": f"{height}×{width} {augment.interpolation}, mean {augment.mean}, std {augment.std}",
        "precision": network.precision,
        "dtype": stored,
    }


def view_of_tests(meta: ModelMeta) -> AugmentConfig:
    """How a checkpoint wants its test images shown.

    Args:
        meta: What is known of the checkpoint.

    Returns:
        Size, interpolation and normalisation as in its training.
    """
    trained: dict[str, Any] = meta.training.get("augment", {})
    kept: dict[str, Any] = {
        key: tuple(trained[key]) for key in ("test_size", "mean", "std") if trained.get(key)
    }
    return AugmentConfig(
        height=meta.height, width=meta.width, interpolation=meta.interpolation, **kept
    )
