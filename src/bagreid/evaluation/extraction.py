"""Features of an archive's images: the outputs for the image and its mirror image, added up.

Shape letters: N images, D features, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError, IntArray
from bagreid.data import AugmentConfig
from bagreid.data.augment import normalise
from bagreid.data.datasets import ViewBatch
from bagreid.data.loader import test_loader
from bagreid.data.quarantine import BrokenImages
from bagreid.evaluation.blocks import Progress
from bagreid.evaluation.features import ImageFeatures, fresh_features, images_of, seal_features

if TYPE_CHECKING:
    from bagreid.models import ModelMeta

Embed = Callable[[Tensor], Tensor]
"""``(N, 3, H, W)`` normalised images → ``(N, D)`` features, as ``ReidNetwork.embed`` does."""


def flip_summed(embed: Embed, images: Tensor) -> Tensor:
    """The feature of the protocol: image and mirror image summed, then L2-normalised.

    Args:
        embed: The network, in evaluation mode.
        images: ``(N, 3, H, W)``.

    Returns:
        ``(N, D)`` float32.
    """
    total = embed(images).float() + embed(images.flip(3)).float()
    return torch.nn.functional.normalize(total)


def extract_features(
    embed: Embed,
    catalog: Catalog,
    rows: IntArray | range,
    augment: AugmentConfig,
    *,
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str = "cpu",
    out_dir: Path | None = None,
    source: str = "",
    known: BrokenImages | None = None,
    progress: Progress | None = None,
) -> ImageFeatures:
    """Computes the flip-summed, L2-normalised features of some images, decoding each once.

    Args:
        embed: The network, in evaluation mode, on the device.
        catalog: The archive.
        rows: ``(N,)`` catalog rows, in the order wanted.
        augment: Size, interpolation and normalisation; nothing random is done.
        batch_size: Images at a time.
        workers: Processes that decode; 0: this one does.
        device: Where the network is.
        out_dir: A folder for the features, which are then memory-mapped; None keeps them in memory.
        source: What the folder shall say made the features.
        known: The images known to be broken, which are not read; others found broken are added.
        progress: Called with the images done and their number, after each batch.

    Returns:
        The features; those of broken images are zero, and `broken` lists their rows.

    Raises:
        BagreidError: When the network gives NaN or infinity (naming the image), or a file cannot
            be written.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if not len(rows):
        raise BagreidError("there are no images to extract features of", path=catalog.root)
    quarantine = known.known if known is not None else ()
    loader = test_loader(catalog, rows, augment, batch_size, workers, quarantine)
    blocks = _computed(embed, catalog, loader, augment, torch.device(device))
    features, broken = None, []
    with nullcontext() if out_dir is None else fresh_features(out_dir, len(rows)) as append:
        done = 0
        for block, bad in blocks:
            if append is not None:
                append(block)
            else:
                if features is None:
                    features = np.empty((len(rows), block.shape[1]), np.float32)
                features[done : done + len(block)] = block
            broken += bad
            done += len(block)
            if progress is not None:
                progress(done, len(rows))
    if known is not None:
        known.add(broken)
    if out_dir is not None:
        return seal_features(out_dir, catalog, rows, broken, source)
    assert features is not None
    return images_of(catalog, rows, features, broken)


def _computed(
    embed: Embed,
    catalog: Catalog,
    loader: Iterator[ViewBatch],
    augment: AugmentConfig,
    device: torch.device,
) -> Iterator[tuple[npt.NDArray[np.float32], list[int]]]:
    """Features and broken rows of each batch."""
    with torch.inference_mode():
        for batch in loader:
            images = normalise(batch.images.to(device, non_blocking=True).float(), augment)
            features = flip_summed(embed, images)
            features[
                torch.isin(batch.rows, torch.tensor(batch.broken, dtype=torch.int64)).to(device)
            ] = 0
            good = torch.isfinite(features).all(1).cpu()
            if not bool(good.all()):
                row = int(batch.rows[~good][0])
                raise BagreidError(
                    f"the network gives NaN or infinity for {int((~good).sum())} images of a batch",
                    path=catalog.root,
                    position=catalog.name(row),
                    remedy="Check the checkpoint; in 16 bits, try precision fp32",
                )
            yield features.cpu().numpy(), list(batch.broken)


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
