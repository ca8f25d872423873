"""Features with the images they belong to, in memory or on disk.

For folders of them, as `bagreid extract` writes, see `bagreid.evaluation.folders`.

Shape letters: N images, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bagreid.catalog import Catalog
from bagreid.contracts import FloatArray, IntArray
from bagreid.evaluation.sources import Features, FeatureSource

Kind = Literal["backbone", "logits"]
"""What is compared: a network's embedding, or its class logits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFeatures:
    """Features of some images.

    Attributes:
        features: ``(N, D)``, in memory or memory-mapped, or a source of them.
        pids: ``(N,)`` int64 identities.
        camids: ``(N,)`` int64 cameras.
        rows: ``(N,)`` int64 catalog rows; None where the features came without an archive.
        names: N names of images that came without an archive; None where they came without names.
        broken: Catalog rows of images that could not be decoded; their features are zero.
        root: The archive; None where the features came without one.
        norms: ``(N,)`` float64, the lengths of the features before they were normalised; None where
            they are not known.
        kind: What the features are; None where that is not known.
        path: Where they were read from; None where they came from no file.
    """

    features: Features | FeatureSource
    pids: IntArray
    camids: IntArray
    rows: IntArray | None = None
    names: Sequence[str] | None = None
    broken: tuple[int, ...] = ()
    root: Path | None = None
    norms: FloatArray | None = None
    kind: Kind | None = None
    path: Path | None = None

    def broken_places(self) -> IntArray:
        """``(n,)`` int64, where among the features those of `broken` stand."""
        if self.rows is None or not self.broken:
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.isin(self.rows, self.broken))


def images_of(
    catalog: Catalog,
    rows: IntArray,
    features: Features | FeatureSource,
    broken: Sequence[int],
    *,
    norms: FloatArray | None = None,
    kind: Kind | None = None,
) -> ImageFeatures:
    """Features of catalog rows, with the identities and cameras the catalog knows.

    Args:
        catalog: The archive.
        rows: ``(N,)`` int64 catalog rows.
        features: ``(N, D)``.
        broken: Rows of images that could not be decoded.
        norms: ``(N,)`` lengths before normalisation, where they are known.
        kind: What the features are.

    Returns:
        All of it together.
    """
    return ImageFeatures(
        features=features,
        pids=catalog.group[rows].astype(np.int64),
        camids=catalog.camera[rows].astype(np.int64),
        rows=rows,
        broken=tuple(broken),
        root=catalog.root,
        norms=norms,
        kind=kind,
    )
