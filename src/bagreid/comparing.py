"""Several methods on one archive: each trained and tested in its own folder, then side by side."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError
from bagreid.data.quarantine import BrokenImages
from bagreid.evaluation import (
    Evaluation,
    evaluate_catalog,
    histogram_features,
    write_evaluation,
)
from bagreid.experiment import network_extract, run_training
from bagreid.files import write_json
from bagreid.models import build_model
from bagreid.recipes import RunConfig
from bagreid.world import World


@dataclass(frozen=True, slots=True)
class Row:
    """One method of a comparison.

    Attributes:
        key: Its folder's name.
        name: What people call it.
        supervision: What it was told.
        evaluation: Its test.
        work_dir: Folder of its run, relative to the comparison's; None if it was not trained.
        accuracy: Of its last pseudo labels.
        seconds: Training time.
    """

    key: str
    name: str
    supervision: str
    evaluation: Evaluation
    work_dir: str | None = None
    accuracy: float | None = None
    seconds: float | None = None


@contextlib.contextmanager
def stage(console: Console, title: str) -> Iterator[None]:
    """Announces a part of an experiment and says how long it took."""
    console.print(f"[bold]{title}[/bold]")
    begun = time.monotonic()
    yield
    console.print(f"  [dim]{time.monotonic() - begun:.0f} s[/dim]")


def histogram_row(known: BrokenImages, work_dir: Path, config: RunConfig) -> Row:
    """The colour-histogram baseline, which learns nothing."""
    evaluation = evaluate_catalog(
        partial(histogram_features, known.catalog, known=known),
        known.catalog,
        method="histogram",
        convention=config.test.convention,
    )
    write_evaluation(evaluation.record, work_dir / "histogram" / "evaluation.json")
    return Row("histogram", "histogram", "nothing", evaluation)


def untrained_row(known: BrokenImages, work_dir: Path, config: RunConfig) -> Row:
    """The network as training begins with it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        network = build_model(config.model, len(known.catalog.identities)).eval()
    evaluation = evaluate_catalog(
        network_extract(network, known, config, World()),
        known.catalog,
        method="untrained",
        convention=config.test.convention,
    )
    write_evaluation(evaluation.record, work_dir / "untrained" / "evaluation.json")
    return Row("untrained", "untrained", "nothing", evaluation)


def trained_row(
    config: RunConfig, work_dir: Path, console: Console, key: str, name: str, supervision: str
) -> Row:
    """Trains and tests one method of a comparison in its own folder."""
    outcome = run_training(config, work_dir / key, console, method=name, anew=True)
    if outcome.evaluation is None:
        raise BagreidError(
            "the archive has no test set to compare methods on",
            path=config.data.root,
            remedy="Use an archive with query and gallery images",
        )
    training = outcome.training
    return Row(
        key, name, supervision, outcome.evaluation, key,
        training.pseudo_label_accuracy, training.seconds,
    )  # fmt: skip


def write_comparison(rows: list[Row], work_dir: Path, root: Path, title: str) -> None:
    """Writes ``comparison.json``, which the report reads."""
    methods = [
        {
            "key": row.key,
            "name": row.name,
            "supervision": row.supervision,
            "work_dir": row.work_dir,
            "evaluation": f"{row.key}/evaluation.json",
            "pseudo_label_accuracy": row.accuracy,
            "seconds": row.seconds,
        }
        for row in rows
    ]
    write_json(
        work_dir / "comparison.json",
        {
            "schema": "bagreid.comparison/1",
            "root": str(root.resolve()),
            "title": title,
            "methods": methods,
        },
    )


def comparison_table(rows: list[Row]) -> Table:
    """The methods side by side."""
    counts = rows[0].evaluation.result.counts
    table = Table(
        title=f"{counts.queries} queries against {counts.gallery:,} gallery images",
        title_justify="left",
    )
    table.add_column("method", no_wrap=True)
    table.add_column("told", no_wrap=True)
    for heading in ("rank-1", "95 %", "rank-5", "mAP", "labels", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        result = row.evaluation.result
        low, high = result.rank1_interval
        table.add_row(
            row.name,
            row.supervision,
            f"[bold]{result.rank(1):.1%}[/bold]",
            f"{100 * low:.0f}–{100 * high:.0f}",
            f"{result.rank(5):.1%}",
            f"{result.mean_ap:.1%}",
            "" if row.accuracy is None else f"{row.accuracy:.1%}",
            "" if row.seconds is None else f"{row.seconds:.0f} s",
        )
    return table


def folder_purity(catalog: Catalog) -> float | None:
    """Share of train images that are of their folder's most frequent person, where known."""
    truth = catalog.truth()
    known = truth >= 0
    if not known.any():
        return None
    pairs = np.stack([catalog.group[: len(truth)][known], truth[known]], axis=1)
    distinct, count = np.unique(pairs, axis=0, return_counts=True)
    most = np.zeros(int(distinct[:, 0].max()) + 1, np.int64)
    np.maximum.at(most, distinct[:, 0], count)
    return float(most.sum() / known.sum())
