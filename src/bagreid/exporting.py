"""A finished run's network as a file for others, with what is known of it."""

from __future__ import annotations

from pathlib import Path

import orjson

from bagreid.evaluation import Evaluation
from bagreid.recipes import RunConfig, as_plain
from bagreid.training.card import CardFacts, CardTest
from bagreid.training.export import export_weights
from bagreid.training.loop import Trainer, TrainingResult

FOLDER = "model"


def export_run(
    trainer: Trainer,
    trained: TrainingResult,
    config: RunConfig,
    evaluation: Evaluation | None,
    *,
    method: str,
) -> Path:
    """Writes the network that was tested to ``WORK_DIR/model``.

    Args:
        trainer: The run.
        trained: How it ended.
        config: Its configuration.
        evaluation: Its test, where there was one.
        method: What to call it.

    Returns:
        The weight file.

    Raises:
        BagreidError: It cannot be written.
    """
    catalog = trainer.catalog
    started = orjson.loads((trainer.work_dir / "config.json").read_bytes())["started"]
    code = trainer.described().get("code")
    card = CardFacts(
        name=f"{method}, {config.model.backbone}",
        archive=catalog.root.name,
        images=len(catalog.split("train")),
        bags=len(catalog.bags.bag_id) if config.supervision.source == "bag" else None,
        step=trainer.step,
        total_steps=trainer.total_steps,
        begun_from=started["weights"],
        pseudo_label_accuracy=trained.pseudo_label_accuracy,
        code=code if isinstance(code, dict) else {},
        test=None if evaluation is None else _test(evaluation),
    )
    return export_weights(
        trained.network,
        trainer.work_dir / FOLDER,
        config=as_plain(config),
        identities=catalog.identities.tolist(),
        card=card,
    )


def _test(evaluation: Evaluation) -> CardTest:
    result = evaluation.result
    return CardTest(
        queries=result.counts.queries,
        gallery=result.counts.gallery,
        convention=result.convention,
        rank1=result.rank(1),
        interval=result.rank1_interval,
        rank5=result.rank(5),
        rank10=result.rank(10),
        mean_ap=result.mean_ap,
    )
