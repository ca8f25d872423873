"""A work dir: one run, or a demo's several runs under one comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bagreid.catalog import BagSimulation
from bagreid.contracts import BagreidError
from bagreid.report.fields import Fields, read_json
from bagreid.report.log import TrainingLog, read_log
from bagreid.report.results import Evaluation, PseudoLabels, read_evaluation, read_pseudo_labels

COMPARISON_SCHEMA = "bagreid.comparison/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method and what it left behind; what is not there yet is ``None`` or empty.

    Attributes:
        name: As people call it.
        supervision: What it was told, in words.
        config: Its resolved configuration.
        log: Its training log.
        evaluation: Its result on the test images.
        pseudo_labels: The labels it gave the training images.
        pseudo_label_accuracy: The share of them that are right.
        seconds: How long it took.
        path: Its folder, where it was trained.
    """

    name: str
    supervision: str | None = None
    config: dict[str, object] | None = None
    log: TrainingLog = field(default_factory=TrainingLog)
    evaluation: Evaluation | None = None
    pseudo_labels: PseudoLabels | None = None
    pseudo_label_accuracy: float | None = None
    seconds: float | None = None
    path: Path | None = None

    @property
    def simulation(self) -> BagSimulation:
        """How bags were made of a strongly labelled set: it decides which row is which image."""
        data = (self.config or {}).get("data")
        names = ("bag_people", "bag_images", "bag_seed")
        numbers = [data.get(name) for name in names] if isinstance(data, dict) else []
        people, images, seed = (n if isinstance(n, int) else -1 for n in numbers or (-1, -1, -1))
        try:
            return BagSimulation(people=people, images=images, seed=seed)
        except ValueError:  # a run from before there were such options, or a file edited by hand
            return BagSimulation()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDir:
    """What a report is about.

    Attributes:
        path: The folder.
        title: A name for the page.
        root: The archive, where the comparison names it.
        methods: The main method first.
        compared: Whether the folder holds a comparison (else it is one run).
    """

    path: Path
    title: str
    root: str | None
    methods: tuple[Method, ...]
    compared: bool

    @property
    def main(self) -> Method:
        """The method the page is about."""
        return self.methods[0]


def read_work_dir(path: Path) -> WorkDir:
    """Reads a run, or a demo's folder with its comparison.

    Args:
        path: A folder with ``comparison.json``, or with the ``config.json`` of a run.

    Returns:
        Everything its files hold, images aside.

    Raises:
        BagreidError: When it is neither, or one of its files is broken.
    """
    if (path / "comparison.json").is_file():
        return _read_comparison(path)
    if not (path / "config.json").is_file():
        raise _not_a_work_dir(path)
    method = _read_run(path, name=path.resolve().name, supervision=None)
    return WorkDir(path=path, title=method.name, root=None, methods=(method,), compared=False)


def _read_run(path: Path, *, name: str, supervision: str | None) -> Method:
    log = read_log(path / "log.jsonl")
    evaluation = read_evaluation(path / "evaluation.json")
    pseudo_labels = read_pseudo_labels(path / "pseudo_labels.npz")
    config = path / "config.json"
    return Method(
        name=evaluation.method if evaluation else name,
        supervision=supervision,
        config=read_json(config).data if config.is_file() else None,
        log=log,
        evaluation=evaluation,
        pseudo_labels=pseudo_labels,
        pseudo_label_accuracy=pseudo_labels.accuracy if pseudo_labels else None,
        seconds=log.seconds,
        path=path,
    )


def _read_comparison(path: Path) -> WorkDir:
    fields = read_json(path / "comparison.json")
    fields.expect_schema(COMPARISON_SCHEMA)
    methods = tuple(_read_method(path, method) for method in fields.children("methods"))
    if not methods:
        raise BagreidError("compares no methods", path=fields.path)
    return WorkDir(
        path=path,
        title=fields.text("title") if "title" in fields else path.resolve().name,
        root=fields.text("root") if "root" in fields else None,
        methods=methods,
        compared=True,
    )


def _read_method(path: Path, fields: Fields) -> Method:
    name = fields.text("name")
    run = Method(name=name)
    if "work_dir" in fields:
        run = _read_run(path / fields.text("work_dir"), name=name, supervision=None)
    evaluation = run.evaluation
    if "evaluation" in fields:
        evaluation = read_evaluation(path / fields.text("evaluation"))
    accuracy = run.pseudo_label_accuracy
    if "pseudo_label_accuracy" in fields.data:
        known = "pseudo_label_accuracy" in fields
        accuracy = fields.number("pseudo_label_accuracy") if known else None
    return Method(
        name=name,
        supervision=fields.text("supervision") if "supervision" in fields else None,
        config=run.config,
        log=run.log,
        evaluation=evaluation,
        pseudo_labels=run.pseudo_labels,
        pseudo_label_accuracy=accuracy,
        seconds=fields.number("seconds") if "seconds" in fields else run.seconds,
        path=run.path,
    )


def _not_a_work_dir(path: Path) -> BagreidError:
    if not path.is_dir():
        return BagreidError("is no folder", path=path, remedy="Name the work dir of a run")
    runs = sorted(child.parent.name for child in path.glob("*/config.json"))
    remedy = "Name the work dir of a run, or of a demo"
    if runs:
        remedy = f"Name one of the runs in it: {', '.join(runs[:5])}"
    return BagreidError("holds neither config.json nor comparison.json", path=path, remedy=remedy)
