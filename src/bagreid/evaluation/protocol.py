"""The whole test: features of queries and gallery, the ranking, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError, Convention, IntArray
from bagreid.data.quarantine import MOST_BROKEN, too_many
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.ranking import RankingResult, evaluate_ranking
from bagreid.evaluation.reranking import Reranker, Stage, silent
from bagreid.evaluation.results import evaluation_record, namer
from bagreid.evaluation.scores import UnfitFeaturesError
from bagreid.evaluation.toplist import Ties
from bagreid.world import World

Extract = Callable[[IntArray | range], ImageFeatures]
"""Catalog rows → their features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A tested method.

    Attributes:
        result: The ranking and its metrics.
        record: The same as plain values, for ``evaluation.json``.
        broken: Catalog rows of test images that could not be decoded.
        before: The plain ranking, where `result` is re-ranked.
    """

    result: RankingResult
    record: dict[str, Any]
    broken: tuple[int, ...]
    before: RankingResult | None = None

    def caution(self) -> str | None:
        """What people must know before they quote the result; None where all is well."""
        images = self.result.counts.queries + self.result.counts.gallery
        if not too_many(len(self.broken), images, MOST_BROKEN):
            return None
        share = len(self.broken) / images
        return (
            f"Caution: {len(self.broken):,} of {images:,} test images ({share:.1%}) are broken and "
            "count as failures, so the result says as much of the archive as of the method. "
            "bagreid verify with --images all says which tars to fetch again."
        )


def evaluate_catalog(
    extract: Extract,
    catalog: Catalog,
    *,
    method: str,
    convention: Convention = "sysu30k",
    ties: Ties = "pessimistic",
    device: torch.device | None = None,
    world: World | None = None,
    reranker: Reranker | None = None,
    stage: Stage = silent,
) -> Evaluation:
    """Tests a method on an archive's queries and gallery.

    Args:
        extract: Gives the features of catalog rows; called for the queries, then the gallery.
        catalog: The archive.
        method: What to call the method.
        convention: What shares are of, and which average precision.
        ties: Where a match stands among wrong answers that score the same.
        device: Where to rank; None: where the features are.
        world: The processes that share the gallery, each of which has all features; None: this one.
        reranker: Re-ranks by k-reciprocal neighbours; the plain result is kept beside it.
        stage: Shows how far a stage is, by its name.

    Returns:
        The result and its record.

    Raises:
        BagreidError: When the archive has no queries, or none of them has a match; this is found
            out before anything is extracted.

    Example:
        ``evaluate_catalog(partial(histogram_features, catalog), catalog, method="histogram")``
    """
    catalog.check_test_protocol()
    query = extract(catalog.split("query"))
    gallery = extract(catalog.split("gallery"))
    return evaluate_features(
        query,
        gallery,
        method=method,
        convention=convention,
        ties=ties,
        catalog=catalog,
        device=device,
        world=world,
        reranker=reranker,
        stage=stage,
    )


def evaluate_features(
    query: ImageFeatures,
    gallery: ImageFeatures,
    *,
    method: str,
    convention: Convention = "sysu30k",
    ties: Ties = "pessimistic",
    catalog: Catalog | None = None,
    ignore_cameras: bool = False,
    device: torch.device | None = None,
    world: World | None = None,
    reranker: Reranker | None = None,
    stage: Stage = silent,
) -> Evaluation:
    """Tests features that are there already.

    Args:
        query: The queries.
        gallery: The images to rank.
        method: What to call the method.
        convention: What shares are of, and which average precision.
        ties: Where a match stands among wrong answers that score the same.
        catalog: The archive, for the names of its images.
        ignore_cameras: Keep pairs of the same identity and camera, which otherwise are left out;
            the record says so.
        device: Where to rank; None: where the features are.
        world: The processes that share the gallery, each of which has all features; None: this one.
        reranker: Re-ranks by k-reciprocal neighbours; the plain result is kept beside it.
        stage: Shows how far a stage is, by its name.

    Returns:
        The result and its record.

    Raises:
        BagreidError: When the features cannot be ranked, or no query has a match.
    """
    query_camids, gallery_camids = query.camids, gallery.camids
    if ignore_cameras:  # no camera of one side is one of the other
        query_camids, gallery_camids = np.zeros_like(query_camids), np.ones_like(gallery_camids)
    rank = partial(
        evaluate_ranking,
        query.features,
        query.pids,
        query_camids,
        gallery.features,
        gallery.pids,
        gallery_camids,
        convention=convention,
        ties=ties,
        query_broken=query.broken_places(),
        gallery_broken=gallery.broken_places(),
        device=device,
        world=world,
    )
    try:
        with stage("ranking") as progress:
            result = rank(progress=progress)
    except UnfitFeaturesError as error:
        raise _named(error, query if error.side == "query" else gallery, catalog) from error
    before = None
    if reranker is not None:
        before, result = result, rank(reranker=replace(reranker, stage=stage))
    record = evaluation_record(result, query, gallery, method=method, catalog=catalog)
    record["camera_filter"] = not ignore_cameras
    if reranker is not None and before is not None:
        record["reranking"] = {**asdict(reranker.config), "before": _totals(before)}
    broken = query.broken + gallery.broken
    return Evaluation(result=result, record=record, broken=broken, before=before)


def _named(
    error: UnfitFeaturesError, images: ImageFeatures, catalog: Catalog | None
) -> BagreidError:
    """The same error with the names of the images and the file of their features."""
    if not error.rows:
        return error
    name = namer(images, error.side, catalog)
    known = images.names is not None or catalog is not None
    shown = [f"{row} ({name(row)})" if known else str(row) for row in error.rows[:5]]
    more = f" and {len(error.rows) - 5} more of this block" if len(error.rows) > 5 else ""
    return BagreidError(
        error.message,
        path=images.path,
        position=f"row {', '.join(shown)}{more}",
        remedy=error.remedy,
    )


def _totals(result: RankingResult) -> dict[str, Any]:
    """The shares of a result, under the names they have in ``evaluation.json``."""
    return {
        "cmc": result.cmc.tolist(),
        "mean_ap": result.mean_ap,
        "mean_inp": result.mean_inp,
        "rank1_interval": list(result.rank1_interval),
        "first_match_rank": result.first_match_rank.tolist(),
    }
